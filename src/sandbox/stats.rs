//! Counters of what was asked of the provider and what it did.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use serde::Serialize;

use super::calls::Endpoint;
use super::idempotency::ScopedKey;

/// What the provider was asked and what it did, since the start or the last reset.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stats {
    /// Requests by endpoint, counted on arrival: also those that a fault then struck.
    pub requests: BTreeMap<&'static str, u64>,
    /// `POST`s that executed, with whatever result; replays are not among them.
    pub executed: u64,
    /// Answers from the idempotency store.
    pub replays: u64,
    /// Executions that ended in a decline.
    pub declines: u64,
    /// Refusals of a key that was used with other parameters before.
    pub mismatches: u64,
    /// Refusals of a key that was running.
    pub in_use: u64,
    /// Different idempotency keys seen, by account.
    pub distinct_keys: u64,
    /// Most requests that came under one key.
    pub requests_by_key_max: u64,
    /// Payments that hold or have moved money.
    pub charges: u64,
    /// Money captured, in minor units by currency.
    pub captured: BTreeMap<String, i128>,
    /// Money refunded, in minor units by currency.
    pub refunded: BTreeMap<String, i128>,
}

/// The counters behind [`Stats`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    requests: [u64; Endpoint::COUNT],
    /// By a hash of the key: a count needs no name, and a long run has millions.
    by_key: HashMap<u64, u64>,
    by_key_max: u64,
    pub(super) executed: u64,
    pub(super) replays: u64,
    pub(super) declines: u64,
    pub(super) mismatches: u64,
    pub(super) in_use: u64,
}

impl Counters {
    pub(super) fn count_request(&mut self, endpoint: &Endpoint) {
        if let Some(count) = self.requests.get_mut(endpoint.number()) {
            *count += 1;
        }
    }

    pub(super) fn count_key(&mut self, key: &ScopedKey) {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
        let count = self.by_key.entry(hash).or_default();
        *count += 1;
        self.by_key_max = self.by_key_max.max(*count);
    }

    /// The counters, with what the ledger adds to them.
    pub(super) fn stats(&self, ledger: &super::ledger::Ledger) -> Stats {
        Stats {
            requests: Endpoint::NAMES.into_iter().zip(self.requests).collect(),
            executed: self.executed,
            replays: self.replays,
            declines: self.declines,
            mismatches: self.mismatches,
            in_use: self.in_use,
            distinct_keys: self.by_key.len() as u64,
            requests_by_key_max: self.by_key_max,
            charges: ledger.holding(),
            captured: ledger.captured().clone(),
            refunded: ledger.refunded().clone(),
        }
    }
}
