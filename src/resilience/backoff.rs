//! Exponential backoff with full jitter.

use std::time::Duration;

/// Waits between attempts: `chance * min(cap, base * 2^attempt)`, the "full jitter" of the AWS
/// Architecture Blog's backoff simulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    pub base: Duration,
    pub cap: Duration,
}

impl Backoff {
    /// The wait before the attempt after `attempts` failed ones (1 is the first); `chance` is drawn
    /// evenly from 0 <= chance < 1.
    pub fn wait(&self, attempts: u32, chance: f64) -> Duration {
        let doublings = attempts.saturating_sub(1).min(31);
        self.cap
            .min(self.base.saturating_mul(1 << doublings))
            .mul_f64(chance.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BACKOFF: Backoff = Backoff {
        base: Duration::from_millis(200),
        cap: Duration::from_secs(5),
    };

    #[test]
    fn the_span_doubles_until_the_cap() {
        let spans: Vec<_> = (1..=7).map(|n| BACKOFF.wait(n, 1.0).as_millis()).collect();
        assert_eq!(spans, [200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
    }

    proptest! {
        #[test]
        fn no_wait_is_longer_than_the_cap(attempts: u32, chance in 0.0..1.0_f64) {
            prop_assert!(BACKOFF.wait(attempts, chance) <= BACKOFF.cap);
        }
    }
}
