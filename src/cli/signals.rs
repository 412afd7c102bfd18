//! Signals: the first asks for a graceful stop, the second ends the process at once, unless there is
//! a world to be taken down.

use tokio::{
    runtime::Handle,
    signal::unix::{Signal, SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use super::error::CliError;

/// A token that SIGTERM or SIGINT cancels, watched for on `io`.
pub(super) fn stop_on_signal(io: &Handle) -> Result<CancellationToken, CliError> {
    let _on_io = io.enter();
    let take = |kind| signal(kind).map_err(CliError::Runtime);
    let (mut terminate, mut interrupt) = (
        take(SignalKind::terminate())?,
        take(SignalKind::interrupt())?,
    );
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    io.spawn(async move {
        next(&mut terminate, &mut interrupt).await;
        tracing::info!("stopping; a second signal ends the process at once");
        stopping.cancel();
        let number = next(&mut terminate, &mut interrupt).await;
        tracing::warn!("ended by a second signal, with work under way");
        std::process::exit(128 + number);
    });
    Ok(stop)
}

/// A token that SIGTERM, SIGINT or the end of the terminal cancels. No signal ends the process: what
/// it has started would stay behind.
pub(super) fn stop_in_order(io: &Handle) -> Result<CancellationToken, CliError> {
    let _on_io = io.enter();
    let take = |kind| signal(kind).map_err(CliError::Runtime);
    let (mut terminate, mut interrupt) = (
        take(SignalKind::terminate())?,
        take(SignalKind::interrupt())?,
    );
    let mut hangup = take(SignalKind::hangup())?;
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    io.spawn(async move {
        loop {
            tokio::select! {
                _ = next(&mut terminate, &mut interrupt) => {}
                _ = hangup.recv() => {}
            }
            stopping.cancel();
        }
    });
    Ok(stop)
}

/// Waits for one of the two and gives its number.
async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> i32 {
    tokio::select! {
        _ = terminate.recv() => SignalKind::terminate().as_raw_value(),
        _ = interrupt.recv() => SignalKind::interrupt().as_raw_value(),
    }
}
