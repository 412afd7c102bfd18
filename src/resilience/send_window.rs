//! Until when a byte may go to the provider.

use std::time::Duration;

use tokio::time::Instant;

/// The end of the time in which an attempt may begin, on two clocks.
///
/// The monotonic clock stands still while a machine sleeps and the wall clock can be set back:
/// an attempt begins only if both allow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendWindow {
    monotonic_end: Instant,
    wall_end_micros: i64,
}

impl SendWindow {
    /// A window of `length`, seen from a moment read on both clocks.
    pub fn opened(at: Instant, wall_micros: i64, length: Duration) -> Self {
        let length_micros = i64::try_from(length.as_micros()).unwrap_or(i64::MAX);
        Self {
            monotonic_end: at + length,
            wall_end_micros: wall_micros.saturating_add(length_micros),
        }
    }

    /// A window that is over at that moment.
    pub fn closed(at: Instant, wall_micros: i64) -> Self {
        Self::opened(at, wall_micros, Duration::ZERO)
    }

    /// Whether an attempt may begin at that moment.
    pub fn is_open(&self, now: Instant, wall_micros: i64) -> bool {
        now < self.monotonic_end && wall_micros < self.wall_end_micros
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule 8.
    #[tokio::test]
    async fn rule_8_either_clock_closes_the_window() {
        let start = Instant::now();
        let window = SendWindow::opened(start, 1_000_000, Duration::from_secs(2));
        let second = Duration::from_secs(1);
        assert!(window.is_open(start + second, 2_000_000));
        assert!(!window.is_open(start + 2 * second, 2_000_000), "monotonic");
        assert!(!window.is_open(start + second, 3_000_000), "wall");
    }
}
