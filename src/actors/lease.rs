//! The lease of an operation that is driven, renewed as long as its driver is at work. Start reading
//! at [`Lease::renewed_during`].
//!
//! **Invariant:** the send window ends one attempt before the lease that the store last confirmed; a
//! renewal that is refused closes it, and one whose fate is unknown leaves it as it was.

use std::time::Duration;

use tokio::{
    select,
    sync::watch,
    time::{Instant, sleep_until},
};
use tracing::{debug, error, warn};

use super::{
    held::{Moment, terms},
    system::{DriveContext, Route},
};
use crate::{
    payment::{Change, Standing, send_until},
    resilience::{Backoff, SendWindow},
    store::WriteError,
};

/// Renewals that one lease has room for: what is lost on the way to the store may be asked for again.
const RENEWALS_PER_LEASE: u32 = 3;
/// Between renewals that the store did not take.
const ASK_AGAIN: Backoff = Backoff {
    base: Duration::from_millis(100),
    cap: Duration::from_secs(5),
};

pub(super) struct Lease<'a> {
    context: &'a DriveContext,
    route: &'a Route,
    standing: Standing,
    /// Since when it is held.
    asked: Moment,
    /// Until when it is renewed: a drive that hangs must not keep its operation for ever.
    until: Instant,
    window: watch::Sender<SendWindow>,
}

impl<'a> Lease<'a> {
    /// The lease of `standing`, which was asked for at `asked`; nobody is at work after `until`.
    pub(super) fn new(
        context: &'a DriveContext,
        route: &'a Route,
        standing: Standing,
        asked: Moment,
        until: Instant,
    ) -> Self {
        let window = watch::Sender::new(window_of(&standing, route, asked));
        Self {
            context,
            route,
            standing,
            asked,
            until,
            window,
        }
    }

    /// In which an attempt may begin, as far as is known at each moment.
    pub(super) fn window(&self) -> watch::Receiver<SendWindow> {
        self.window.subscribe()
    }

    /// Waits for `work`, and renews the lease meanwhile.
    ///
    /// A renewal that is under way when the work ends is not waited for: it finds the operation
    /// ended, and is refused, or it only holds what the driver still holds.
    pub(super) async fn renewed_during<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        select! {
            biased;
            done = &mut work => return done,
            () = self.renew_in_time() => {}
        }
        work.await
    }

    /// Renews until the operation is another's, or nobody should be at work any more.
    async fn renew_in_time(&self) {
        let rest = self.context.settings.lease / RENEWALS_PER_LEASE;
        let mut next = self.asked.monotonic + rest;
        let mut failures = 0;
        while next < self.until {
            sleep_until(next).await;
            let operation = &self.standing.operation;
            let asked = Moment::read(self.context);
            let renew = Change::Renew {
                owner: operation.owner,
                lease: self.context.settings.lease,
            };
            match self.context.change(operation, renew).await {
                Ok(renewed) if renewed.applied => {
                    debug!(operation = %operation.id, "the lease is renewed");
                    let window = window_of(&renewed, self.route, asked);
                    self.window.send_replace(window);
                    failures = 0;
                    next = asked.monotonic + rest;
                }
                Ok(_) => {
                    warn!(operation = %operation.id, "the lease is lost: nothing more is sent");
                    let closed = SendWindow::closed(asked.monotonic, asked.wall_micros);
                    self.window.send_replace(closed);
                    return;
                }
                Err(WriteError::Rejected(reason)) => {
                    error!(operation = %operation.id, reason, "alarm: a lease cannot be renewed");
                    return;
                }
                Err(failed) => {
                    warn!(operation = %operation.id, %failed, "the lease is not renewed");
                    failures += 1;
                    let chance = self.context.environment.random_fraction();
                    next = Instant::now() + ASK_AGAIN.wait(failures, chance);
                }
            }
        }
    }
}

/// The window that the lease of `standing` allows, seen from before it was asked for.
fn window_of(standing: &Standing, route: &Route, asked: Moment) -> SendWindow {
    let operation = &standing.operation;
    let attempt = route.provider.profile().attempt_timeout;
    let leased = operation.lease_until.minus(attempt);
    // Asking for an object that is known sends nothing under the key.
    let until = match operation.own_object() {
        Some(_) => leased,
        None => leased.min(send_until(operation, terms(route))),
    };
    let length = until.since(standing.now);
    SendWindow::opened(asked.monotonic, asked.wall_micros, length)
}
