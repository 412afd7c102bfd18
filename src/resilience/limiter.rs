//! How many calls to a provider may be under way at once. Start reading at [`Limiter::acquire`].
//!
//! The limit follows AIMD, as TCP's does: it grows by a few for each round of calls that ended well
//! while it was in use, and is cut by a part when a call shows overload: a timeout, a refusal for
//! load, an answer later than [`LimiterSettings::slow`]. Netflix's concurrency-limits has AIMD and
//! Gradient2. Gradient2 compares short with long latency, and takes for queueing what is none here:
//! how long a payment takes depends on the customer's bank, in a mixture of modes, and a mere change
//! of the mixture would cut the limit. AIMD believes only what says overload for certain, and leaves
//! a provider that is slow throughout to the breaker.
//!
//! Two things differ from Netflix's AIMD. Calls that were under way before a cut do not cut again,
//! so that a hundred timeouts of one moment are one sign (TCP: one cut a round trip). And it starts
//! at its upper bound: refusing healthy traffic after every start would be worse than finding the
//! limit from above, under an admission that bounds everything already.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::Purpose;

/// Bounds and defaults of a [`Limiter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimiterSettings {
    /// Below this the limit never falls: 1 to `max`. Default: 16 (Netflix: 20).
    pub min: u32,
    /// Above this it never grows: `min` to 100,000. Default: 512.
    pub max: u32,
    /// An answer later than this is a sign of overload. Default: 5 s, as in Netflix's AIMD.
    pub slow: Duration,
}

impl Default for LimiterSettings {
    fn default() -> Self {
        Self {
            min: 16,
            max: 512,
            slow: Duration::from_secs(5),
        }
    }
}

/// What a cut leaves of the limit: seven tenths, as in CUBIC (RFC 9438).
const CUT: f64 = 0.7;
/// Growth in a round, which is as many good calls as the limit counts: 4, as Gradient2's queue size.
const GROWTH: f64 = 4.0;

/// An adaptive limit of the calls under way. Cheap to clone; every clone is the same limit.
#[derive(Clone, Debug)]
pub struct Limiter(Arc<Mutex<Limit>>);

/// What an operator sees of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimiterSnapshot {
    pub limit: u32,
    /// Calls for clients.
    pub in_flight: u32,
    /// Calls that settle what is in doubt.
    pub settling: u32,
}

impl Limiter {
    pub fn new(settings: LimiterSettings) -> Self {
        Self(Arc::new(Mutex::new(Limit::new(settings))))
    }

    /// Room for one call, or nothing. Settling has a quarter of the limit for itself, at least one,
    /// so that neither kind of work waits for the other.
    pub fn acquire(&self, purpose: Purpose, now: Instant) -> Option<LimiterPermit> {
        let mut limit = self.lock();
        if limit.room(purpose) == 0 {
            return None;
        }
        *limit.taken(purpose) += 1;
        Some(LimiterPermit {
            limiter: self.clone(),
            purpose,
            began: now,
        })
    }

    pub fn has_room(&self, purpose: Purpose) -> bool {
        self.room(purpose) > 0
    }

    /// For how many calls there is room now.
    pub fn room(&self, purpose: Purpose) -> u32 {
        self.lock().room(purpose)
    }

    pub fn snapshot(&self) -> LimiterSnapshot {
        let limit = self.lock();
        LimiterSnapshot {
            limit: limit.whole(),
            in_flight: limit.in_flight,
            settling: limit.settling,
        }
    }

    /// Counts are put right by the guards: a panic elsewhere spoils none.
    fn lock(&self) -> MutexGuard<'_, Limit> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Room for one call. Dropped without a word, it gives the room back and teaches nothing.
#[derive(Debug)]
#[must_use = "the room is given back when this is dropped"]
pub struct LimiterPermit {
    limiter: Limiter,
    purpose: Purpose,
    began: Instant,
}

impl LimiterPermit {
    /// The call begins only now: the room was taken ahead of it.
    pub fn begun(self, now: Instant) -> Self {
        let mut permit = self;
        permit.began = now;
        permit
    }

    /// The call has ended; `overloaded` when it timed out or was refused for load.
    pub fn complete(self, overloaded: bool, now: Instant) {
        self.limiter.lock().learn(self.began, overloaded, now);
    }
}

impl Drop for LimiterPermit {
    fn drop(&mut self) {
        let mut limit = self.limiter.lock();
        let taken = limit.taken(self.purpose);
        *taken = taken.saturating_sub(1);
    }
}

#[derive(Debug)]
struct Limit {
    settings: LimiterSettings,
    limit: f64,
    in_flight: u32,
    settling: u32,
    cut_at: Option<Instant>,
}

impl Limit {
    fn new(settings: LimiterSettings) -> Self {
        let max = settings.max.max(1);
        let min = settings.min.clamp(1, max);
        Self {
            settings: LimiterSettings {
                min,
                max,
                ..settings
            },
            limit: f64::from(max),
            in_flight: 0,
            settling: 0,
            cut_at: None,
        }
    }

    fn whole(&self) -> u32 {
        self.limit as u32
    }

    fn room(&self, purpose: Purpose) -> u32 {
        match purpose {
            Purpose::Client => self.whole().saturating_sub(self.in_flight),
            Purpose::Settling => (self.whole() / 4).max(1).saturating_sub(self.settling),
        }
    }

    fn taken(&mut self, purpose: Purpose) -> &mut u32 {
        match purpose {
            Purpose::Client => &mut self.in_flight,
            Purpose::Settling => &mut self.settling,
        }
    }

    fn learn(&mut self, began: Instant, overloaded: bool, now: Instant) {
        let bounds = f64::from(self.settings.min)..=f64::from(self.settings.max);
        let slow = now.saturating_duration_since(began) > self.settings.slow;
        if overloaded || slow {
            if self.cut_at.is_none_or(|cut| began >= cut) {
                self.limit = (self.limit * CUT).clamp(*bounds.start(), *bounds.end());
                self.cut_at = Some(now);
            }
        } else if self.in_flight.saturating_mul(2) >= self.whole() {
            // A limit that is not needed is not known to be good.
            let grown = self.limit + GROWTH / self.limit;
            self.limit = grown.clamp(*bounds.start(), *bounds.end());
        }
    }
}

#[cfg(test)]
mod tests;
