//! What the provider says: an [`Answer`] is a status and a JSON body, a [`Refusal`] is an error in
//! Stripe's words on its way to become one.

use std::borrow::Cow;

use hyper::StatusCode;
use hyper::body::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

/// One HTTP answer, cheap to clone: the idempotency store keeps them.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
    /// Sent as `Idempotent-Replayed: true`.
    pub(super) replayed: bool,
}

impl Answer {
    pub(super) fn json<T: Serialize>(status: StatusCode, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self {
                status,
                body: Bytes::from(body.into_boxed_slice()),
                replayed: false,
            },
            Err(error) => {
                tracing::error!(%error, "the sandbox could not write an answer");
                let body = Bytes::from_static(br#"{"error":{"type":"api_error"}}"#);
                Self {
                    status: StatusCode::INTERNAL_SERVER_ERROR,
                    body,
                    replayed: false,
                }
            }
        }
    }

    pub(super) fn ok<T: Serialize>(value: &T) -> Self {
        Self::json(StatusCode::OK, value)
    }

    pub(super) fn as_replay(&self) -> Self {
        Self {
            replayed: true,
            ..self.clone()
        }
    }
}

/// An error answer. `began` decides whether the idempotency layer stores it.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    began: bool,
    error: ErrorBody,
}

#[derive(Debug, Serialize)]
struct ErrorBody {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decline_code: Option<&'static str>,
    message: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    param: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_intent: Option<Box<RawValue>>,
}

impl Refusal {
    fn new(
        status: StatusCode,
        kind: &'static str,
        code: Option<&'static str>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        let error = ErrorBody {
            kind,
            code,
            decline_code: None,
            message: message.into(),
            param: None,
            payment_intent: None,
        };
        Self {
            status,
            began: false,
            error,
        }
    }

    /// 400 ahead of execution: a parameter is missing or wrong. Never stored.
    pub(super) fn invalid(
        code: Option<&'static str>,
        param: &str,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::bad_request(code, message).about(param)
    }

    fn bad_request(code: Option<&'static str>, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "invalid_request_error",
            code,
            message,
        )
    }

    /// 400 of an execution that found the object in the wrong state. Stored.
    pub(super) fn conflict(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            began: true,
            ..Self::bad_request(Some(code), message)
        }
    }

    /// 404: no object has this id. Ahead of execution, so not stored.
    pub(super) fn missing(object: &str, id: &str, param: &str) -> Self {
        let message = format!("No such {object}: '{id}'");
        let kind = "invalid_request_error";
        Self::new(
            StatusCode::NOT_FOUND,
            kind,
            Some("resource_missing"),
            message,
        )
        .about(param)
    }

    /// 404: no such method and path.
    pub(super) fn unknown_url(method: &str, path: &str) -> Self {
        let message = format!("Unrecognized request URL ({method}: {path}).");
        Self::new(
            StatusCode::NOT_FOUND,
            "invalid_request_error",
            None,
            message,
        )
    }

    /// 402: the card was declined. Stored.
    pub(super) fn declined(decline: &super::payment_methods::Decline) -> Self {
        let status = StatusCode::PAYMENT_REQUIRED;
        let mut refusal = Self::new(status, decline.kind, Some(decline.code), decline.message);
        refusal.error.decline_code = Some(decline.decline_code);
        refusal.began = true;
        refusal
    }

    /// 401, whose reason is `message`.
    pub(super) fn unauthorized(message: &'static str) -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "invalid_request_error",
            None,
            message,
        )
    }

    /// 413: the body is longer than any that the protocol needs.
    pub(super) fn body_too_large() -> Self {
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        Self::new(
            status,
            "invalid_request_error",
            None,
            "The request body is too large.",
        )
    }

    /// 400: the key was used with other parameters.
    pub(super) fn key_mismatch(key: &str) -> Self {
        let message = format!(
            "Keys for idempotent requests can only be used with the same parameters they were \
             first used with. Try using a key other than '{key}' if you meant to execute a \
             different request."
        );
        Self::new(StatusCode::BAD_REQUEST, "idempotency_error", None, message)
    }

    /// 409: a request with this key is still running.
    pub(super) fn key_in_use(key: &str) -> Self {
        let message = format!(
            "There is currently another in-progress request using this Idempotent Key: {key}. \
             Please try again later."
        );
        let code = Some("idempotency_key_in_use");
        Self::new(StatusCode::CONFLICT, "idempotency_error", code, message)
    }

    /// 429: asked too often.
    pub(super) fn rate_limited() -> Self {
        let status = StatusCode::TOO_MANY_REQUESTS;
        let message = "Request rate limit exceeded.";
        Self::new(status, "invalid_request_error", Some("rate_limit"), message)
    }

    /// 503: the provider does not act at the moment.
    pub(super) fn unavailable() -> Self {
        let message = "The service is temporarily unavailable.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "api_error", None, message)
    }

    /// 500, which tells nothing about what happened.
    pub(super) fn broken() -> Self {
        let message = "An unknown error occurred.";
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "api_error",
            None,
            message,
        )
    }

    /// Names the parameter that is at fault.
    pub(super) fn about(mut self, param: &str) -> Self {
        self.error.param = Some(param.to_owned());
        self
    }

    /// Shows the payment intent as it stands.
    pub(super) fn showing<T: Serialize>(mut self, intent: &T) -> Self {
        self.error.payment_intent = serde_json::value::to_raw_value(intent).ok();
        self
    }

    /// Whether execution had begun, so that a retry replays this answer.
    pub(super) fn began(&self) -> bool {
        self.began
    }

    pub(super) fn answer(&self) -> Answer {
        #[derive(Serialize)]
        struct Body<'a> {
            error: &'a ErrorBody,
        }
        Answer::json(self.status, &Body { error: &self.error })
    }
}
