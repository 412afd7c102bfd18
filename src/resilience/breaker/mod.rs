//! Circuit breaker: whether a provider is worth asking. Start reading at [`Breaker::acquire`].
//!
//! The machine is resilience4j's (`CircuitBreakerStateMachine.java`), with four differences. It opens
//! after consecutive hard failures too; the wait doubles; half-open always ends; and a permit is a
//! guard, which gives itself back when the call that held it is dropped.
//!
//! | from | to | when |
//! |---|---|---|
//! | closed | open | failures or slow calls reach their share, or hard failures in a row their number |
//! | open | half_open | the first call after the wait |
//! | half_open | closed | every permit brought a result, and too few were bad |
//! | half_open | open | too many were bad, or the results did not come in time |
//! | any | forced_open, disabled, metrics_only, closed | an operator said so |
//!
//! **Invariant:** a result that comes after a transition is recorded, and causes none.
//! **Invariant:** no state but those of an operator can last for ever while calls are asked for.

mod machine;
mod settings;
mod state;
mod window;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::Purpose;
use machine::{Machine, Ticket};

pub use settings::BreakerSettings;
pub use state::{
    BreakerSnapshot, BreakerState, CallResult, NotPermitted, OperatorSwitch, Transition,
    TransitionReason,
};

/// A breaker that calls share. Cheap to clone; every clone is the same breaker.
#[derive(Clone, Debug)]
pub struct Breaker(Arc<Mutex<Machine>>);

impl Breaker {
    pub fn new(settings: BreakerSettings, now: Instant) -> Self {
        Self(Arc::new(Mutex::new(Machine::new(settings, now))))
    }

    /// Leave for one call, to be had before any side effect of it. `chance` is drawn evenly from
    /// 0 <= chance < 1, for the jitter.
    ///
    /// # Errors
    /// [`NotPermitted`], which says until when, where that is known.
    pub fn acquire(
        &self,
        purpose: Purpose,
        now: Instant,
        chance: f64,
    ) -> Result<BreakerPermit, NotPermitted> {
        let ticket = self.lock().acquire(purpose, now, chance)?;
        Ok(BreakerPermit {
            breaker: self.clone(),
            ticket: Some(ticket),
        })
    }

    /// Whether a call would be permitted now; it takes no permit.
    pub fn permits(&self, purpose: Purpose, now: Instant, chance: f64) -> bool {
        self.lock().permits(purpose, now, chance)
    }

    /// How many calls would be permitted now, one after the other.
    pub fn room(&self, purpose: Purpose, now: Instant, chance: f64) -> u32 {
        self.lock().room(purpose, now, chance)
    }

    pub fn operate(&self, switch: OperatorSwitch, now: Instant) {
        self.lock().operate(switch, now);
    }

    pub fn state(&self) -> BreakerState {
        self.lock().state()
    }

    pub fn snapshot(&self, now: Instant) -> BreakerSnapshot {
        self.lock().snapshot(now)
    }

    /// The transitions since the last time this was asked, at most 20, to be published by whoever
    /// asks: every other method may have caused some.
    pub fn take_transitions(&self) -> Vec<Transition> {
        self.lock().take_transitions()
    }

    /// The machine changes in steps that cannot panic half-way: a poisoned lock guards it still.
    fn lock(&self) -> MutexGuard<'_, Machine> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leave for one call. Dropped without a result, it is given back.
#[derive(Debug)]
#[must_use = "the permit is given back when this is dropped"]
pub struct BreakerPermit {
    breaker: Breaker,
    ticket: Option<Ticket>,
}

impl BreakerPermit {
    /// The call ended so, and took so long.
    pub fn record(mut self, result: CallResult, took: Duration, now: Instant, chance: f64) {
        if let Some(ticket) = self.ticket.take() {
            self.breaker
                .lock()
                .record(&ticket, result, took, now, chance);
        }
    }
}

impl Drop for BreakerPermit {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.breaker.lock().release(&ticket);
        }
    }
}
