//! The sandbox's one state and the lock around it.
//!
//! **Invariant:** nothing waits while it holds the lock.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio_util::sync::CancellationToken;

use super::SandboxConfig;
use super::answer::{Answer, Refusal};
use super::faults_in_force::Faults;
use super::idempotency::{Keys, ScopedKey};
use super::ledger::Ledger;
use super::port::PortSwitch;
use super::random::Random;
use super::stats::{Counters, Stats};

/// What all connections share.
pub(super) struct World {
    state: Mutex<State>,
    secret: Option<SecretString>,
    now: Arc<dyn Fn() -> i64 + Send + Sync>,
    pub(super) hang_max: Duration,
    pub(super) main_port: PortSwitch,
    pub(super) stopping: CancellationToken,
}

/// What the lock protects.
pub(super) struct State {
    pub(super) ledger: Ledger,
    pub(super) keys: Keys,
    pub(super) faults: Faults,
    pub(super) counters: Counters,
    pub(super) request_ids: Random,
    /// Counts resets: what was under way before one must not act after it.
    pub(super) epoch: u64,
    key_retention_us: i64,
}

impl World {
    pub(super) fn new(config: SandboxConfig) -> Self {
        let stream = |number| Random::stream(config.seed, number);
        let key_retention_us = microseconds(config.key_retention);
        let state = State {
            ledger: Ledger::new(stream(1), microseconds(config.processing_time)),
            keys: Keys::new(key_retention_us),
            faults: Faults::new(stream(2), stream(3)),
            counters: Counters::default(),
            request_ids: stream(4),
            epoch: 0,
            key_retention_us,
        };
        Self {
            state: Mutex::new(state),
            secret: config.secret,
            now: config.now,
            hang_max: config.hang_max,
            main_port: PortSwitch::new(),
            stopping: CancellationToken::new(),
        }
    }

    /// The state, brought up to the present.
    pub(super) fn enter(&self) -> MutexGuard<'_, State> {
        let now_us = (self.now)();
        // A poisoned lock means that a thread died; every change is whole, so go on.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.ledger.advance(now_us);
        state
    }

    /// Stripe's answer to a missing or wrong secret. Without a configured secret any will do.
    pub(super) fn authenticate<'a>(&self, secret: Option<&'a str>) -> Result<&'a str, Refusal> {
        let given = secret.ok_or_else(|| {
            Refusal::unauthorized("You did not provide an API key in the Authorization header.")
        })?;
        match &self.secret {
            Some(expected) if expected.expose_secret() != given => {
                Err(Refusal::unauthorized("Invalid API Key provided."))
            }
            _ => Ok(given),
        }
    }
}

impl State {
    /// Forgets payments, refunds, keys and counters; the faults stay.
    pub(super) fn reset(&mut self) {
        self.ledger.reset();
        self.keys = Keys::new(self.key_retention_us);
        self.counters = Counters::default();
        self.epoch += 1;
    }

    pub(super) fn stats(&self) -> Stats {
        self.counters.stats(&self.ledger)
    }

    /// Ends a key that was begun in `epoch`; see [`Keys::end`].
    pub(super) fn end_key(&mut self, key: &ScopedKey, epoch: u64, answer: Option<Answer>) {
        if epoch == self.epoch {
            self.keys.end(key, answer, self.ledger.now_us());
        }
    }
}

fn microseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
