//! What an HTTP answer of Stripe means. Start reading at [`of_attempt`].
//!
//! **Invariant:** approvals and declines are white lists, and so is [`Outcome::NotSent`]; whatever
//! is not listed is in doubt.
//! **Invariant:** no detail holds text of a body, other than codes that look like codes.

use std::time::Duration;

use serde::de::DeserializeOwned;

use super::{
    error::ErrorObject,
    intent::PaymentIntent,
    refund::Refund,
    request::Sent,
    text,
    verdicts::{in_doubt, in_doubt_about},
};
use crate::{
    payment::{Decline, OperationKind},
    provider::{Call, InDoubt, InDoubtReason, NotSent, NotSentReason, Outcome},
};

/// Errors that say nothing of what happened, other than that the object knows (rule 2).
const STATE_CONFLICTS: [&str; 7] = [
    "capture_charge_authorization_expired",
    "charge_already_captured",
    "charge_already_refunded",
    "charge_expired_for_capture",
    "charge_not_refundable",
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

/// What an answer tells of an operation.
#[derive(Debug)]
pub(super) enum Told {
    All(Outcome),
    /// Only that the object is not in the state that the request needs: the object is to be asked.
    /// What follows is known if it cannot be.
    AskObject(Outcome),
}

/// What the answer to an attempt says of the operation (rules 2 to 5).
pub(super) fn of_attempt(answer: &Answer, call: &Call) -> Told {
    Told::All(match answer.status {
        200..=299 => match call.kind {
            OperationKind::Refund => answer.read().map(|refund: Refund| refund.judge(call)),
            _ => answer
                .read()
                .map(|intent: PaymentIntent| intent.judge(call)),
        }
        .unwrap_or_else(|| in_doubt(InDoubtReason::Unreadable, answer.describe(None))),
        400..=499 => return of_refusal(answer, call),
        500..=599 => {
            let reason = if answer.replayed {
                InDoubtReason::StoredServerError
            } else {
                InDoubtReason::ServerError
            };
            in_doubt_by(reason, answer, call, answer.error().as_ref())
        }
        _ => in_doubt(InDoubtReason::Unreadable, answer.describe(None)),
    })
}

/// What the answer to a look-up of `reference` says: its state decides, and nothing else does.
pub(super) fn of_lookup(answer: &Answer, call: &Call, reference: &str) -> Outcome {
    if !matches!(answer.status, 200..=299) {
        return of_question(answer, Some(reference));
    }
    let judged = match call.kind {
        OperationKind::Refund => answer
            .read()
            .filter(|refund: &Refund| refund.reference().is_some())
            .map(|refund| (refund.reference() == Some(reference), refund.judge(call))),
        _ => answer
            .read()
            .filter(|intent: &PaymentIntent| intent.reference().is_some())
            .map(|intent| (intent.reference() == Some(reference), intent.judge(call))),
    };
    match judged {
        Some((true, outcome)) => outcome,
        Some((false, _)) => {
            let detail = "look-up: another object than was asked for";
            in_doubt_about(InDoubtReason::Mismatch, detail, reference)
        }
        None => of_question(answer, Some(reference)),
    }
}

/// A question about `reference` that brought nothing to judge. [`Outcome::NotSent`] is of the
/// question only.
pub(super) fn of_question(answer: &Answer, reference: Option<&str>) -> Outcome {
    let error = answer.error();
    let detail = format!("look-up: {}", answer.describe(error.as_ref()));
    let reason = match (answer.status, &error) {
        (401 | 403 | 429, Some(_)) => {
            return Outcome::NotSent(NotSent {
                reason: refused_at_the_door(answer.status),
                detail,
                retry_after: answer.retry_after,
            });
        }
        (400..=499, Some(_)) => InDoubtReason::Unfinished,
        (500..=599, _) => InDoubtReason::ServerError,
        _ => InDoubtReason::Unreadable,
    };
    Outcome::InDoubt(InDoubt {
        reason,
        detail,
        reference: reference.map(str::to_owned),
    })
}

/// Whether the provider says, in its own words, that there is no object of the id that was asked for.
pub(super) fn says_missing(answer: &Answer) -> bool {
    let error = answer.error();
    answer.status == 404 && error.is_some_and(|error| error.code() == "resource_missing")
}

/// Whether a look-up shows the operation's own intent, waiting for the customer.
pub(super) fn awaits_customer(answer: &Answer, call: &Call, reference: &str) -> bool {
    let intent: Option<PaymentIntent> = answer.read().filter(|_| answer.status == 200);
    intent.is_some_and(|intent| {
        call.kind == OperationKind::Create
            && intent.reference() == Some(reference)
            && intent.is_of(call)
            && intent.awaits_customer()
    })
}

fn of_refusal(answer: &Answer, call: &Call) -> Told {
    let Some(error) = answer.error() else {
        let reason = match answer.status {
            409 => InDoubtReason::KeyInUse,
            _ => InDoubtReason::Unreadable,
        };
        return Told::All(in_doubt(reason, answer.describe(None)));
    };
    let creates = call.kind == OperationKind::Create;
    let is_conflict = STATE_CONFLICTS.contains(&error.code());
    let told = |reason| in_doubt_by(reason, answer, call, Some(&error));
    let reason = match (answer.status, error.kind.as_str()) {
        (402, "card_error") if creates => return Told::All(of_card_error(answer, &error, call)),
        _ if is_conflict && creates => InDoubtReason::Unfinished,
        _ if is_conflict => return Told::AskObject(told(InDoubtReason::Unfinished)),
        (409, _) => InDoubtReason::KeyInUse,
        _ if LOCKED.contains(&error.code()) => InDoubtReason::KeyInUse,
        (400, "idempotency_error") => InDoubtReason::KeyMismatch,
        // An object exists, so this is no refusal ahead of execution, whatever it says.
        _ if creates && error.payment_intent.is_some() => InDoubtReason::Unfinished,
        // Nor is a stored answer: what is refused at the door is not stored.
        _ if answer.replayed && creates => InDoubtReason::Unreadable,
        (401 | 403 | 429, _) if !answer.replayed => {
            return Told::All(Outcome::NotSent(NotSent {
                reason: refused_at_the_door(answer.status),
                detail: answer.describe(Some(&error)),
                retry_after: answer.retry_after,
            }));
        }
        (400 | 404, "invalid_request_error")
            if call.first_attempt && !answer.replayed && is_validation(answer, &error) =>
        {
            let default = ("invalid_request", "The provider refused the request.");
            let sent = Sent::read(&call.request);
            return Told::All(Outcome::Declined(Decline {
                at_the_door: true,
                ..error.decline(default, &sent, None)
            }));
        }
        _ if creates => InDoubtReason::Unreadable,
        // What it was asked of exists, and shows what an earlier attempt may have done.
        _ => return Told::AskObject(told(InDoubtReason::Unreadable)),
    };
    Told::All(told(reason))
}

/// Whether the answer says that nothing is left to be refunded, now and whenever the request may
/// still arrive: of a refund that is not among the payment's refunds, this declines.
pub(super) fn refuses_refund(answer: &Answer, call: &Call) -> Option<Decline> {
    let error = answer.error()?;
    let is_final = match error.code() {
        "charge_already_refunded" => true,
        // Another refund that fails may make room again, for an attempt that is still on its way.
        "amount_too_large" => call.first_attempt || answer.replayed,
        _ => false,
    };
    let default = ("refund_refused", "The provider refused the refund.");
    (call.kind == OperationKind::Refund && answer.status == 400 && is_final)
        .then(|| error.decline(default, &Sent::read(&call.request), None))
}

fn refused_at_the_door(status: u16) -> NotSentReason {
    match status {
        429 => NotSentReason::RateLimited,
        _ => NotSentReason::Unauthorized,
    }
}

/// A card error declines, unless the intent that comes with it says otherwise.
fn of_card_error(answer: &Answer, error: &ErrorObject, call: &Call) -> Outcome {
    if let Some(intent) = &error.payment_intent {
        if intent.metadata.is_some() && !intent.is_of_operation(call) {
            return in_doubt_by(InDoubtReason::Mismatch, answer, call, Some(error));
        }
        let status = intent.status.as_deref();
        if !matches!(status, None | Some("requires_payment_method" | "canceled")) {
            return in_doubt_by(InDoubtReason::Unfinished, answer, call, Some(error));
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

/// Only of a create does the intent in an error tell what to ask after: all others know theirs.
fn in_doubt_by(
    reason: InDoubtReason,
    answer: &Answer,
    call: &Call,
    error: Option<&ErrorObject>,
) -> Outcome {
    let shown = error.filter(|_| call.kind == OperationKind::Create);
    Outcome::InDoubt(InDoubt {
        reason,
        detail: answer.describe(error),
        reference: shown.and_then(ErrorObject::reference).map(str::to_owned),
    })
}

impl Answer {
    /// The body as an object, whatever the status.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(self.body.as_deref()?).ok()
    }

    /// The error, if the answer is in Stripe's own format.
    fn error(&self) -> Option<ErrorObject> {
        ErrorObject::read(self.body.as_deref()?)
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
mod follow_up_tests;
#[cfg(test)]
mod tests;
