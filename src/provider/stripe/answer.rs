//! What an HTTP answer of Stripe means. Start reading at [`of_charge`].
//!
//! **Invariant:** approvals and declines are white lists, and so is [`Outcome::NotSent`]; whatever
//! is not listed is in doubt.
//! **Invariant:** no detail holds text of a body, other than codes that look like codes.

use std::time::Duration;

use serde::Deserialize;

use super::intent::{ErrorObject, PaymentIntent, in_doubt, in_doubt_about};
use super::{request::Sent, text};
use crate::payment::Decline;
use crate::provider::{Call, InDoubt, InDoubtReason, NotSent, NotSentReason, Outcome};

/// Stripe's error types, those of older API versions among them.
const ERROR_TYPES: [&str; 6] = [
    "api_error",
    "authentication_error",
    "card_error",
    "idempotency_error",
    "invalid_request_error",
    "rate_limit_error",
];
/// Errors that say nothing of what happened, other than that the object knows (rule 2).
const STATE_CONFLICTS: [&str; 4] = [
    "charge_already_captured",
    "charge_already_refunded",
    "intent_invalid_state",
    "payment_intent_unexpected_state",
];
/// Errors that say that the same or another request holds the key or the object.
const LOCKED: [&str; 2] = ["idempotency_key_in_use", "lock_timeout"];

/// The part of an HTTP answer that has a meaning.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// `Idempotent-Replayed: true`: the answer was stored under the key by an earlier attempt.
    pub(super) replayed: bool,
    pub(super) retry_after: Option<Duration>,
    /// `None` if it was longer than any answer that we understand.
    pub(super) body: Option<Vec<u8>>,
}

/// What the answer to an attempt says of the operation (rules 2 to 5).
pub(super) fn of_charge(answer: &Answer, call: &Call) -> Outcome {
    match answer.status {
        200..=299 => match answer.intent() {
            Some(intent) => intent.judge(call, &Sent::read(&call.request)),
            None => in_doubt(InDoubtReason::Unreadable, answer.describe(None)),
        },
        400..=499 => of_refusal(answer, call),
        500..=599 => {
            let reason = if answer.replayed {
                InDoubtReason::StoredServerError
            } else {
                InDoubtReason::ServerError
            };
            in_doubt_by(reason, answer, answer.error().as_ref())
        }
        _ => in_doubt(InDoubtReason::Unreadable, answer.describe(None)),
    }
}

/// What the answer to a look-up of `reference` says: its state decides, and nothing else does.
pub(super) fn of_lookup(answer: &Answer, call: &Call, reference: &str) -> Outcome {
    let reason = match (answer.status, answer.intent()) {
        (200..=299, Some(intent)) if intent.reference() == Some(reference) => {
            return intent.judge(call, &Sent::read(&call.request));
        }
        (200..=299, Some(_)) => InDoubtReason::Mismatch,
        (500..=599, _) => InDoubtReason::ServerError,
        (400..=499, _) if answer.error().is_some() => InDoubtReason::Unfinished,
        _ => InDoubtReason::Unreadable,
    };
    let detail = format!("look-up: {}", answer.describe(answer.error().as_ref()));
    in_doubt_about(reason, &detail, reference)
}

/// Whether a look-up shows the operation's own intent, waiting for the customer.
pub(super) fn awaits_customer(answer: &Answer, call: &Call, reference: &str) -> bool {
    let intent = answer.intent().filter(|_| answer.status == 200);
    intent.is_some_and(|intent| {
        intent.reference() == Some(reference) && intent.is_of(call) && intent.awaits_customer()
    })
}

