//! The only source of chance in the sandbox, and of a drill's plan: seeded, so that a run can be
//! repeated.
//!
//! Each use (ids, faults, latency) draws from its own stream: a new fault rule changes no id.

use std::f64::consts::TAU;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const GOLDEN_GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// A splitmix64 stream: small, quick and good enough for a fake provider; never for secrets.
#[derive(Debug)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    /// The `stream`-th independent sequence of `seed`.
    pub(crate) fn stream(seed: u64, stream: u64) -> Self {
        let mut origin = Self {
            state: seed ^ stream.wrapping_mul(GOLDEN_GAMMA),
        };
        Self {
            state: origin.next(),
        }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN_GAMMA);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Uniform in `0.0 <= x < 1.0`.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform in `least <= n <= most`, for ranges that are small beside 2^53.
    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + (self.unit() * (most.saturating_sub(least) + 1) as f64) as u64
    }

    /// Standard normal (mean 0, deviation 1), by Box and Muller.
    pub(super) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (TAU * self.unit()).cos()
    }

    /// `prefix` and `length` base62 characters, as Stripe names its objects.
    pub(super) fn id(&mut self, prefix: &str, length: usize) -> Box<str> {
        let mut id = String::with_capacity(prefix.len() + length);
        id.push_str(prefix);
        let mut pool = 0;
        for position in 0..length {
            if position % 8 == 0 {
                pool = self.next();
            }
            let digit = (pool % 62) as usize;
            id.push(char::from(BASE62.get(digit).copied().unwrap_or(b'0')));
            pool /= 62;
        }
        id.into_boxed_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_repeats_and_streams_differ() {
        let ids = |seed, stream| Random::stream(seed, stream).id("pi_", 24);

        assert_eq!(ids(7, 1), ids(7, 1));
        assert_ne!(ids(7, 1), ids(7, 2));
        assert_ne!(ids(7, 1), ids(8, 1));
        assert_eq!(ids(7, 1).len(), 27);
    }

    #[test]
    fn a_range_is_drawn_to_both_of_its_ends_and_no_further() {
        let mut random = Random::stream(1, 1);
        let draws: Vec<u64> = (0..1_000).map(|_| random.between(3, 6)).collect();
        assert_eq!(
            (draws.iter().min(), draws.iter().max()),
            (Some(&3), Some(&6))
        );
        assert_eq!(random.between(5, 5), 5);
    }

    #[test]
    fn normal_draws_have_the_mean_and_deviation_of_their_name() {
        let mut random = Random::stream(1, 1);
        let draws: Vec<f64> = (0..20_000).map(|_| random.normal()).collect();

        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / draws.len() as f64;

        assert!(mean.abs() < 0.03, "{mean}");
        assert!((variance - 1.0).abs() < 0.05, "{variance}");
    }
}
