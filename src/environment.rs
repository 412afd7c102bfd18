//! The edge: wall clock and randomness come in here, and nowhere else.
//!
//! **Invariant:** no other module reads the system's clock or its random source; clippy forbids it.

use std::{fmt, sync::Arc};

use crate::payment::{Id, Owner, Timestamp};

/// The wall clock. Leases do not use it: they run by the database's.
pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;
}

/// A source of random bytes.
pub trait Randomness: Send + Sync {
    fn fill(&self, bytes: &mut [u8]);
}

/// What the program takes from its surroundings while it runs; a simulation brings its own.
#[derive(Clone)]
pub struct Environment {
    pub clock: Arc<dyn Clock>,
    pub randomness: Arc<dyn Randomness>,
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment")
    }
}

impl Environment {
    /// The machine's clock and its random source.
    pub fn of_the_machine() -> Self {
        Self {
            clock: Arc::new(MachineClock),
            randomness: Arc::new(MachineRandomness),
        }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A new id, sorting after those of earlier milliseconds.
    pub fn new_id<P>(&self) -> Id<P> {
        let millis = u64::try_from(self.now().as_micros() / 1_000).unwrap_or(0);
        Id::from_uuid(
            uuid::Builder::from_unix_timestamp_millis(millis, &self.random_bytes()).into_uuid(),
        )
    }

    pub fn new_owner(&self) -> Owner {
        Owner(self.random_bytes())
    }

    pub fn random_bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.randomness.fill(&mut bytes);
        bytes
    }

    /// A number that is as likely to be near 0 as near 1: 0 <= n < 1.
    pub fn random_fraction(&self) -> f64 {
        let bits = u32::from_le_bytes(self.random_bytes());
        f64::from(bits) / (f64::from(u32::MAX) + 1.0)
    }
}

struct MachineClock;

impl Clock for MachineClock {
    #[expect(clippy::disallowed_methods, reason = "this is the edge")]
    fn now(&self) -> Timestamp {
        let since_epoch = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
    }
}

struct MachineRandomness;

impl Randomness for MachineRandomness {
    #[expect(clippy::disallowed_methods, reason = "this is the edge")]
    fn fill(&self, bytes: &mut [u8]) {
        if getrandom::fill(bytes).is_err() {
            // Without it neither keys nor ids are unique: no payment is better than a wrong one.
            std::process::abort();
        }
    }
}