fn of_refusal(answer: &Answer, call: &Call) -> Outcome {
    let Some(error) = answer.error() else {
        let reason = match answer.status {
            409 => InDoubtReason::KeyInUse,
            _ => InDoubtReason::Unreadable,
        };
        return in_doubt(reason, answer.describe(None));
    };
    let code = error.code.as_deref().unwrap_or_default();
    let reason = match (answer.status, error.kind.as_str()) {
        (402, "card_error") => return of_card_error(answer, &error, call),
        _ if STATE_CONFLICTS.contains(&code) => InDoubtReason::Unfinished,
        (409, _) => InDoubtReason::KeyInUse,
        _ if LOCKED.contains(&code) => InDoubtReason::KeyInUse,
        (400, "idempotency_error") => InDoubtReason::KeyMismatch,
        // An object exists, so this is no refusal ahead of execution, whatever it says.
        _ if error.payment_intent.is_some() => InDoubtReason::Unfinished,
        // Nor is a stored answer: what is refused at the door is not stored.
        _ if answer.replayed => InDoubtReason::Unreadable,
        (401 | 403, _) => {
            return not_sent(NotSentReason::Unauthorized, answer, &error);
        }
        (429, _) => return not_sent(NotSentReason::RateLimited, answer, &error),
        (400 | 404, "invalid_request_error")
            if call.first_attempt && is_validation(answer, &error) =>
        {
            let default = ("invalid_request", "The provider refused the request.");
            let sent = Sent::read(&call.request);
            return Outcome::Declined(Decline {
                at_the_door: true,
                ..error.decline(default, &sent, None)
            });
        }
        _ => InDoubtReason::Unreadable,
    };
    in_doubt_by(reason, answer, Some(&error))
}

/// A card error declines, unless the intent that comes with it says otherwise.
fn of_card_error(answer: &Answer, error: &ErrorObject, call: &Call) -> Outcome {
    if let Some(intent) = &error.payment_intent {
        if intent.metadata.is_some() && !intent.is_of_operation(call) {
            return in_doubt_by(InDoubtReason::Mismatch, answer, Some(error));
        }
        let status = intent.status.as_deref();
        if !matches!(status, None | Some("requires_payment_method" | "canceled")) {
            return in_doubt_by(InDoubtReason::Unfinished, answer, Some(error));
        }
    }
    let default = ("card_declined", "The payment was declined.");
    let sent = Sent::read(&call.request);
    Outcome::Declined(error.decline(default, &sent, error.reference()))
}

/// A 404 without a code or a parameter is of a path that does not exist: no verdict on the payment.
fn is_validation(answer: &Answer, error: &ErrorObject) -> bool {
    answer.status == 400 || error.code.is_some() || error.param.is_some()
}

fn not_sent(reason: NotSentReason, answer: &Answer, error: &ErrorObject) -> Outcome {
    Outcome::NotSent(NotSent {
        reason,
        detail: answer.describe(Some(error)),
        retry_after: answer.retry_after,
    })
}

fn in_doubt_by(reason: InDoubtReason, answer: &Answer, error: Option<&ErrorObject>) -> Outcome {
    Outcome::InDoubt(InDoubt {
        reason,
        detail: answer.describe(error),
        reference: error.and_then(ErrorObject::reference).map(str::to_owned),
    })
}

impl Answer {
    fn intent(&self) -> Option<PaymentIntent> {
        serde_json::from_slice(self.body.as_deref()?).ok()
    }

    /// The error, if the answer is in Stripe's own format.
    fn error(&self) -> Option<ErrorObject> {
        #[derive(Deserialize)]
        struct Body {
            error: ErrorObject,
        }
        let body: Body = serde_json::from_slice(self.body.as_deref()?).ok()?;
        Some(body.error).filter(|error| ERROR_TYPES.contains(&error.kind.as_str()))
    }

    /// The answer for a log.
    fn describe(&self, error: Option<&ErrorObject>) -> String {
        let mut words = vec![format!("HTTP {}", self.status)];
        let code = |text: &Option<String>| text::code(text.as_deref()).map(str::to_owned);
        match error {
            Some(error) => {
                words.push(error.kind.clone());
                words.extend(code(&error.code));
                words.extend(code(&error.decline_code));
                words.extend(code(&error.param));
            }
            None if self.body.is_none() => words.push("with a body that is too long".into()),
            None => words.push("not in Stripe's words".into()),
        }
        if self.replayed {
            words.push("(replayed)".into());
        }
        words.join(" ")
    }
}

#[cfg(test)]
mod tests;
