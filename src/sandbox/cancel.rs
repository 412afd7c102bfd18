//! `POST /v1/payment_intents/{id}/cancel`: lets go of a hold, or of an attempt that went nowhere.

use super::answer::{Answer, Refusal};
use super::form::Form;
use super::intents::IntentStatus;
use super::ledger::Ledger;

const PARAMETERS: &[&str] = &["cancellation_reason", "expand"];
const REASONS: [&str; 4] = [
    "duplicate",
    "fraudulent",
    "requested_by_customer",
    "abandoned",
];

/// A cancellation that was asked for.
#[derive(Debug)]
pub(super) struct CancelRequest {
    intent: Box<str>,
    reason: Option<Box<str>>,
}

impl CancelRequest {
    pub(super) fn parse(intent: &str, form: &Form) -> Result<Self, Refusal> {
        form.only(PARAMETERS)?;
        let reason = form
            .get("cancellation_reason")
            .filter(|reason| !reason.is_empty());
        if reason.is_some_and(|reason| !REASONS.contains(&reason)) {
            let message = format!(
                "Invalid cancellation_reason: must be one of {}",
                REASONS.join(", ")
            );
            return Err(Refusal::invalid(None, "cancellation_reason", message));
        }
        Ok(Self {
            intent: intent.into(),
            reason: reason.map(Into::into),
        })
    }

    pub(super) fn run(self, ledger: &mut Ledger) -> Result<Answer, Refusal> {
        use IntentStatus as S;
        let Some((at, intent)) = ledger.find(&self.intent) else {
            return Err(Refusal::missing("payment_intent", &self.intent, "intent"));
        };
        match intent.status {
            S::RequiresPaymentMethod | S::RequiresAction | S::RequiresCapture => {
                ledger.cancel(at, self.reason);
                ledger.get(at).map(Answer::ok).ok_or_else(Refusal::broken)
            }
            S::Processing | S::Succeeded | S::Canceled => {
                let message = format!(
                    "You cannot cancel this PaymentIntent because it has a status of {}.",
                    intent.status.name()
                );
                let refusal = Refusal::conflict("payment_intent_unexpected_state", message);
                Err(refusal.showing(intent))
            }
        }
    }
}
