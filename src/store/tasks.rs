//! Work of a store runs in tasks of the runtime that the store was opened on: a caller that goes
//! away, or whose runtime ends, cancels nothing.

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;

use super::{ReadError, WriteError};

/// Runs one read or one single write; `lost` makes an error of a task that came to no end.
pub(super) fn run<'a, T, E>(
    runtime: &Handle,
    work: impl Future<Output = Result<T, E>> + Send + 'static,
    lost: fn(String) -> E,
) -> BoxFuture<'a, Result<T, E>>
where
    T: Send + 'static,
    E: Send + 'static,
{
    let task = runtime.spawn(work);
    Box::pin(async move {
        task.await
            .unwrap_or_else(|error| Err(lost(error.to_string())))
    })
}

/// Runs a batch; when the task comes to no end, each of its `size` writes may have been done.
pub(super) fn run_batch<'a, T: Send + 'static>(
    runtime: &Handle,
    size: usize,
    work: impl Future<Output = Vec<Result<T, WriteError>>> + Send + 'static,
) -> BoxFuture<'a, Vec<Result<T, WriteError>>> {
    let task = runtime.spawn(work);
    Box::pin(async move {
        task.await.unwrap_or_else(|error| {
            let lost = WriteError::Unknown(error.to_string());
            (0..size).map(|_| Err(lost.clone())).collect()
        })
    })
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

pub(super) fn read<'a, T: Send + 'static>(
    runtime: &Handle,
    work: impl Future<Output = Result<T, ReadError>> + Send + 'static,
) -> BoxFuture<'a, Result<T, ReadError>> {
    run(runtime, work, ReadError)
}

pub(super) fn write<'a, T: Send + 'static>(
    runtime: &Handle,
    work: impl Future<Output = Result<T, WriteError>> + Send + 'static,
) -> BoxFuture<'a, Result<T, WriteError>> {
    run(runtime, work, WriteError::Unknown)
}
