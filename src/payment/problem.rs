//! Errors as RFC 9457 problem details: the shape and the codes, without a web framework.
//!
//! They stand here because the answer of a declined payment is a problem, and is committed with it.

use serde::Serialize;

use super::PaymentView;

macro_rules! problem_codes {
    ($($variant:ident = $status:literal, $code:literal, $title:literal, $help:literal;)*) => {
        /// The stable codes of the contract.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ProblemCode {
            $(#[doc = $help] $variant,)*
        }

        impl ProblemCode {
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The HTTP status it is answered with.
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// A few words, the same for every occurrence.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }

            /// What it means and what to do, for the page that its `type` leads to.
            pub const fn help(self) -> &'static str {
                match self { $(Self::$variant => $help,)* }
            }
        }
    };
}

problem_codes! {
    IdempotencyKeyMissing = 400, "idempotency_key_missing", "Idempotency key missing",
        "The request moves money and must carry exactly one Idempotency-Key header. Make one key per payment, keep it, and send it again with every retry.";
    IdempotencyKeyInvalid = 400, "idempotency_key_invalid", "Idempotency key invalid",
        "The key must be 1 to 255 visible ASCII characters, bare or as a quoted string of RFC 8941, in one header.";
    MalformedRequest = 400, "malformed_request", "Malformed request",
        "The body is not one JSON value, names a member twice, or a header or the path cannot be read. Nothing was recorded.";
    Unauthenticated = 401, "unauthenticated", "Not authenticated",
        "Send a valid API key as `Authorization: Bearer op_…`. The key is unknown, revoked, or its merchant is disabled.";
    PaymentDeclined = 402, "payment_declined", "Payment declined",
        "The provider refused, and no money moved. The idempotency key is spent: try another means of payment under a new key.";
    PaymentExpired = 402, "payment_expired", "Payment expired",
        "The payment was never sent and its time ran out. No money moved. The idempotency key is spent.";
    Forbidden = 403, "forbidden", "Forbidden",
        "The API key is valid, but not for this. Admin paths need an admin key, payments a merchant's.";
    NotFound = 404, "not_found", "Not found",
        "There is nothing here, or it belongs to another merchant or mode.";
    MethodNotAllowed = 405, "method_not_allowed", "Method not allowed",
        "The path exists, but not for this method; the Allow header names those it has.";
    OperationInProgress = 409, "operation_in_progress", "Another operation is in progress",
        "Another operation of this payment is open. Wait for it, then repeat with the same key.";
    IllegalState = 409, "illegal_state", "Not possible in this state",
        "The payment's status does not allow this. Nothing was recorded.";
    BodyTooLarge = 413, "body_too_large", "Body too large",
        "The body is larger than the limit that the detail names. Nothing was recorded.";
    UnsupportedMediaType = 415, "unsupported_media_type", "Unsupported media type",
        "Send the body as `Content-Type: application/json`.";
    ValidationFailed = 422, "validation_failed", "Validation failed",
        "The body is JSON, but its fields are not as the contract wants them; `errors` names each one. Nothing was recorded.";
    IdempotencyKeyReused = 422, "idempotency_key_reused", "Idempotency key reused",
        "The key belongs to another request. Nothing was done. Use a new key for a new payment, and the very same request to retry.";
    AmountExceedsAvailable = 422, "amount_exceeds_available", "Amount exceeds what is available",
        "More than is left to be captured or refunded was asked for; what is under way holds its amount back. Nothing was recorded.";
    CardNumberRefused = 422, "card_number_refused", "Card number refused",
        "A field holds what looks like a card number. Send the provider's token instead; nothing was recorded or logged.";
    RateLimited = 429, "rate_limited", "Too many requests",
        "Slow down and repeat with the same key after the time that Retry-After names.";
    Internal = 500, "internal", "Internal error",
        "A defect of this service. Whether a payment was recorded is not said: repeat with the same key.";
    ProviderUnavailable = 503, "provider_unavailable", "Provider unavailable",
        "The provider was certainly not reached, and nothing was charged, captured, canceled or refunded. What was asked for is pending: repeat with the same key, never with a new one beside it.";
    Overloaded = 503, "overloaded", "Overloaded",
        "More work than this server takes. Nothing was recorded: repeat with the same key after the time that Retry-After names.";
    StoreUnavailable = 503, "store_unavailable", "Store unavailable",
        "The database could not write, and nothing was recorded: repeat with the same key.";
    OutcomeUnknown = 503, "outcome_unknown", "Outcome unknown",
        "The request may have been recorded. Repeat it with the same key, never with a new one.";
}

/// One field that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// A JSON pointer (RFC 6901) to the field.
    pub pointer: String,
    pub detail: String,
}

/// The body of an `application/problem+json` answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    r#type: String,
    title: &'static str,
    status: u16,
    pub detail: String,
    /// The id of the request that met the problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    #[serde(serialize_with = "code_as_text")]
    pub code: ProblemCode,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment: Option<PaymentView>,
}

fn code_as_text<S: serde::Serializer>(code: &ProblemCode, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(code.as_str())
}

impl Problem {
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self {
            r#type: format!("/problems/{}", code.as_str()),
            title: code.title(),
            status: code.status(),
            detail: detail.into(),
            instance: None,
            code,
            errors: Vec::new(),
            payment: None,
        }
    }

    #[must_use]
    pub fn with_instance(self, request_id: String) -> Self {
        Self {
            instance: Some(request_id),
            ..self
        }
    }

    #[must_use]
    pub fn with_payment(self, payment: PaymentView) -> Self {
        Self {
            payment: Some(payment),
            ..self
        }
    }

    #[must_use]
    pub fn with_errors(self, errors: Vec<FieldError>) -> Self {
        Self { errors, ..self }
    }
}
