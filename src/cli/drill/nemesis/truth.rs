//! How everything stands at a moment at which nothing is under way: what the provider holds, and
//! what we say ourselves.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::history::Kind;

pub(super) use super::super::provider::{Charge, Totals};

/// Charges by the `reference` that they were made for, which is the payment's key.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Truth {
    pub(super) charges: BTreeMap<String, Vec<Charge>>,
    /// Of all charges, whomever they belong to.
    pub(super) in_all: Totals,
}

impl Charge {
    /// Whether it still takes or holds money.
    pub(super) fn stands(&self) -> bool {
        self.amount_capturable > 0 || self.amount_captured > self.amount_refunded
    }
}

/// Our own word.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Ours {
    /// By key. Two of one key would be two entries.
    pub(super) payments: BTreeMap<String, Vec<Payment>>,
    /// What is said to be in doubt: which operation, and why.
    pub(super) in_doubt: Vec<String>,
    /// All that the database has, by key.
    pub(super) operations: BTreeMap<String, Vec<Recorded>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Payment {
    pub(super) id: String,
    pub(super) status: String,
    pub(super) amount: i64,
    pub(super) amount_captured: i64,
    pub(super) amount_refunded: i64,
    pub(super) idempotency_key: String,
    /// ISO 4217 code in capitals.
    pub(super) currency: String,
}

/// An operation as the database has it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Recorded {
    pub(super) key: String,
    pub(super) kind: Kind,
    /// The key of its payment's creation.
    pub(super) payment_key: String,
    /// Of a capture or refund.
    pub(super) amount: i64,
    pub(super) state: String,
    /// How many drivers it had: its first one, and everyone who took it over.
    pub(super) epoch: i64,
    /// Whether it made a charge too late that was not given back yet.
    pub(super) has_stray: bool,
}

impl Recorded {
    /// Whether it has to come to an end, and not by its client.
    pub(super) fn is_open(&self) -> bool {
        self.state == "open" || self.has_stray
    }
}

impl Ours {
    pub(super) fn payment(&self, key: &str) -> Option<&Payment> {
        self.payments.get(key).and_then(|payments| payments.first())
    }

    pub(super) fn has_recorded(&self, key: &str) -> bool {
        self.operations.contains_key(key)
    }

    /// Whether an answer is stored under that key, for whoever asks.
    pub(super) fn has_settled(&self, key: &str) -> bool {
        let mut recorded = self.operations.get(key).into_iter().flatten();
        recorded.any(|operation| operation.state == "settled")
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Payment> {
        self.payments.values().flatten()
    }
}
