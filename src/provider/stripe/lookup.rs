//! Asking after an operation: by its object, or, where that is not known, among all of its time.

use std::time::Duration;

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
    payment::{OperationKind, Timestamp},
    provider::{Call, Found, InDoubtReason, Outcome, Search, SentBetween},
};

/// How far Stripe's clock and the database's may be apart. Were they further apart, a charge would be
/// looked for where it is not, and its absence would settle: so this is four times what AWS takes for
/// a broken clock (15 minutes), and twelve times what Kerberos does. It costs pages only where
/// nothing is found: what is nearest is read first.
const CLOCK_SKEW: Duration = Duration::from_secs(3_600);
/// Around the first send: where an object is that its first attempt made, by clocks that are kept, if
/// nothing held the attempt up. At a hundred payments a second that is three pages, and [`NEAR`] twenty.
const NEAREST: Duration = Duration::from_secs(1);
/// Around the first send: where it is if something did.
const NEAR: Duration = Duration::from_secs(10);
const MICROS_PER_SECOND: i64 = 1_000_000;

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

    /// Reads one page, and how the finds on it stand. Money that moved ends the search, whatever else
    /// there is; all else may be outdone by it, so that a refusal and an absence need every page.
    async fn find_create(&self, call: &Call, search: &mut Search) -> Result<Found, Outcome> {
        let parts = parts(search.sent);
        if let Some((from, to)) = parts.get(search.parts_read) {
            let exchanges = Exchanges::begin(self, &call.api_version, call.request_id);
            let (intents, next) = list::page::<PaymentIntent>(
                &exchanges,
                "payment_intents",
                &[
                    ("created[gte]", &from.to_string()),
                    ("created[lte]", &to.to_string()),
                ],
                search.after.as_deref(),
            )
            .await?;
            search.parts_read += usize::from(next.is_none());
            search.after = next;
            for intent in intents.iter().filter(|it| it.is_of_operation(call)) {
                let outcome = judge_found(&exchanges, call, intent).await;
                if matches!(outcome, Outcome::Approved(_)) {
                    return Ok(Found::There(outcome));
                }
                search.met.push(outcome);
            }
        }
        if search.parts_read < parts.len() {
            return Ok(Found::More);
        }
        Ok(whole(one_of(search.met.iter().cloned())))
    }

    /// Reads one page of the refunds of the payment, of whatever time.
    async fn find_refund(&self, call: &Call, search: &mut Search) -> Result<Found, Outcome> {
        let (refunds, next) = list::page::<Refund>(
            &Exchanges::begin(self, &call.api_version, call.request_id),
            "refunds",
            &[("payment_intent", target(call).unwrap_or_default())],
            search.after.as_deref(),
        )
        .await?;
        let ours = refunds.iter().filter(|it| it.is_of_operation(call));
        search.met.extend(ours.map(|refund| refund.judge(call)));
        search.after = next;
        if search.after.is_some() {
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
async fn judge_found(exchanges: &Exchanges<'_>, call: &Call, intent: &PaymentIntent) -> Outcome {
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
fn whole(found: Option<Outcome>) -> Found {
    found.map_or(Found::Absent, Found::There)
}

/// The seconds of Stripe's clock in which an object of the operation can have been created, both ends
/// included, in the order in which it is likely to be there: around the first send, after it, before.
fn parts(sent: SentBetween) -> Vec<(i64, i64)> {
    let second = |time: Timestamp| time.as_micros().div_euclid(MICROS_PER_SECOND);
    let from = second(sent.first.minus(CLOCK_SKEW));
    let to = second(sent.last.plus(CLOCK_SKEW));
    let around = |span| {
        let until = second(sent.first.plus(span)).min(to);
        (second(sent.first.minus(span)), until)
    };
    let (nearest, near) = (around(NEAREST), around(NEAR));
    let parts = [
        nearest,
        (nearest.1 + 1, near.1),
        (near.0, nearest.0 - 1),
        (near.1 + 1, to),
        (from, near.0 - 1),
    ];
    parts.into_iter().filter(|(from, to)| from <= to).collect()
}

/// What several objects of one operation say together. There can only be several if Stripe forgot
/// the key: then money that moved counts before money that is in doubt, and that before a refusal.
fn one_of(outcomes: impl Iterator<Item = Outcome>) -> Option<Outcome> {
    let rank = |outcome: &Outcome| match outcome {
        Outcome::Approved(_) => 0,
        Outcome::InDoubt(_) | Outcome::NotSent(_) => 1,
        Outcome::Declined(_) => 2,
    };
    outcomes.min_by_key(rank)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule 9: no second of the time in which it can have been made is left out or read twice.
    #[test]
    fn rule_9_the_parts_are_the_whole_window_and_the_nearest_comes_first() {
        let at = |second: i64| Timestamp::from_micros(second * MICROS_PER_SECOND + 999_999);
        for length in [0, 1, 3, 86_400] {
            let (first, last) = (100_000, 100_000 + length);
            let sent = SentBetween {
                first: at(first),
                last: at(last),
            };
            let mut parts = parts(sent);
            let around = [(-1, 1), (2, 10), (-10, -2)];
            let around = around.map(|(from, to)| (first + from, first + to));
            assert_eq!(parts[..3], around);
            parts.sort_unstable();
            assert_eq!(parts.first().map(|part| part.0), Some(first - 3_600));
            assert_eq!(parts.last().map(|part| part.1), Some(last + 3_600));
            let joined = |pair: &[(i64, i64)]| pair[0].1 + 1 == pair[1].0;
            assert!(parts.windows(2).all(joined), "{parts:?}");
        }
    }
}
