//! One attempt at an operation.

use super::{
    StripeProvider,
    answer::{self, Answer, Told},
    exchange::Exchanges,
    intent::{PaymentIntent, is_reference},
    list,
    refund::Refund,
    verdicts::withheld,
};
use crate::{
    payment::OperationKind,
    provider::{Call, Outcome},
};

/// What follows `/v1/` for the operation, if its target is fit for it.
fn path(call: &Call) -> Option<String> {
    if call.kind == OperationKind::Create {
        return Some("payment_intents".to_owned());
    }
    let target = target(call)?;
    Some(match call.kind {
        OperationKind::Capture => format!("payment_intents/{target}/capture"),
        OperationKind::Cancel => format!("payment_intents/{target}/cancel"),
        OperationKind::Create | OperationKind::Refund => "refunds".to_owned(),
    })
}

/// The payment that a capture, cancel or refund is about, if it is an id of Stripe's.
pub(super) fn target(call: &Call) -> Option<&str> {
    call.target.as_deref().filter(|target| is_reference(target))
}

impl StripeProvider {
    pub(super) async fn attempt(&self, call: &Call) -> Outcome {
        let Some(path) = path(call) else {
            return withheld("the operation is about a payment that Stripe does not know");
        };
        let exchanges = Exchanges::begin(self, &call.api_version, call.request_id);
        let request = call.request.clone();
        let answer = match exchanges.post(&path, &call.key, request).await {
            Ok(answer) => answer,
            Err(no_answer) => return no_answer.outcome(None, ""),
        };
        let (known, object) = match answer::of_attempt(&answer, call) {
            Told::All(outcome) => return outcome,
            Told::AskObject(known) => match call.kind {
                OperationKind::Refund => (known, refund_of(&exchanges, call, &answer).await),
                _ => (known, intent_of(&exchanges, call).await),
            },
        };
        object.unwrap_or(known)
    }
}

/// How the operation's own refund stands, or that there will be none; read within the attempt's time.
async fn refund_of(exchanges: &Exchanges<'_>, call: &Call, refusal: &Answer) -> Option<Outcome> {
    let filter = [("payment_intent", target(call)?)];
    let is_ours = |refund: &Refund| refund.is_of_operation(call);
    let refunds = list::all(exchanges, "refunds", &filter, is_ours).await;
    match refunds.ok()?.first() {
        Some(refund) => Some(refund.judge(call)),
        None => answer::refuses_refund(refusal, call).map(Outcome::Declined),
    }
}

/// How the payment of a capture or cancel stands, if that can be learned.
async fn intent_of(exchanges: &Exchanges<'_>, call: &Call) -> Option<Outcome> {
    let path = format!("payment_intents/{}", target(call)?);
    let answer = exchanges.get(&path, &[]).await.ok()?;
    let intent: PaymentIntent = answer.read().filter(|_| answer.status == 200)?;
    Some(intent.judge(call))
}
