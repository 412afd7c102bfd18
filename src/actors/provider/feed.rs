//! Tells whoever listens that a breaker changed its state.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::{sync::broadcast, time::Instant};

use crate::{
    environment::Environment,
    payment::Timestamp,
    resilience::{BreakerState, Transition, TransitionReason},
};

/// Events that a slow listener may be behind before it misses some.
const EVENTS_MAX: usize = 256;

/// A breaker changed its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerEvent {
    /// Counts the events of this process, from 1.
    pub number: u64,
    pub provider: Arc<str>,
    pub from: BreakerState,
    pub to: BreakerState,
    pub reason: TransitionReason,
    pub at: Timestamp,
}

/// The transitions of every provider's breaker, in one stream.
#[derive(Clone, Debug)]
pub(crate) struct BreakerFeed {
    sender: broadcast::Sender<BreakerEvent>,
    told: Arc<AtomicU64>,
}

impl BreakerFeed {
    pub(crate) fn new() -> Self {
        Self {
            sender: broadcast::Sender::new(EVENTS_MAX),
            told: Arc::default(),
        }
    }

    /// What happens from now on; a listener that lags misses the oldest, and is told so.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<BreakerEvent> {
        self.sender.subscribe()
    }

    pub(super) fn tell(&self, provider: &Arc<str>, transition: &Transition, at: Timestamp) {
        let event = BreakerEvent {
            number: self.told.fetch_add(1, Ordering::SeqCst) + 1,
            provider: Arc::clone(provider),
            from: transition.from,
            to: transition.to,
            reason: transition.reason,
            at,
        };
        // Without a listener nobody misses it: the breaker remembers its last transitions.
        drop(self.sender.send(event));
    }
}

/// The wall clock's time of a moment of the monotonic clock, past or to come.
pub(super) fn wall_time(moment: Instant, now: Instant, environment: &Environment) -> Timestamp {
    let wall = environment.now();
    match now.checked_duration_since(moment) {
        Some(ago) => wall.minus(ago),
        None => wall.plus(moment.saturating_duration_since(now)),
    }
}
