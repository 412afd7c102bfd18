//! The one writer: a thread with the only connection that writes, fed by a queue.

use std::path::{Path, PathBuf};

use diesel::{SqliteConnection, result::Error};
use tokio::sync::{mpsc, oneshot};

use super::{super::StoreStartError, connection};
use crate::store::{batch::Failure, errors::failure};

/// Transactions that may wait for the thread; who comes later waits to be let in.
const QUEUE_MAX: usize = 64;

type Job = Box<dyn FnOnce(&mut Desk) + Send>;

/// The way to the writer's thread, which ends when the last of these is dropped.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
}

/// What the thread holds: the connection, unless the last error left it in doubt.
struct Desk {
    path: PathBuf,
    connection: Option<SqliteConnection>,
}

impl Writer {
    pub(super) fn start(path: &Path) -> Result<Self, StoreStartError> {
        let mut desk = Desk {
            path: path.to_owned(),
            connection: Some(connection::open(path)?),
        };
        let (jobs, mut queue) = mpsc::channel::<Job>(QUEUE_MAX);
        let work = move || {
            while let Some(job) = queue.blocking_recv() {
                job(&mut desk);
            }
        };
        (std::thread::Builder::new().name("sqlite-writer".into()))
            .spawn(work)
            .map_err(|error| StoreStartError::File {
                path: path.display().to_string(),
                reason: error.to_string(),
            })?;
        Ok(Self { jobs })
    }

    /// Runs `work` in one transaction. Once it is in the queue it is done, whoever waits for it.
    pub(super) async fn transaction<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut SqliteConnection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Failure> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |desk| {
            // Nobody may be waiting any more; the work counts all the same.
            let _ = answer.send(desk.transaction(work));
        });
        let handed = self.jobs.send(job).await;
        handed.map_err(|error| Failure::NotReached(error.to_string()))?;
        let answer = answered.await;
        answer.unwrap_or_else(|error| Err(Failure::Unknown(error.to_string())))
    }
}

impl Desk {
    fn transaction<T>(
        &mut self,
        work: impl FnOnce(&mut SqliteConnection) -> Result<T, Error>,
    ) -> Result<T, Failure> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connection::open(&self.path)
                .map_err(|error| Failure::NotReached(error.to_string()))?,
        };
        let (mut began, mut committing) = (false, false);
        let result = connection.immediate_transaction(|connection| {
            began = true;
            let answer = work(connection)?;
            committing = true;
            Ok(answer)
        });
        let result = result.map_err(|error: Error| match (began, committing) {
            (false, _) => Failure::NotReached(error.to_string()),
            (true, false) => failure(&error, true),
            (true, true) => Failure::Unknown(error.to_string()),
        });
        if matches!(result, Ok(_) | Err(Failure::RowRefused(_))) {
            self.connection = Some(connection);
        }
        result
    }
}
