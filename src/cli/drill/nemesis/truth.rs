//! How everything stands at a moment at which nothing is under way: what the provider holds, and
//! what we say ourselves.

use std::collections::BTreeMap;

use serde::Deserialize;

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
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Payment {
    pub(super) id: String,
    pub(super) status: String,
    pub(super) amount: i64,
    pub(super) amount_captured: i64,
    pub(super) amount_refunded: i64,
    pub(super) idempotency_key: String,
}

impl Ours {
    pub(super) fn payment(&self, key: &str) -> Option<&Payment> {
        self.payments.get(key).and_then(|payments| payments.first())
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Payment> {
        self.payments.values().flatten()
    }
}
