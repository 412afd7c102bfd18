//! How many calls may be repeated, so that retries never become the load.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Bounds and defaults of a [`RetryBudget`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetSettings {
    /// What each first call pays in, in percent of one retry: 0 to 100. Default: 10, which is the
    /// bound of Google SRE ("Handling Overload": load grows by a tenth, not threefold).
    pub percent: u32,
    /// Retries that are free, per second: 0 to 1,000. Default: 1 (Finagle and tower take 10, for
    /// calls that cost less than a payment).
    pub per_s: u32,
    /// How long a payment into the budget counts: 1 to 60 s. Default: 10 s, as in Finagle.
    pub ttl: Duration,
}

impl Default for BudgetSettings {
    fn default() -> Self {
        Self {
            percent: 10,
            per_s: 1,
            ttl: Duration::from_secs(10),
        }
    }
}

/// A token bucket of retries, after Finagle's `RetryBudget` and tower's `TpsBudget`.
///
/// **Invariant:** the retries within one `ttl` are at most `percent` of the first calls within it,
/// and `per_s * ttl` more. What is saved up is forgotten after the `ttl`: a quiet night buys no storm
/// in the morning.
#[derive(Clone, Debug)]
pub struct RetryBudget(Arc<Mutex<Bucket>>);

impl RetryBudget {
    pub fn new(settings: BudgetSettings, now: Instant) -> Self {
        Self(Arc::new(Mutex::new(Bucket::new(settings, now))))
    }

    /// A first call was made.
    pub fn deposit(&self, now: Instant) {
        let mut bucket = self.lock();
        let paid = i64::from(bucket.settings.percent.min(100));
        bucket.book(paid, now);
    }

    /// Takes the price of one retry, if it is there.
    #[must_use = "a retry may be made only if this is true"]
    pub fn withdraw(&self, now: Instant) -> bool {
        let mut bucket = self.lock();
        let affordable = bucket.balance(now) >= RETRY;
        if affordable {
            bucket.book(-RETRY, now);
        }
        affordable
    }

    /// The retries that could be made now.
    pub fn tokens(&self, now: Instant) -> u64 {
        let balance = self.lock().balance(now);
        u64::try_from(balance / RETRY).unwrap_or_default()
    }

    /// A bucket is a few sums, each whole by itself: a panic elsewhere spoils none.
    fn lock(&self) -> MutexGuard<'_, Bucket> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The price of a retry, in hundredths.
const RETRY: i64 = 100;
/// The parts of the `ttl` that are forgotten one after the other.
const SLOTS: u64 = 10;

#[derive(Debug)]
struct Bucket {
    settings: BudgetSettings,
    started: Instant,
    /// Always there: what the free retries of one `ttl` cost.
    reserve: i64,
    /// What was paid in and taken out, by the part of the `ttl` in which it was.
    slots: Vec<Slot>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    period: u64,
    sum: i64,
}

impl Bucket {
    fn new(settings: BudgetSettings, now: Instant) -> Self {
        let ttl = settings
            .ttl
            .clamp(Duration::from_secs(1), Duration::from_secs(60));
        let settings = BudgetSettings { ttl, ..settings };
        let free = f64::from(settings.per_s) * ttl.as_secs_f64() * RETRY as f64;
        Self {
            settings,
            started: now,
            reserve: free as i64,
            slots: vec![Slot::default(); SLOTS as usize],
        }
    }

    fn period(&self, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.started).as_micros();
        let slot = self.settings.ttl.as_micros() / u128::from(SLOTS);
        u64::try_from(elapsed / slot.max(1)).unwrap_or(u64::MAX)
    }

    fn book(&mut self, sum: i64, now: Instant) {
        let period = self.period(now);
        let index = usize::try_from(period % SLOTS).unwrap_or_default();
        if let Some(slot) = self.slots.get_mut(index) {
            if slot.period < period {
                *slot = Slot { period, sum: 0 };
            }
            slot.sum = slot.sum.saturating_add(sum);
        }
    }

    fn balance(&self, now: Instant) -> i64 {
        let period = self.period(now);
        let fresh = self
            .slots
            .iter()
            .filter(|slot| slot.period + SLOTS > period);
        fresh.fold(self.reserve, |balance, slot| {
            balance.saturating_add(slot.sum)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn granted(budget: &RetryBudget, asked: u32, now: Instant) -> u32 {
        (0..asked).map(|_| u32::from(budget.withdraw(now))).sum()
    }

    #[test]
    fn a_hundred_first_calls_buy_ten_retries_beside_the_free_ones() {
        let start = Instant::now();
        let budget = RetryBudget::new(BudgetSettings::default(), start);
        (0..100).for_each(|_| budget.deposit(start));
        assert_eq!(budget.tokens(start), 20);
        assert_eq!(granted(&budget, 50, start), 20);
        assert_eq!(budget.tokens(start), 0);
    }

    #[test]
    fn nothing_is_free_without_a_reserve() {
        let (start, settings) = (Instant::now(), BudgetSettings::default());
        let budget = RetryBudget::new(
            BudgetSettings {
                per_s: 0,
                ..settings
            },
            start,
        );
        assert!(!budget.withdraw(start));
        (0..10).for_each(|_| budget.deposit(start));
        assert!(budget.withdraw(start) && !budget.withdraw(start));
    }

    #[test]
    fn what_is_saved_up_is_forgotten() {
        let start = Instant::now();
        let budget = RetryBudget::new(BudgetSettings::default(), start);
        (0..10_000).for_each(|_| budget.deposit(start));
        assert_eq!(budget.tokens(start + 9 * SECOND), 1_010);
        assert_eq!(budget.tokens(start + 10 * SECOND), 10);
    }

    #[test]
    fn the_free_retries_come_back_with_time() {
        let start = Instant::now();
        let budget = RetryBudget::new(BudgetSettings::default(), start);
        assert_eq!(granted(&budget, 50, start), 10);
        assert_eq!(granted(&budget, 50, start + 9 * SECOND), 0);
        assert_eq!(granted(&budget, 50, start + 10 * SECOND), 10);
    }

    proptest! {
        /// The invariant, against a list of everything that happened.
        #[test]
        fn no_ttl_sees_more_retries_than_it_may(
            steps in prop::collection::vec((0..400_u64, any::<bool>()), 1..400),
            percent in 0..=100_u32,
            per_s in 0..5_u32,
        ) {
            let settings = BudgetSettings { percent, per_s, ttl: 10 * SECOND };
            let (start, mut at_ms) = (Instant::now(), 0);
            let budget = RetryBudget::new(settings, start);
            let (mut calls, mut retries) = (Vec::new(), Vec::new());
            for (pause_ms, first) in steps {
                at_ms += pause_ms;
                let now = start + Duration::from_millis(at_ms);
                if first {
                    budget.deposit(now);
                    calls.push(at_ms);
                } else if budget.withdraw(now) {
                    retries.push(at_ms);
                    // The slots of the ttl that ends with this one's.
                    let from = (at_ms / 1_000 + 1).saturating_sub(10) * 1_000;
                    let within = |at: &&u64| **at >= from;
                    let paid = calls.iter().filter(within).count() as u64 * u64::from(percent);
                    let taken = retries.iter().filter(within).count() as u64 * 100;
                    prop_assert!(taken <= paid + u64::from(per_s) * 1_000);
                }
            }
        }
    }
}
