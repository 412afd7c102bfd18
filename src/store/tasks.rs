//! Work of a store runs in tasks of the runtime that the store was opened on: a caller that goes
//! away, or whose runtime ends, cancels nothing.
//!
//! A database can fall silent and keep its connections alive. So nobody waits for ever: after
//! [`OVERDUE_AFTER`] the caller has an answer, and the task goes on alone.
//!
//! **Invariant:** a write is never cut off; who no longer waits for it says that its fate is unknown.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::{runtime::Handle, sync::oneshot, task::JoinHandle, time::timeout};

use super::{ReadError, WriteError};

/// How long a caller waits: longer than any statement may take.
pub(super) const OVERDUE_AFTER: Duration = Duration::from_secs(15);

/// The runtime of a store's work, and how many writes are overdue there.
#[derive(Clone, Debug)]
pub(super) struct Tasks {
    runtime: Handle,
    overdue: Arc<AtomicUsize>,
}

impl Tasks {
    /// On the runtime that this is called on.
    pub(super) fn here() -> Self {
        Self {
            runtime: Handle::current(),
            overdue: Arc::default(),
        }
    }

    /// Whether each write of the store came to its end in time.
    pub(super) fn check(&self) -> Result<(), ReadError> {
        match self.overdue.load(Ordering::Relaxed) {
            0 => Ok(()),
            count => Err(ReadError(format!(
                "{count} writes have had no answer for more than {} seconds",
                OVERDUE_AFTER.as_secs()
            ))),
        }
    }

    /// Runs a batch; when its task comes to no end in time, each of its `size` writes may have been
    /// done.
    pub(super) fn batch<'a, T: Send + 'static>(
        &self,
        size: usize,
        work: impl Future<Output = Vec<Result<T, WriteError>>> + Send + 'static,
    ) -> BoxFuture<'a, Vec<Result<T, WriteError>>> {
        let written = self.watched(work);
        Box::pin(async move {
            written.await.unwrap_or_else(|reason| {
                let lost = WriteError::Unknown(reason);
                (0..size).map(|_| Err(lost.clone())).collect()
            })
        })
    }

    /// Runs one write.
    pub(super) fn write<'a, T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, WriteError>> + Send + 'static,
    ) -> BoxFuture<'a, Result<T, WriteError>> {
        let written = self.watched(work);
        Box::pin(async move {
            let unknown = |reason| Err(WriteError::Unknown(reason));
            written.await.unwrap_or_else(unknown)
        })
    }

    /// Runs one read, which is cut off when its time is over.
    pub(super) fn read<'a, T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, ReadError>> + Send + 'static,
    ) -> BoxFuture<'a, Result<T, ReadError>> {
        let task = self.runtime.spawn(timeout(OVERDUE_AFTER, work));
        Box::pin(async move {
            match task.await {
                Ok(Ok(read)) => read,
                Ok(Err(_elapsed)) => Err(ReadError(no_answer())),
                Err(error) => Err(ReadError(error.to_string())),
            }
        })
    }

    /// The end of `work`, or why it is not known.
    fn watched<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = Result<T, String>> + Send + 'static {
        let (answer, answered) = oneshot::channel();
        let watch = watch(self.runtime.spawn(work), Arc::clone(&self.overdue), answer);
        self.runtime.spawn(watch);
        async move { answered.await.unwrap_or_else(|lost| Err(lost.to_string())) }
    }
}

/// Hands the end of a write to whoever waits for it, and counts the write while it is overdue.
async fn watch<T>(
    mut task: JoinHandle<T>,
    overdue: Arc<AtomicUsize>,
    answer: oneshot::Sender<Result<T, String>>,
) {
    // Nobody may be waiting for the answer any more.
    if let Ok(ended) = timeout(OVERDUE_AFTER, &mut task).await {
        drop(answer.send(ended.map_err(|error| error.to_string())));
        return;
    }
    tracing::error!("alarm: the database is silent under a write");
    overdue.fetch_add(1, Ordering::Relaxed);
    drop(answer.send(Err(no_answer())));
    let ended = task.await;
    overdue.fetch_sub(1, Ordering::Relaxed);
    tracing::warn!(
        panicked = ended.is_err(),
        "an overdue write came to its end"
    );
}

fn no_answer() -> String {
    format!("no answer within {} seconds", OVERDUE_AFTER.as_secs())
}

/// The result of a batch of one.
pub(super) fn only<'a, T: Send + 'a>(
    batch: BoxFuture<'a, Vec<Result<T, WriteError>>>,
) -> BoxFuture<'a, Result<T, WriteError>> {
    Box::pin(async move {
        let nothing = || Err(WriteError::Unknown("the store gave no result".to_owned()));
        batch.await.pop().unwrap_or_else(nothing)
    })
}

#[cfg(test)]
mod tests {
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever_and_a_silent_write_goes_on() {
        let (tasks, notice) = (Tasks::here(), Arc::new(Notify::new()));
        let (heard, done) = (Arc::clone(&notice), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&done);
        let batch = tasks.batch(2, async move {
            heard.notified().await;
            counted.fetch_add(1, Ordering::Relaxed);
            vec![Ok(1), Ok(2)]
        });
        assert_eq!(tasks.check(), Ok(()));

        let results: Vec<Result<i32, _>> = batch.await;

        let unknown = |one: &Result<i32, _>| matches!(one, Err(WriteError::Unknown(_)));
        assert!(
            results.len() == 2 && results.iter().all(unknown),
            "{results:?}"
        );
        assert!(tasks.check().is_err(), "not ready while it is overdue");
        notice.notify_one();
        while tasks.check().is_err() {
            tokio::task::yield_now().await;
        }
        assert_eq!(done.load(Ordering::Relaxed), 1, "it was not cut off");
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_in_time_has_its_own_answer_and_one_that_panics_is_unknown() {
        let tasks = Tasks::here();
        assert_eq!(tasks.write(async { Ok(7) }).await, Ok(7));
        let lost: Result<i32, _> = tasks.write(async { panic!("a test's fault") }).await;
        assert!(matches!(lost, Err(WriteError::Unknown(_))), "{lost:?}");
        let silent: Result<i32, _> = tasks.read(std::future::pending()).await;
        assert!(silent.is_err());
        assert_eq!(tasks.check(), Ok(()));
    }
}
