//! The truth that tests and drills count: which payments moved or hold money.
//!
//! Declines, canceled holds and customers who never authenticated are not among them; a payment
//! that was refunded still is.

use std::collections::BTreeMap;

use serde::Serialize;

use super::answer::Refusal;
use super::form::Form;
use super::intents::{Intent, IntentStatus, currency_code, unix_seconds};
use super::ledger::Ledger;

/// Which charges to count; an empty filter means all of them, several conditions mean all at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChargeFilter {
    /// The provider key that the charge was created under.
    pub idempotency_key: Option<String>,
    /// Metadata that the charge carries.
    pub metadata: Vec<(String, String)>,
}

impl ChargeFilter {
    /// Every charge.
    pub fn all() -> Self {
        Self::default()
    }

    /// The charges created under this provider key.
    pub fn idempotency_key(key: impl Into<String>) -> Self {
        Self {
            idempotency_key: Some(key.into()),
            metadata: Vec::new(),
        }
    }

    /// The charges that carry this metadata.
    pub fn metadata(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            idempotency_key: None,
            metadata: vec![(key.into(), value.into())],
        }
    }

    pub(super) fn parse(form: &Form) -> Result<Self, Refusal> {
        form.only(&["idempotency_key", "metadata"])?;
        let pairs = form.nested("metadata");
        Ok(Self {
            idempotency_key: form.get("idempotency_key").map(Into::into),
            metadata: pairs
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
        })
    }

    fn matches(&self, intent: &Intent) -> bool {
        let has =
            |(key, value): &(String, String)| intent.metadata.get(key) == Some(value.as_str());
        intent.status.holds_money()
            && self.metadata.iter().all(has)
            && (self.idempotency_key.is_none()
                || self.idempotency_key.as_deref() == intent.idempotency_key.as_deref())
    }
}

/// How many charges there are, and the newest of them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Charges {
    /// Exact, however many there are.
    pub count: u64,
    /// Newest first, at most [`Charges::LISTED_MAX`].
    pub charges: Vec<Charge>,
}

impl Charges {
    /// Most charges that are listed.
    pub const LISTED_MAX: usize = 1_000;
}

/// A payment that moved or holds money; amounts are in minor units.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Charge {
    /// Id of the payment intent.
    pub id: String,
    /// Id of the charge itself.
    pub charge: Option<String>,
    /// `processing`, `requires_capture` or `succeeded`.
    pub status: IntentStatus,
    /// What was authorized.
    pub amount: i64,
    /// What is held and could be captured.
    pub amount_capturable: i64,
    /// What was captured.
    pub amount_captured: i64,
    /// What was given back.
    pub amount_refunded: i64,
    /// How many refunds gave it back.
    pub refunds: usize,
    /// ISO 4217 code in small letters.
    pub currency: String,
    /// The test payment method.
    pub payment_method: &'static str,
    /// The provider key it was created under.
    pub idempotency_key: Option<String>,
    /// As the caller set it.
    pub metadata: BTreeMap<String, String>,
    /// Unix seconds.
    pub created: i64,
}

impl From<&Intent> for Charge {
    fn from(intent: &Intent) -> Self {
        let pairs = intent.metadata.iter();
        Self {
            id: intent.id.to_string(),
            charge: intent.latest_charge.as_deref().map(Into::into),
            status: intent.status,
            amount: intent.amount,
            amount_capturable: intent.amount_capturable(),
            amount_captured: intent.amount_received,
            amount_refunded: intent.amount_refunded,
            refunds: intent.refunds.len(),
            currency: currency_code(intent.currency),
            payment_method: intent.payment_method,
            idempotency_key: intent.idempotency_key.as_deref().map(Into::into),
            metadata: pairs
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            created: unix_seconds(intent.created_us),
        }
    }
}

/// Counts by the narrowest index that the filter allows.
pub(super) fn charges(ledger: &Ledger, filter: &ChargeFilter) -> Charges {
    if *filter == ChargeFilter::all() {
        let newest_first = ledger.intents().iter().rev();
        let holding = newest_first.filter(|intent| intent.status.holds_money());
        let listed = holding
            .take(Charges::LISTED_MAX)
            .map(Charge::from)
            .collect();
        return Charges {
            count: ledger.holding(),
            charges: listed,
        };
    }
    let by_key = filter
        .idempotency_key
        .iter()
        .map(|key| ledger.created_under(key));
    let by_pair = filter
        .metadata
        .iter()
        .map(|(key, value)| ledger.with_metadata(key, value));
    let rarest = by_key
        .chain(by_pair)
        .min_by_key(|found| found.len())
        .unwrap_or_default();
    let newest_first = rarest.iter().rev().filter_map(|at| ledger.get(*at));
    let mut found = Charges {
        count: 0,
        charges: Vec::new(),
    };
    for intent in newest_first.filter(|intent| filter.matches(intent)) {
        found.count += 1;
        if found.charges.len() < Charges::LISTED_MAX {
            found.charges.push(Charge::from(intent));
        }
    }
    found
}
