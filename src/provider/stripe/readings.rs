//! What was read of the list of payment intents, kept for a while: one reading serves everybody who looks
//! for something that was made in the same time. Start reading at [`Readings::next_unknown`].
//!
//! Of each intent the digests are kept of the operation that made it and of the key that it was made
//! under. **Invariant:** an intent that [`PaymentIntent::is_of_operation`] would take has one of the two,
//! so what has neither in a second that was read is not there. What has one is read again by who looks
//! for it.

use std::{
    collections::{BTreeMap, hash_map::RandomState},
    hash::BuildHasher,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::intent::PaymentIntent;
use crate::provider::Call;

/// Words of eight bytes that are kept at once: those of 28 hours of nearly twenty payments a second. With
/// more, what was read longest ago is dropped, and read again if it is asked for.
const WORDS_MAX: usize = 4_000_000;
/// What a reading takes beside its digests, in words.
const WORDS_EACH: usize = 12;
/// Who still looks after so long comes for the second time, for which what is older is no evidence.
const KEPT_FOR: Duration = Duration::from_secs(24 * 3_600);

/// An operation that is looked for, and since when a reading without it is evidence.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    digests: [u64; 2],
    since: Instant,
}

/// What stood in some seconds of Stripe's clock, which are not asked for one by one.
#[derive(Clone, Debug)]
struct Reading {
    last_second: i64,
    began: Instant,
    digests: Arc<[u64]>,
}

impl Reading {
    fn words(&self) -> usize {
        WORDS_EACH + self.digests.len()
    }

    fn is_without(&self, wanted: &Wanted) -> bool {
        self.began >= wanted.since && !wanted.digests.iter().any(|it| self.digests.contains(it))
    }
}

#[derive(Debug, Default)]
struct Kept {
    /// By their first second; no second is in two.
    readings: BTreeMap<i64, Reading>,
    words: usize,
}

/// The readings of one account.
#[derive(Debug, Default)]
pub(super) struct Readings {
    hasher: RandomState,
    kept: Mutex<Kept>,
}

impl Readings {
    pub(super) fn wanted(&self, call: &Call, since: Instant) -> Wanted {
        let identity = &call.expected.identity;
        let key = identity.payment_key.as_str();
        let digests = [
            self.hasher.hash_one(call.expected.operation_id),
            (self.hasher).hash_one((identity.merchant_id, identity.mode, key)),
        ];
        Wanted { digests, since }
    }

    /// The digests of the intents that carry our marks.
    pub(super) fn digests<'a>(&self, intents: impl Iterator<Item = &'a PaymentIntent>) -> Vec<u64> {
        let marks = intents.filter_map(PaymentIntent::marks);
        let digests = marks.flat_map(|marks| {
            let operation = marks.operation_id().map(|id| self.hasher.hash_one(id));
            let key = marks.key().map(|key| self.hasher.hash_one(key));
            operation.into_iter().chain(key)
        });
        digests.collect()
    }

    /// Keeps what was read of whole seconds, no earlier than `began`.
    pub(super) fn keep(&self, first: i64, last_second: i64, digests: &[u64], began: Instant) {
        if first > last_second {
            return;
        }
        let reading = Reading {
            last_second,
            began,
            digests: digests.into(),
        };
        self.lock().put(first, reading);
    }

    /// Forgets everything that was read.
    pub(super) fn forget(&self) {
        *self.lock() = Kept::default();
    }

    /// The latest second of `first..=last` that is not known to be without it.
    pub(super) fn next_unknown(&self, first: i64, last: i64, wanted: &Wanted) -> Option<i64> {
        let kept = self.lock();
        let mut second = last;
        while second >= first {
            match kept.of(second) {
                Some((from, reading)) if reading.is_without(wanted) => second = from - 1,
                _ => return Some(second),
            }
        }
        None
    }

    /// The earliest second from which on nothing up to `last` is known to be without it, `first` at the
    /// earliest and `last` at the latest.
    pub(super) fn unknown_from(&self, first: i64, last: i64, wanted: &Wanted) -> i64 {
        let kept = self.lock();
        let below = kept.readings.range(first..=last).rev();
        let known = below.map(|(_, reading)| reading);
        let known = known.chain(kept.of(first).map(|(_, reading)| reading));
        let mut known = known.filter(|reading| reading.is_without(wanted));
        known.next().map_or(first, |reading| {
            (reading.last_second + 1).clamp(first, last)
        })
    }

    /// Each change is whole: a panic elsewhere spoils none.
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn of(&self, second: i64) -> Option<(i64, &Reading)> {
        let (&from, reading) = self.readings.range(..=second).next_back()?;
        (second <= reading.last_second).then_some((from, reading))
    }

    fn put(&mut self, first: i64, reading: Reading) {
        let (last, now) = (reading.last_second, reading.began);
        self.drop_old(now, reading.words());
        let overlapped: Vec<i64> = (self.of(first).map(|(from, _)| from).into_iter())
            .chain(self.readings.range(first..=last).map(|(&from, _)| from))
            .collect();
        for from in overlapped {
            let Some(before) = self.remove(from) else {
                continue;
            };
            // Its digests stay with either part: what may be there is read again.
            if from < first {
                let part = Reading {
                    last_second: first - 1,
                    ..before.clone()
                };
                self.insert(from, part);
            }
            if before.last_second > last {
                self.insert(last + 1, before);
            }
        }
        self.insert(first, reading);
    }

    /// Makes room for `more` words.
    fn drop_old(&mut self, now: Instant, more: usize) {
        let is_old = |began: Instant| now.saturating_duration_since(began) >= KEPT_FOR;
        let ends = |(&from, reading): (&i64, &Reading)| is_old(reading.began).then_some(from);
        let old: Vec<i64> = self.readings.iter().filter_map(ends).collect();
        for from in old {
            self.remove(from);
        }
        while self.words + more > WORDS_MAX {
            let oldest = self
                .readings
                .iter()
                .min_by_key(|(_, reading)| reading.began);
            let Some((&from, _)) = oldest else {
                break;
            };
            self.remove(from);
        }
    }

    fn insert(&mut self, first: i64, reading: Reading) {
        self.words += reading.words();
        self.readings.insert(first, reading);
    }

    fn remove(&mut self, first: i64) -> Option<Reading> {
        let removed = self.readings.remove(&first)?;
        self.words -= removed.words();
        Some(removed)
    }
}

#[cfg(test)]
mod tests;
