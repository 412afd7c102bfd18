//! Asking after an operation: by its object, or, where that is not known, among all of its time.

use super::{
    StripeProvider, answer,
    attempt::target,
    client::NoAnswer,
    exchange::Exchanges,
    intent::{CANCELLATION_REASON, PaymentIntent, is_reference},
    list,
    refund::Refund,
    verdicts::{in_doubt, withheld},
};
use crate::{
    payment::OperationKind,
    provider::{Call, Found, InDoubtReason, Outcome, Search},
};

impl StripeProvider {
    pub(super) async fn look_up(&self, call: &Call, reference: &str) -> Outcome {
        let exchanges = Exchanges::begin(self, &call.api_version, call.request_id);
        stands(&exchanges, call, reference).await
    }

    pub(super) async fn find_by(&self, call: &Call, search: &mut Search) -> Found {
        if call.kind != OperationKind::Create && target(call).is_none() {
            return Found::Unanswered(withheld(
                "the operation is about a payment that Stripe does not know",
            ));
        }
        let found = match call.kind {
            OperationKind::Create => self.find_create(call, search).await,
            OperationKind::Capture | OperationKind::Cancel => {
                self.find_end_of_hold(call).await.map(whole)
            }
            OperationKind::Refund => self.find_refund(call, search).await,
        };
        found.unwrap_or_else(Found::Unanswered)
    }

    /// Reads one page of the refunds of the payment, of whatever time.
    async fn find_refund(&self, call: &Call, search: &mut Search) -> Result<Found, Outcome> {
        let (refunds, next) = list::page::<Refund>(
            &Exchanges::begin(self, &call.api_version, call.request_id),
            "refunds",
            &[("payment_intent", target(call).unwrap_or_default())],
            search.place.after.as_deref(),
        )
        .await?;
        let ours = refunds.iter().filter(|it| it.is_of_operation(call));
        search.met.extend(ours.map(|refund| refund.judge(call)));
        search.place.after = next;
        if search.place.after.is_some() {
            return Ok(Found::More);
        }
        Ok(whole(one_of(search.met.iter().cloned())))
    }

    /// A hold that is still there was neither captured nor canceled.
    async fn find_end_of_hold(&self, call: &Call) -> Result<Option<Outcome>, Outcome> {
        let reference = target(call).unwrap_or_default();
        let exchanges = Exchanges::begin(self, &call.api_version, call.request_id);
        let answer = exchanges
            .get(&format!("payment_intents/{reference}"), &[])
            .await
            .map_err(|no_answer| no_answer.outcome(Some(reference), "look-up"))?;
        let intent: Option<PaymentIntent> = answer.read().filter(|_| answer.status == 200);
        let Some(intent) = intent.filter(|intent| intent.reference() == Some(reference)) else {
            return Err(answer::of_lookup(&answer, call, reference));
        };
        let is_untouched = intent.is_of_payment(&call.expected) && intent.is_held();
        Ok((!is_untouched).then(|| intent.judge(call)))
    }
}

/// How the object of that id stands, by up to three exchanges.
async fn stands(exchanges: &Exchanges<'_>, call: &Call, reference: &str) -> Outcome {
    if !is_reference(reference) {
        return in_doubt(
            InDoubtReason::Mismatch,
            "the reference is no id of Stripe's",
        );
    }
    let asked = match call.kind {
        OperationKind::Refund => refund(exchanges, call, reference).await,
        _ => intent(exchanges, call, reference).await,
    };
    asked.unwrap_or_else(|no_answer| no_answer.outcome(Some(reference), "look-up"))
}

async fn refund(
    exchanges: &Exchanges<'_>,
    call: &Call,
    reference: &str,
) -> Result<Outcome, NoAnswer> {
    let answer = exchanges.get(&format!("refunds/{reference}"), &[]).await?;
    Ok(answer::of_lookup(&answer, call, reference))
}

async fn intent(
    exchanges: &Exchanges<'_>,
    call: &Call,
    reference: &str,
) -> Result<Outcome, NoAnswer> {
    let path = format!("payment_intents/{reference}");
    let answer = exchanges.get(&path, &[]).await?;
    if !answer::awaits_customer(&answer, call, reference) {
        return Ok(answer::of_lookup(&answer, call, reference));
    }
    // The key is derived from the attempt's, so that canceling twice cancels once.
    let key = format!("{}_cancel", call.key);
    let body = format!("cancellation_reason={CANCELLATION_REASON}");
    let canceled = exchanges
        .post(&format!("{path}/cancel"), &key, body.into_bytes())
        .await?;
    let outcome = answer::of_lookup(&canceled, call, reference);
    if matches!(outcome, Outcome::Declined(_)) {
        return Ok(outcome);
    }
    // It was not canceled, or not now, or that cannot be read: only its state tells.
    let answer = exchanges.get(&path, &[]).await?;
    Ok(answer::of_lookup(&answer, call, reference))
}

/// What an intent on a page says, in what its page left of the time of one attempt.
pub(super) async fn judge_found(
    exchanges: &Exchanges<'_>,
    call: &Call,
    intent: &PaymentIntent,
) -> Outcome {
    match intent.reference() {
        Some(reference) if intent.is_of(call) && intent.awaits_customer() => {
            match stands(exchanges, call, reference).await {
                // It is there, whatever became of the question.
                Outcome::NotSent(_) => intent.judge(call),
                outcome => outcome,
            }
        }
        _ => intent.judge(call),
    }
}

/// What a look says that has seen everything.
pub(super) fn whole(found: Option<Outcome>) -> Found {
    found.map_or(Found::Absent, Found::There)
}

/// What several objects of one operation say together. There can only be several if Stripe forgot
/// the key: then money that moved counts before money that is in doubt, and that before a refusal.
pub(super) fn one_of(outcomes: impl Iterator<Item = Outcome>) -> Option<Outcome> {
    let rank = |outcome: &Outcome| match outcome {
        Outcome::Approved(_) => 0,
        Outcome::InDoubt(_) | Outcome::NotSent(_) => 1,
        Outcome::Declined(_) => 2,
    };
    outcomes.min_by_key(rank)
}
