//! `POST /v1/payment_intents/{id}/capture`: takes what is held, or a part of it.

use super::answer::{Answer, Refusal};
use super::form::Form;
use super::intents::IntentStatus;
use super::ledger::Ledger;
use super::metadata::Metadata;

const PARAMETERS: &[&str] = &["amount_to_capture", "metadata", "expand"];

/// A capture that was asked for; without an amount, of all that is held.
#[derive(Debug)]
pub(super) struct CaptureRequest {
    intent: Box<str>,
    amount: Option<i64>,
    metadata: Metadata,
}

impl CaptureRequest {
    pub(super) fn parse(intent: &str, form: &Form) -> Result<Self, Refusal> {
        form.only(PARAMETERS)?;
        Ok(Self {
            intent: intent.into(),
            amount: form.amount("amount_to_capture")?,
            metadata: form.metadata()?,
        })
    }

    pub(super) fn run(self, ledger: &mut Ledger) -> Result<Answer, Refusal> {
        let Some((at, intent)) = ledger.find(&self.intent) else {
            return Err(Refusal::missing("payment_intent", &self.intent, "intent"));
        };
        if intent.status == IntentStatus::Succeeded {
            let message = format!("PaymentIntent {} has already been captured.", intent.id);
            return Err(Refusal::conflict("charge_already_captured", message).showing(intent));
        }
        if intent.status != IntentStatus::RequiresCapture {
            let message = format!(
                "This PaymentIntent could not be captured because it has a status of {}. \
                 Only a PaymentIntent with a status of requires_capture may be captured.",
                intent.status.name()
            );
            let refusal = Refusal::conflict("payment_intent_unexpected_state", message);
            return Err(refusal.showing(intent));
        }
        let amount = self.amount.unwrap_or(intent.amount);
        if amount > intent.amount {
            let message = format!(
                "The amount to capture ({amount}) is greater than the capturable amount ({}).",
                intent.amount
            );
            let refusal = Refusal::conflict("amount_too_large", message);
            return Err(refusal.about("amount_to_capture").showing(intent));
        }
        ledger.capture(at, amount);
        ledger.annotate(at, &self.metadata);
        ledger.get(at).map(Answer::ok).ok_or_else(Refusal::broken)
    }
}
