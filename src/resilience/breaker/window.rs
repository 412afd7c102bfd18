//! What the rates are taken from.

use std::time::Duration;

use tokio::time::Instant;

/// Calls, and how they went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) calls: u32,
    pub(super) failed: u32,
    pub(super) slow: u32,
}

impl Tally {
    pub(super) fn add(&mut self, failed: bool, slow: bool) {
        self.calls = self.calls.saturating_add(1);
        self.failed = self.failed.saturating_add(failed.into());
        self.slow = self.slow.saturating_add(slow.into());
    }

    /// Whether `part` of the calls has reached `percent` of them.
    pub(super) fn reaches(&self, part: u32, percent: u32) -> bool {
        self.calls > 0 && u64::from(part) * 100 >= u64::from(self.calls) * u64::from(percent)
    }

    pub(super) fn rate(&self, part: u32) -> f64 {
        f64::from(part) / f64::from(self.calls.max(1))
    }
}

/// The calls of the last seconds, in buckets of one second that are forgotten one by one.
#[derive(Clone, Debug)]
pub(super) struct TimeWindow {
    started: Instant,
    buckets: Vec<Bucket>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    second: u64,
    tally: Tally,
}

impl TimeWindow {
    pub(super) fn new(length: Duration, now: Instant) -> Self {
        let seconds = usize::try_from(length.as_secs()).unwrap_or(usize::MAX);
        Self {
            started: now,
            buckets: vec![Bucket::default(); seconds.clamp(1, 600)],
        }
    }

    pub(super) fn clear(&mut self) {
        self.buckets.fill(Bucket::default());
    }

    pub(super) fn add(&mut self, failed: bool, slow: bool, now: Instant) {
        let (second, length) = (self.second(now), self.length());
        let index = usize::try_from(second % length).unwrap_or_default();
        if let Some(bucket) = self.buckets.get_mut(index) {
            if bucket.second < second {
                *bucket = Bucket {
                    second,
                    tally: Tally::default(),
                };
            }
            bucket.tally.add(failed, slow);
        }
    }

    pub(super) fn tally(&self, now: Instant) -> Tally {
        let (second, length) = (self.second(now), self.length());
        let fresh = self
            .buckets
            .iter()
            .filter(|bucket| bucket.second + length > second);
        fresh.fold(Tally::default(), |sum, bucket| Tally {
            calls: sum.calls.saturating_add(bucket.tally.calls),
            failed: sum.failed.saturating_add(bucket.tally.failed),
            slow: sum.slow.saturating_add(bucket.tally.slow),
        })
    }

    fn second(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.started).as_secs()
    }

    fn length(&self) -> u64 {
        self.buckets.len() as u64
    }
}
