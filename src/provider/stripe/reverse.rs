//! Giving back a charge that nobody wants.

use form_urlencoded::Serializer;

use super::{
    StripeProvider,
    answer::{self, Answer},
    exchange::Exchanges,
    intent::{CANCELLATION_REASON, PaymentIntent, is_reference},
    list,
    refund::Refund,
    verdicts::{approved, in_doubt_about, withheld},
};
use crate::{
    payment::ApprovedAs,
    provider::{InDoubtReason, Outcome, Stray},
};

/// Marks a refund as the reversal of the operation's charge. It is not that of a refund operation,
/// which is looked for by another mark.
const STRAY_METADATA: &str = "oncepay_stray";

impl StripeProvider {
    /// Asks how the charge stands, does what is left to do, and asks again: only how it stands then
    /// approves, not what was answered on the way.
    pub(super) async fn give_back(&self, stray: &Stray) -> Outcome {
        if !is_reference(&stray.reference) {
            return withheld("the reference is no id of Stripe's");
        }
        let refused = match self.reversal(stray).await {
            Ok(Reversal::Done(outcome)) => return outcome,
            Ok(Reversal::Void) => self.void(stray).await,
            Ok(Reversal::Refund) => self.refund_the_rest(stray).await,
            Err(unanswered) => return unanswered,
        };
        match (self.reversal(stray).await, refused) {
            (Ok(Reversal::Done(outcome)), _) => outcome,
            (_, Some(refused)) => refused,
            (Err(unanswered), None) => unanswered,
            (Ok(_), None) => in_doubt_about(
                InDoubtReason::Unfinished,
                "the charge stands after it was given back",
                &stray.reference,
            ),
        }
    }

    /// What is to be done with the charge as it stands.
    async fn reversal(&self, stray: &Stray) -> Result<Reversal, Outcome> {
        let reference = stray.reference.as_str();
        let answer = self
            .exchanges_of(stray)
            .get(&format!("payment_intents/{reference}"), &[])
            .await
            .map_err(|no_answer| no_answer.outcome(Some(reference), "look-up"))?;
        let intent: Option<PaymentIntent> = answer.read().filter(|_| answer.status == 200);
        let Some(intent) = intent else {
            return Err(answer::of_question(&answer, Some(reference)));
        };
        if intent.reference() != Some(reference) || !intent.is_of_payment(&stray.expected) {
            let detail = "an intent of another payment or currency";
            return Err(in_doubt_about(InDoubtReason::Mismatch, detail, reference));
        }
        Ok(match intent.status.as_deref().unwrap_or_default() {
            "canceled" | "requires_payment_method" => {
                Reversal::Done(approved(ApprovedAs::Voided, reference))
            }
            "requires_capture" | "requires_action" | "requires_confirmation" => Reversal::Void,
            "succeeded" => return self.rest_of(stray, &intent).await,
            _ => Reversal::Done(in_doubt_about(
                InDoubtReason::Unfinished,
                "the charge is not finished",
                reference,
            )),
        })
    }

    /// What is left of a captured charge after all of its refunds.
    async fn rest_of(&self, stray: &Stray, intent: &PaymentIntent) -> Result<Reversal, Outcome> {
        let Some(received) = intent.amount_received else {
            let detail = "a captured intent that does not say how much";
            return Err(in_doubt_about(
                InDoubtReason::Mismatch,
                detail,
                &stray.reference,
            ));
        };
        let refunds = list::all(
            &self.exchanges_of(stray),
            "refunds",
            &[("payment_intent", stray.reference.as_str())],
            |_: &Refund| true,
        )
        .await?;
        let sum = |is_wanted: &dyn Fn(&str) -> bool| -> i64 {
            let wanted = refunds.iter().filter(|refund| is_wanted(refund.status()));
            wanted.filter_map(|refund| refund.amount).sum()
        };
        let is_back = |status: &str| status == "succeeded";
        let is_gone = |status: &str| matches!(status, "failed" | "canceled");
        if sum(&is_back) >= received {
            // What is asked for next time is the newest of them, or the payment that had nothing.
            let newest = refunds.iter().find(|refund| is_back(refund.status()));
            let newest = newest.and_then(Refund::reference);
            let reference = newest.unwrap_or(&stray.reference);
            return Ok(Reversal::Done(approved(ApprovedAs::Refunded, reference)));
        }
        if sum(&|status| !is_gone(status)) >= received {
            let detail = "the refund is not finished";
            let unfinished = in_doubt_about(InDoubtReason::Unfinished, detail, &stray.reference);
            return Ok(Reversal::Done(unfinished));
        }
        Ok(Reversal::Refund)
    }

    /// Voids the hold; what it was answered, if that was no success.
    async fn void(&self, stray: &Stray) -> Option<Outcome> {
        let path = format!("payment_intents/{}/cancel", stray.reference);
        let body = format!("cancellation_reason={CANCELLATION_REASON}");
        self.ask(stray, &path, "void", body).await
    }

    async fn refund_the_rest(&self, stray: &Stray) -> Option<Outcome> {
        self.ask(stray, "refunds", "refund", refund_body(stray))
            .await
    }

    async fn ask(&self, stray: &Stray, path: &str, key: &str, body: String) -> Option<Outcome> {
        let key = format!("{}_{key}", stray.key);
        let exchanges = self.exchanges_of(stray);
        match exchanges.post(path, &key, body.into_bytes()).await {
            Ok(Answer {
                status: 200..=299, ..
            }) => None,
            Ok(answer) => Some(answer::of_question(&answer, Some(&stray.reference))),
            Err(no_answer) => Some(no_answer.outcome(Some(&stray.reference), "reversal")),
        }
    }

    fn exchanges_of<'a>(&'a self, stray: &'a Stray) -> Exchanges<'a> {
        Exchanges::begin(self, &stray.api_version, stray.request_id)
    }
}

/// Without an amount, Stripe refunds what is left.
fn refund_body(stray: &Stray) -> String {
    let mut form = Serializer::new(String::new());
    form.append_pair("payment_intent", &stray.reference)
        .append_pair(
            &format!("metadata[{STRAY_METADATA}]"),
            &stray.expected.operation_id.to_string(),
        );
    form.finish()
}

enum Reversal {
    Done(Outcome),
    Void,
    Refund,
}
