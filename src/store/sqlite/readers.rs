//! The readers: a few connections that see what is committed, and write nothing.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use diesel::SqliteConnection;
use tokio::sync::Semaphore;

use super::connection;
use crate::store::ReadError;

const READERS_MAX: usize = 4;

/// Connections that are not in use; they are opened when they are first needed.
pub(super) struct Readers {
    path: PathBuf,
    free: Arc<Semaphore>,
    idle: Mutex<Vec<SqliteConnection>>,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            free: Arc::new(Semaphore::new(READERS_MAX)),
            idle: Mutex::new(Vec::new()),
        }
    }

    /// Runs `work` on a thread that may block.
    pub(super) async fn read<T: Send + 'static>(
        self: Arc<Self>,
        work: impl FnOnce(&mut SqliteConnection) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let lost = |reason: String| ReadError(reason);
        let readers = Arc::clone(&self);
        let free = Arc::clone(&self.free).acquire_owned().await;
        let free = free.map_err(|error| lost(error.to_string()))?;
        let task = tokio::task::spawn_blocking(move || {
            // Whoever still waits for the answer, the thread is in use until it has one.
            let _free = free;
            let idle = || readers.idle.lock().unwrap_or_else(PoisonError::into_inner);
            let known = idle().pop();
            let mut reader = match known {
                Some(reader) => reader,
                None => connection::open_reader(&readers.path)
                    .map_err(|error| lost(error.to_string()))?,
            };
            let answer = work(&mut reader)?;
            idle().push(reader);
            Ok(answer)
        });
        task.await
            .unwrap_or_else(|error| Err(lost(error.to_string())))
    }
}

impl std::fmt::Debug for Readers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Readers")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
