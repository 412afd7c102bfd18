//! When an operation must have come to an end.

use std::time::Duration;

use tokio::time::Instant;

/// The moment by which the whole operation must be answered, attempts and waits together. It is set
/// once, where the request comes in, and handed down: an attempt that cannot end in time is not begun
/// (Google SRE, "Addressing Cascading Failures": deadline propagation).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    pub fn at(end: Instant) -> Self {
        Self(end)
    }

    /// Whether something that may take as long as `length` can end by the deadline.
    pub fn allows(self, length: Duration, now: Instant) -> bool {
        length <= self.remaining(now)
    }

    /// What is left; zero from the deadline on.
    pub fn remaining(self, now: Instant) -> Duration {
        self.0.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_attempt_may_begin_exactly_if_it_can_end_in_time() {
        let start = Instant::now();
        let deadline = Deadline::at(start + Duration::from_secs(25));
        for (now_s, length_s, allowed) in [
            (0, 25, true),
            (0, 26, false),
            (15, 10, true),
            (16, 10, false),
            (25, 0, true),
            (30, 1, false),
        ] {
            let (now, length) = (
                start + Duration::from_secs(now_s),
                Duration::from_secs(length_s),
            );
            assert_eq!(
                deadline.allows(length, now),
                allowed,
                "{length_s} s at {now_s} s"
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_allowed_ends_by_the_deadline(
            end_ms in 0..60_000_u64, now_ms in 0..60_000_u64, length_ms in 1..60_000_u64,
        ) {
            let start = Instant::now();
            let (end, now) = (
                start + Duration::from_millis(end_ms),
                start + Duration::from_millis(now_ms),
            );
            let (deadline, length) = (Deadline::at(end), Duration::from_millis(length_ms));
            prop_assert_eq!(deadline.allows(length, now), now + length <= end);
        }
    }
}
