//! Stripe's payment intent, and what its state means for us. Start reading at
//! [`PaymentIntent::judge`].
//!
//! **Invariant:** an intent that does not carry our operation, amount and currency decides nothing
//! about a create, and one that is not our payment's decides nothing about anything.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    currency,
    error::ErrorObject,
    marks::Marks,
    request::{PAYMENT_METADATA, Sent},
    text,
    verdicts::{approved, decline, in_doubt, in_doubt_about},
};
use crate::{
    payment::{ApprovedAs, Capture, Decline, OperationKind, Stands},
    provider::{Call, Expected, InDoubtReason, Outcome},
};

/// The code of a payment that would have needed its customer.
const AUTHENTICATION_REQUIRED: &str = "authentication_required";
/// Why this adapter cancels an intent, in Stripe's words; nobody else is likely to say so.
pub(super) const CANCELLATION_REASON: &str = "abandoned";
const MANUAL: &str = "manual";
const REFERENCE_LEN_MAX: usize = 255;

/// The part of a payment intent that we read. Stripe embeds it in errors as well.
#[derive(Debug, Deserialize)]
pub(super) struct PaymentIntent {
    object: Option<String>,
    id: Option<String>,
    /// In seconds.
    pub(super) created: Option<i64>,
    pub(super) status: Option<String>,
    amount: Option<i64>,
    pub(super) amount_received: Option<i64>,
    currency: Option<String>,
    pub(super) metadata: Option<BTreeMap<String, String>>,
    last_payment_error: Option<ErrorObject>,
    cancellation_reason: Option<String>,
    capture_method: Option<String>,
}

/// Whether `text` may stand in a URL's path as the id of an object.
pub(super) fn is_reference(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=REFERENCE_LEN_MAX).contains(&text.len()) && text.bytes().all(is_plain)
}

impl PaymentIntent {
    pub(super) fn reference(&self) -> Option<&str> {
        self.id.as_deref().filter(|id| is_reference(id))
    }

