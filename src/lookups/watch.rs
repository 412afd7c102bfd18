//! What is counted of the look-ups, in words that know no metrics.

use std::{fmt, time::Duration};

use super::Refused;
use crate::resilience::BreakerState;

/// Where an answer was looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    Memory,
    Redis,
}

impl Tier {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Redis => "redis",
        }
    }
}

/// How a look-up ended. Anything but a hit means: ask the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    Hit,
    Miss,
    /// There was something, and it is not believed.
    Refused(Refused),
    /// An error, or an answer that is none.
    Error,
    /// No answer in time.
    Timeout,
    /// Redis was not asked: its breaker is open.
    Skipped,
}

impl Found {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Refused(_) => "refused",
            Self::Error => "error",
            Self::Timeout => "timeout",
            Self::Skipped => "skipped",
        }
    }
}

/// What became of an answer that was to be put into Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    Written,
    /// Redis said no: its memory is full, or it may not be written.
    Refused,
    /// An error, or no answer in time.
    Error,
    /// The breaker is open.
    Skipped,
    /// Too many waited already.
    Dropped,
    /// It is longer than what is read back.
    TooLong,
}

impl Put {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Refused => "refused",
            Self::Error => "error",
            Self::Skipped => "skipped",
            Self::Dropped => "dropped",
            Self::TooLong => "too_long",
        }
    }
}

/// Is told what happens; must return at once.
pub trait LookupWatch: fmt::Debug + Send + Sync + 'static {
    fn looked_up(&self, tier: Tier, found: Found, took: Duration);
    fn put(&self, put: Put);
    /// How Redis' breaker stands.
    fn breaker(&self, state: BreakerState);
    /// A message came; `awaited` when somebody here was waiting for it.
    fn message(&self, awaited: bool);
    /// Whether messages can come now.
    fn listening(&self, listening: bool);
}

/// Watches nothing.
#[derive(Clone, Copy, Debug)]
pub struct Unwatched;

impl LookupWatch for Unwatched {
    fn looked_up(&self, _: Tier, _: Found, _: Duration) {}
    fn put(&self, _: Put) {}
    fn breaker(&self, _: BreakerState) {}
    fn message(&self, _: bool) {}
    fn listening(&self, _: bool) {}
}
