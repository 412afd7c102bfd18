//! Stripe's error object.

use serde::Deserialize;

use super::{intent::PaymentIntent, request::Sent, text, verdicts::decline};
use crate::payment::Decline;

/// Stripe's error types, those of older API versions among them.
const ERROR_TYPES: [&str; 6] = [
    "api_error",
    "authentication_error",
    "card_error",
    "idempotency_error",
    "invalid_request_error",
    "rate_limit_error",
];

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

impl ErrorObject {
    /// The error of a body that is in Stripe's own format.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Body {
            error: ErrorObject,
        }
        let body: Body = serde_json::from_slice(body).ok()?;
        Some(body.error).filter(|error| ERROR_TYPES.contains(&error.kind.as_str()))
    }

    pub(super) fn code(&self) -> &str {
        self.code.as_deref().unwrap_or_default()
    }

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
        let message = own_message.as_deref().unwrap_or(message);
        decline(own_code, message, reference)
    }
}
