//! The providers as an operator sees them.

use std::{fmt, sync::Arc, time::Duration};

use tokio::{sync::broadcast, time::Instant};

use super::{BreakerEvent, ProviderShared, feed::wall_time};
use crate::{
    actors::system::DriveContext,
    payment::Timestamp,
    resilience::{BreakerState, LimiterSnapshot, OperatorSwitch, Purpose, TransitionReason},
};

/// How a provider's gate stands.
#[derive(Clone, Debug, PartialEq)]
pub struct ProviderSnapshot {
    pub name: String,
    /// Whether new payments may go to it.
    pub routed: bool,
    /// Whether a client's call would pass now: there is room, and the breaker lets it.
    pub available: bool,
    pub state: BreakerState,
    /// Share of failed calls, 0 to 1; unknown below the least number of calls.
    pub failure_rate: Option<f64>,
    /// Share of slow calls, 0 to 1; unknown below the least number of calls.
    pub slow_rate: Option<f64>,
    pub window: Duration,
    pub calls: u32,
    pub failed: u32,
    pub slow: u32,
    /// Calls refused since the last transition.
    pub not_permitted: u64,
    /// When an open breaker lets the next call pass; it may have come already.
    pub retry_at: Option<Timestamp>,
    pub concurrency: LimiterSnapshot,
    /// Retries that could be made now.
    pub retry_budget: u64,
    /// The last transitions, the oldest first.
    pub transitions: Vec<PastTransition>,
}

/// A transition of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastTransition {
    pub from: BreakerState,
    pub to: BreakerState,
    pub reason: TransitionReason,
    pub at: Timestamp,
}

pub(super) fn snapshot(shared: &ProviderShared, now: Instant) -> ProviderSnapshot {
    let wall = |moment| wall_time(moment, now, &shared.environment);
    let breaker = shared.gate.breaker(now);
    let past = breaker.transitions.iter().map(|past| PastTransition {
        from: past.from,
        to: past.to,
        reason: past.reason,
        at: wall(past.at),
    });
    ProviderSnapshot {
        name: shared.provider.profile().name.clone(),
        routed: true,
        available: shared.gate.is_available(Purpose::Client, now),
        state: breaker.state,
        failure_rate: breaker.failure_rate,
        slow_rate: breaker.slow_rate,
        window: breaker.window,
        calls: breaker.calls,
        failed: breaker.failed,
        slow: breaker.slow,
        not_permitted: breaker.not_permitted,
        retry_at: breaker.retry_at.map(wall),
        concurrency: shared.gate.limiter(),
        retry_budget: shared.gate.budget_tokens(now),
        transitions: past.collect(),
    }
}

/// Every provider of this process. Cheap to clone.
#[derive(Clone)]
pub struct Providers(Arc<DriveContext>);

impl fmt::Debug for Providers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Providers").finish_non_exhaustive()
    }
}

impl Providers {
    pub(in crate::actors) fn new(context: Arc<DriveContext>) -> Self {
        Self(context)
    }

    /// All, by name.
    pub fn snapshots(&self) -> Vec<ProviderSnapshot> {
        let now = Instant::now();
        let names = self.0.provider_names();
        names.filter_map(|name| self.find(name, now)).collect()
    }

    pub fn snapshot(&self, name: &str) -> Option<ProviderSnapshot> {
        self.find(name, Instant::now())
    }

    /// Sets the breaker of that provider and gives back how it stands then; `None` if there is none
    /// of that name.
    pub fn set_breaker(&self, name: &str, switch: OperatorSwitch) -> Option<ProviderSnapshot> {
        let now = Instant::now();
        self.0.route(name)?.actor.set_breaker(switch, now);
        self.find(name, now)
    }

    /// Every change of a breaker from now on, at most 256 behind.
    pub fn subscribe(&self) -> broadcast::Receiver<BreakerEvent> {
        self.0.feed.subscribe()
    }

    /// How long that provider's open breaker still refuses every call; zero if it is not open.
    pub fn retry_after(&self, name: &str) -> Duration {
        let now = Instant::now();
        let retry_at = self
            .0
            .route(name)
            .and_then(|route| route.actor.retry_at(now));
        retry_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }

    fn find(&self, name: &str, now: Instant) -> Option<ProviderSnapshot> {
        let snapshot = self.0.route(name)?.actor.snapshot(now);
        Some(ProviderSnapshot {
            routed: self.0.is_routed(name),
            ..snapshot
        })
    }
}
