//! How long the provider takes to answer: constant, or log-normal through two percentiles.

use std::time::Duration;

use super::random::Random;

/// How many deviations the 99th percentile lies above the median of a normal distribution.
const P99_DEVIATIONS: f64 = 2.326_347_874;

/// Latency added to every provider call, in milliseconds; a draw is 60 s at most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latency {
    p50_ms: f64, // Invariant: 0 <= p50_ms <= p99_ms <= MAX_MS, and 0 < p50_ms unless p99_ms is 0.
    p99_ms: f64,
}

/// Percentiles that no latency can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LatencyError {
    /// The median is not in `0..=60000`.
    #[error("p50 must be a number from 0 to 60000 (milliseconds)")]
    P50,
    /// The 99th percentile is below the median or above 60 000, or the median is 0.
    #[error("p99 must be a number from p50 to 60000 (milliseconds), and p50 above 0 beside it")]
    P99,
}

impl Latency {
    /// Longest latency that may be asked for, and longest that is drawn.
    pub const MAX_MS: f64 = 60_000.0;

    /// Every call takes `ms` milliseconds.
    ///
    /// # Errors
    /// [`LatencyError::P50`] if `ms` is not in `0..=60000`.
    pub fn constant(ms: f64) -> Result<Self, LatencyError> {
        if (0.0..=Self::MAX_MS).contains(&ms) {
            Ok(Self {
                p50_ms: ms,
                p99_ms: ms,
            })
        } else {
            Err(LatencyError::P50)
        }
    }

    /// Log-normal with this median and this 99th percentile, in milliseconds.
    ///
    /// # Errors
    /// [`LatencyError`] unless `0 < p50 <= p99 <= 60000` or all are 0.
    pub fn log_normal(p50_ms: f64, p99_ms: f64) -> Result<Self, LatencyError> {
        let constant = Self::constant(p50_ms)?;
        if p99_ms == p50_ms {
            return Ok(constant);
        }
        if p50_ms > 0.0 && (p50_ms..=Self::MAX_MS).contains(&p99_ms) {
            Ok(Self { p50_ms, p99_ms })
        } else {
            Err(LatencyError::P99)
        }
    }

    /// The median, in milliseconds.
    pub fn p50_ms(&self) -> f64 {
        self.p50_ms
    }

    /// The 99th percentile, in milliseconds.
    pub fn p99_ms(&self) -> f64 {
        self.p99_ms
    }

    pub(super) fn draw(&self, random: &mut Random) -> Duration {
        if self.p99_ms == self.p50_ms {
            return Duration::from_secs_f64(self.p50_ms / 1_000.0);
        }
        let sigma = (self.p99_ms / self.p50_ms).ln() / P99_DEVIATIONS;
        let drawn_ms = self.p50_ms * (sigma * random.normal()).exp();
        Duration::from_secs_f64(drawn_ms.min(Self::MAX_MS) / 1_000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_go_through_both_percentiles() {
        let latency = Latency::log_normal(100.0, 900.0).unwrap();
        let mut random = Random::stream(3, 3);
        let mut draws: Vec<_> = (0..20_000).map(|_| latency.draw(&mut random)).collect();
        draws.sort_unstable();

        let p50 = draws[10_000].as_secs_f64();
        let p99 = draws[19_800].as_secs_f64();

        assert!((0.095..0.105).contains(&p50), "{p50}");
        assert!((0.8..1.0).contains(&p99), "{p99}");
    }

    #[test]
    fn impossible_percentiles_are_refused() {
        assert_eq!(Latency::constant(-1.0), Err(LatencyError::P50));
        assert_eq!(Latency::constant(f64::NAN), Err(LatencyError::P50));
        assert_eq!(Latency::log_normal(5.0, 4.0), Err(LatencyError::P99));
        assert_eq!(Latency::log_normal(0.0, 4.0), Err(LatencyError::P99));
        assert_eq!(Latency::log_normal(0.0, 0.0), Latency::constant(0.0));
    }
}
