//! Stripe's payment intent and error object, and what an intent's state means for us.
//!
//! **Invariant:** an intent that does not carry our operation, amount and currency decides nothing.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{currency, request::OPERATION_METADATA, request::Sent, text};
use crate::{
    payment::{Approval, ApprovedAs, Capture, Decline},
    provider::{Call, InDoubt, InDoubtReason, Outcome},
};

/// The code of a payment that would have needed its customer.
const AUTHENTICATION_REQUIRED: &str = "authentication_required";
/// Why this adapter cancels an intent, in Stripe's words; nobody else is likely to say so.
pub(super) const CANCELLATION_REASON: &str = "abandoned";
const REFERENCE_LEN_MAX: usize = 255;

/// The part of a payment intent that we read. Stripe embeds it in errors as well.
#[derive(Debug, Deserialize)]
pub(super) struct PaymentIntent {
    object: Option<String>,
    id: Option<String>,
    pub(super) status: Option<String>,
    amount: Option<i64>,
    amount_received: Option<i64>,
    currency: Option<String>,
    pub(super) metadata: Option<BTreeMap<String, String>>,
    last_payment_error: Option<ErrorObject>,
    cancellation_reason: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ErrorObject {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) code: Option<String>,
    pub(super) decline_code: Option<String>,
    pub(super) message: Option<String>,
    pub(super) param: Option<String>,
    pub(super) payment_intent: Option<Box<PaymentIntent>>,
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

    pub(super) fn is_of_operation(&self, call: &Call) -> bool {
        let operation_id = call.expected.operation_id.to_string();
        let metadata = self.metadata.as_ref();
        metadata.and_then(|it| it.get(OPERATION_METADATA)) == Some(&operation_id)
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

    /// What the intent's state says of the operation (rule 3).
    pub(super) fn judge(&self, call: &Call, sent: &Sent) -> Outcome {
        let Some(reference) = self.reference() else {
            return in_doubt(InDoubtReason::Unreadable, "an intent without a usable id");
        };
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

impl ErrorObject {
    pub(super) fn reference(&self) -> Option<&str> {
        self.payment_intent.as_ref()?.reference()
    }

    /// The error as a decline, in its own words as far as they may be shown.
    pub(super) fn decline(
        &self,
        (code, message): (&str, &str),
        sent: &Sent,
        reference: Option<&str>,
    ) -> Decline {
        let own_code = text::code(self.decline_code.as_deref())
            .or_else(|| text::code(self.code.as_deref()))
            .unwrap_or(code);
        let hidden = sent.payment_method.as_deref();
        let own_message = self.message.as_deref();
        let own_message = own_message.and_then(|said| text::sentence(said, hidden));
        decline(
            own_code,
            own_message.as_deref().unwrap_or(message),
            reference,
        )
    }
}

fn approved(approved_as: ApprovedAs, reference: &str) -> Outcome {
    Outcome::Approved(Approval {
        approved_as,
        reference: reference.to_owned(),
    })
}

fn decline(code: &str, message: &str, reference: Option<&str>) -> Decline {
    Decline {
        code: code.to_owned(),
        message: message.to_owned(),
        reference: reference.map(str::to_owned),
        at_the_door: false,
        stands: None,
    }
}

pub(super) fn in_doubt(reason: InDoubtReason, detail: impl Into<String>) -> Outcome {
    Outcome::InDoubt(InDoubt {
        reason,
        detail: detail.into(),
        reference: None,
    })
}

pub(super) fn in_doubt_about(reason: InDoubtReason, detail: &str, reference: &str) -> Outcome {
    Outcome::InDoubt(InDoubt {
        reason,
        detail: detail.to_owned(),
        reference: Some(reference.to_owned()),
    })
}
