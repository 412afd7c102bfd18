//! A refund, and `POST /v1/refunds`: money back, never more than was captured.

use serde::{Serialize, Serializer};

use super::answer::{Answer, Refusal};
use super::form::Form;
use super::intents::{IntentStatus, currency_code, unix_seconds};
use super::ledger::Ledger;
use super::metadata::Metadata;

const PARAMETERS: &[&str] = &["payment_intent", "amount", "reason", "metadata", "expand"];
const REASONS: [&str; 3] = ["duplicate", "fraudulent", "requested_by_customer"];

/// `amount` is in minor units of `currency`, at least 1.
#[derive(Debug)]
pub(super) struct Refund {
    pub(super) id: Box<str>,
    pub(super) amount: i64,
    pub(super) currency: iso_currency::Currency,
    pub(super) intent: Box<str>,
    pub(super) charge: Option<Box<str>>,
    pub(super) reason: Option<Box<str>>,
    pub(super) metadata: Metadata,
    pub(super) created_us: i64,
}

/// As the wire shows it.
impl Serialize for Refund {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Wire<'a> {
            id: &'a str,
            object: &'static str,
            amount: i64,
            charge: Option<&'a str>,
            created: i64,
            currency: String,
            metadata: &'a Metadata,
            payment_intent: &'a str,
            reason: Option<&'a str>,
            status: &'static str,
        }

        Wire {
            id: &self.id,
            object: "refund",
            amount: self.amount,
            charge: self.charge.as_deref(),
            created: unix_seconds(self.created_us),
            currency: currency_code(self.currency),
            metadata: &self.metadata,
            payment_intent: &self.intent,
            reason: self.reason.as_deref(),
            status: "succeeded",
        }
        .serialize(serializer)
    }
}

/// A refund that was asked for; without an amount, of all that is left.
#[derive(Debug)]
pub(super) struct RefundRequest {
    intent: Box<str>,
    amount: Option<i64>,
    reason: Option<Box<str>>,
    metadata: Metadata,
}

impl RefundRequest {
    pub(super) fn parse(form: &Form) -> Result<Self, Refusal> {
        form.only(PARAMETERS)?;
        let reason = form.get("reason").filter(|reason| !reason.is_empty());
        if reason.is_some_and(|reason| !REASONS.contains(&reason)) {
            let message = format!("Invalid reason: must be one of {}", REASONS.join(", "));
            return Err(Refusal::invalid(None, "reason", message));
        }
        Ok(Self {
            intent: form.required("payment_intent")?.into(),
            amount: form.amount("amount")?,
            reason: reason.map(Into::into),
            metadata: form.metadata()?,
        })
    }

    pub(super) fn run(self, ledger: &mut Ledger) -> Result<Answer, Refusal> {
        let Some((at, intent)) = ledger.find(&self.intent) else {
            let missing = Refusal::missing("payment_intent", &self.intent, "payment_intent");
            return Err(missing);
        };
        if intent.status != IntentStatus::Succeeded {
            let message = format!(
                "This PaymentIntent ({}) does not have a successful charge to refund.",
                intent.id
            );
            let refusal = Refusal::conflict("payment_intent_unexpected_state", message);
            return Err(refusal.showing(intent));
        }
        let left = intent.amount_refundable();
        if left == 0 {
            let message = "The charge has already been refunded.";
            return Err(Refusal::conflict("charge_already_refunded", message).showing(intent));
        }
        let amount = self.amount.unwrap_or(left);
        if amount > left {
            let message =
                format!("Refund amount ({amount}) is greater than unrefunded amount ({left}).");
            let refusal = Refusal::conflict("amount_too_large", message);
            return Err(refusal.about("amount").showing(intent));
        }
        let refund = ledger.refund(at, amount, self.reason, self.metadata);
        refund.map(Answer::ok).ok_or_else(Refusal::broken)
    }
}
