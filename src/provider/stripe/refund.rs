//! Stripe's refund, and what its state means for us.
//!
//! **Invariant:** a refund that does not carry our operation, payment, amount and currency decides
//! nothing.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    currency,
    intent::is_reference,
    marks::Marks,
    request::PAYMENT_METADATA,
    text,
    verdicts::{approved, decline, in_doubt, in_doubt_about},
};
use crate::{
    payment::ApprovedAs,
    provider::{Call, InDoubtReason, Outcome, RefundRecord},
};

/// The part of a refund that we read.
#[derive(Debug, Deserialize)]
pub(super) struct Refund {
    object: Option<String>,
    id: Option<String>,
    status: Option<String>,
    pub(super) amount: Option<i64>,
    currency: Option<String>,
    payment_intent: Option<String>,
    metadata: Option<BTreeMap<String, String>>,
}

impl Refund {
    pub(super) fn reference(&self) -> Option<&str> {
        self.id.as_deref().filter(|id| is_reference(id))
    }

    /// Money that is gone back for good, on its way, or not gone: Stripe's own words.
    pub(super) fn status(&self) -> &str {
        self.status.as_deref().unwrap_or_default()
    }

    /// The refund as whoever compares or rebuilds our records needs it.
    pub(super) fn record(&self) -> Option<RefundRecord> {
        let code = self.currency.as_deref()?.to_ascii_uppercase();
        let metadata = self.metadata.as_ref();
        Some(RefundRecord {
            reference: self.reference()?.to_owned(),
            amount: currency::minor_of(&code, self.amount?)?,
            installation: metadata.and_then(|it| Marks(it).installation()),
            payment_id: metadata.and_then(|it| Marks(it).parsed(PAYMENT_METADATA)),
            made_by: metadata.and_then(|it| Marks(it).made_by()),
        })
    }

    /// Whether the operation made it, be it by a row that was lost since.
    pub(super) fn is_of_operation(&self, call: &Call) -> bool {
        let marks = self.metadata.as_ref().map(Marks);
        marks.is_some_and(|marks| marks.are_of_operation(&call.expected))
    }

    fn is_of(&self, call: &Call) -> bool {
        let money = match (self.amount, &self.currency) {
            (Some(amount), Some(code)) => currency::is(call.expected.money, amount, code),
            _ => false,
        };
        self.object.as_deref() == Some("refund")
            && money
            && self.is_of_operation(call)
            && self.payment_intent.is_some()
            && self.payment_intent == call.target
    }

    /// What the refund's state says of the operation that asked for it (rule 3).
    pub(super) fn judge(&self, call: &Call) -> Outcome {
        let Some(reference) = self.reference() else {
            return in_doubt(InDoubtReason::Unreadable, "a refund without a usable id");
        };
        if !self.is_of(call) {
            let detail = "a refund of another operation, payment, amount or currency";
            return in_doubt_about(InDoubtReason::Mismatch, detail, reference);
        }
        match self.status() {
            "succeeded" => approved(ApprovedAs::Refunded, reference),
            status @ ("failed" | "canceled") => {
                let (code, message) = match status {
                    "failed" => ("refund_failed", "The refund failed."),
                    _ => ("refund_canceled", "The refund was canceled."),
                };
                Outcome::Declined(decline(code, message, Some(reference)))
            }
            status => {
                let status = text::code(Some(status)).unwrap_or("in a state without a name");
                let detail = format!("a refund that is {status}");
                in_doubt_about(InDoubtReason::Unfinished, &detail, reference)
            }
        }
    }
}