    pub(super) fn marks(&self) -> Option<Marks<'_>> {
        self.metadata.as_ref().map(Marks)
    }

    /// Whether a create made it, be it by a row that was lost since.
    pub(super) fn is_of_operation(&self, call: &Call) -> bool {
        let (expected, identity) = (&call.expected, &call.expected.identity);
        self.marks().is_some_and(|marks| {
            marks.operation_id() == Some(expected.operation_id)
                || (marks.are_of_key(identity) && marks.are_of_operation(expected))
        })
    }

    /// Whether it is the very payment that was asked for.
    pub(super) fn is_of(&self, call: &Call) -> bool {
        let money = match (self.amount, &self.currency) {
            (Some(amount), Some(code)) => currency::is(call.expected.money, amount, code),
            _ => false,
        };
        self.object.as_deref() == Some("payment_intent") && money && self.is_of_operation(call)
    }

    pub(super) fn awaits_customer(&self) -> bool {
        matches!(
            self.status.as_deref(),
            Some("requires_action" | "requires_confirmation")
        )
    }

    /// Whether it is the intent of the payment, whatever became of it.
    pub(super) fn is_of_payment(&self, expected: &Expected) -> bool {
        let is_its = |marks: Marks<'_>| {
            marks.parsed(PAYMENT_METADATA) == Some(expected.payment_id)
                || marks.are_of_key(&expected.identity)
        };
        self.object.as_deref() == Some("payment_intent")
            && self.currency.as_deref() == Some(&*currency::currency_text(expected.money))
            && self.marks().is_some_and(is_its)
    }

    /// Whether it was canceled before anything was received.
    fn is_void(&self) -> bool {
        self.object.as_deref() == Some("payment_intent")
            && self.status.as_deref() == Some("canceled")
            && self.amount_received == Some(0)
    }

    /// Whether nothing was captured of it yet, and may be.
    pub(super) fn is_held(&self) -> bool {
        self.status.as_deref() == Some("requires_capture")
    }

    /// What the intent's state says of the operation (rule 3).
    pub(super) fn judge(&self, call: &Call) -> Outcome {
        match call.kind {
            OperationKind::Create => self.judge_create(call, &Sent::read(&call.request)),
            OperationKind::Capture | OperationKind::Cancel => self.judge_end_of_hold(call),
            OperationKind::Refund => in_doubt(
                InDoubtReason::Mismatch,
                "a payment intent says nothing of a refund",
            ),
        }
    }

    /// A capture or cancel. Only one of them is under way for a payment at a time, and an intent is
    /// captured or canceled once: so a capture of what was asked is the one that was asked for.
    fn judge_end_of_hold(&self, call: &Call) -> Outcome {
        let Some(reference) = self.reference() else {
            return in_doubt(InDoubtReason::Unreadable, "an intent without a usable id");
        };
        let mismatch = |detail: &str| in_doubt_about(InDoubtReason::Mismatch, detail, reference);
        if call.target.as_deref() != Some(reference) || !self.is_of_payment(&call.expected) {
            return mismatch("an intent of another payment or currency");
        }
        let money = call.expected.money;
        let status = self.status.as_deref().unwrap_or_default();
        let stood = |code: &str, message: &str, stands: Stands| {
            Outcome::Declined(Decline {
                stands: Some(stands),
                ..decline(code, message, Some(reference))
            })
        };
        match (call.kind, status) {
            (kind, "succeeded") => {
                let received = self.amount_received;
                let Some(amount) = received.and_then(|received| currency::minor(money, received))
                else {
                    return mismatch("a captured intent that does not say how much");
                };
                if kind == OperationKind::Capture && amount == money.minor() {
                    return approved(ApprovedAs::Captured, reference);
                }
                let message = "The payment was captured at the provider.";
                stood("payment_captured", message, Stands::Captured { amount })
            }
            (OperationKind::Cancel, "canceled") => approved(ApprovedAs::Voided, reference),
            (OperationKind::Capture, "canceled" | "requires_payment_method") => {
                let message = "The provider holds no money of the payment any more.";
                stood("payment_canceled", message, Stands::Voided)
            }
            // Nothing happened yet: the request is to be sent again, not its object to be watched.
            (_, "requires_capture") => {
                in_doubt(InDoubtReason::Unfinished, "an intent that is still held")
            }
            (_, status) => {
                let status = text::code(Some(status)).unwrap_or("in a state without a name");
                let detail = format!("an intent that is {status}");
                in_doubt_about(InDoubtReason::Unfinished, &detail, reference)
            }
        }
    }

    fn judge_create(&self, call: &Call, sent: &Sent) -> Outcome {
        let Some(reference) = self.reference() else {
            return in_doubt(InDoubtReason::Unreadable, "an intent without a usable id");
        };
        // Whatever it was to charge, it never will: so a person can end a mismatch.
        if self.is_of_operation(call) && self.is_void() {
            return Outcome::Declined(self.decline(sent, reference));
        }
        if !self.is_of(call) {
            let detail = "an intent of another operation, amount or currency";
            return in_doubt_about(InDoubtReason::Mismatch, detail, reference);
        }
        let status = self.status.as_deref().unwrap_or_default();
        match (status, sent.capture) {
            ("succeeded", Capture::Automatic) if self.is_received_in_full() => {
                approved(ApprovedAs::Captured, reference)
            }
            ("requires_capture", Capture::Manual) => approved(ApprovedAs::Authorized, reference),
            // It was held, as was asked for, and somebody has captured it since.
            ("succeeded", Capture::Manual) if self.capture_method.as_deref() == Some(MANUAL) => {
                approved(ApprovedAs::Authorized, reference)
            }
            ("succeeded" | "requires_capture", capture) => {
                let detail = format!("an intent that is {status} and was sent with {capture}");
                in_doubt_about(InDoubtReason::Mismatch, &detail, reference)
            }
            ("requires_payment_method" | "canceled", _) => {
                Outcome::Declined(self.decline(sent, reference))
            }
            _ => {
                let status = text::code(Some(status)).unwrap_or("in a state without a name");
                let detail = format!("an intent that is {status}");
                in_doubt_about(InDoubtReason::Unfinished, &detail, reference)
            }
        }
    }

    /// A partial receipt is not what was asked for.
    fn is_received_in_full(&self) -> bool {
        self.amount_received.is_none() || self.amount_received == self.amount
    }

    fn decline(&self, sent: &Sent, reference: &str) -> Decline {
        let is_canceled = self.status.as_deref() == Some("canceled");
        let (code, message) = if !is_canceled {
            ("card_declined", "The payment was declined.")
        } else if self.cancellation_reason.as_deref() == Some(CANCELLATION_REASON) {
            let message = "The payment needs the customer to authenticate, and was canceled.";
            return decline(AUTHENTICATION_REQUIRED, message, Some(reference));
        } else {
            ("payment_canceled", "The payment was canceled.")
        };
        match &self.last_payment_error {
            Some(error) => error.decline((code, message), sent, Some(reference)),
            None => decline(code, message, Some(reference)),
        }
    }
}
