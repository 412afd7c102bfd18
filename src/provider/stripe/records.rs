//! Payments and refunds as whoever compares or rebuilds our records needs them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    StripeProvider, answer,
    currency::minor_of,
    exchange::Exchanges,
    intent::is_reference,
    list::{self, Listed},
    marks::{Marks, PAYMENT_METADATA},
    refund::Refund,
    verdicts::in_doubt,
};
use crate::{
    payment::{Capture, Timestamp},
    provider::{
        Asked, InDoubtReason, Outcome, Record, RecordPage, RecordState, RefundRecord, Span,
    },
};

const MICROS_PER_SECOND: i64 = 1_000_000;

impl StripeProvider {
    pub(super) async fn record_page(
        &self,
        asked: Asked,
        span: Span,
        after: Option<&str>,
    ) -> Result<RecordPage, Outcome> {
        let (from, to) = seconds(span);
        let filter = [
            ("created[gte]", from.as_str()),
            ("created[lte]", to.as_str()),
            ("expand[]", "data.latest_charge"),
        ];
        let exchanges = self.asking(asked);
        let page = list::page(&exchanges, "payment_intents", &filter, after);
        let (intents, next): (Vec<Listing>, _) = page.await?;
        let records: Option<Vec<_>> = intents.iter().map(Listing::record).collect();
        let records = records.ok_or_else(|| unreadable("list"))?;
        Ok(RecordPage { records, next })
    }

    pub(super) async fn one_record(
        &self,
        asked: Asked,
        reference: &str,
    ) -> Result<Option<Record>, Outcome> {
        if !is_reference(reference) {
            return Ok(None);
        }
        let path = format!("payment_intents/{reference}");
        let exchanges = self.asking(asked);
        let got = exchanges.get(&path, &[("expand[]", "latest_charge")]);
        let answer = got
            .await
            .map_err(|no_answer| no_answer.outcome(Some(reference), "look-up"))?;
        if answer::says_missing(&answer) {
            return Ok(None);
        }
        let intent: Option<Listing> = answer.read().filter(|_| answer.status == 200);
        let intent = intent.ok_or_else(|| answer::of_question(&answer, Some(reference)))?;
        let record = intent
            .record()
            .filter(|record| record.reference == reference);
        record.map(Some).ok_or_else(|| unreadable("look-up"))
    }

    pub(super) async fn refund_page(
        &self,
        asked: Asked,
        span: Span,
        after: Option<&str>,
    ) -> Result<RecordPage<RefundRecord>, Outcome> {
        let (from, to) = seconds(span);
        let filter = [("created[gte]", from.as_str()), ("created[lte]", &to)];
        let exchanges = self.asking(asked);
        let page = list::page(&exchanges, "refunds", &filter, after);
        let (refunds, next): (Vec<Refund>, _) = page.await?;
        let records: Option<Vec<_>> = refunds.iter().map(Refund::record).collect();
        let records = records.ok_or_else(|| unreadable("list"))?;
        Ok(RecordPage { records, next })
    }

    fn asking(&self, asked: Asked) -> Exchanges<'_> {
        Exchanges::begin(self, &self.profile.api_version, asked.request_id)
    }
}

fn seconds(span: Span) -> (String, String) {
    let text = |time: Timestamp| time.as_micros().div_euclid(MICROS_PER_SECOND).to_string();
    (text(span.from), text(span.to))
}

fn unreadable(what: &str) -> Outcome {
    let detail = format!("{what}: an object that lacks what every one has");
    in_doubt(InDoubtReason::Unreadable, detail)
}

/// A payment intent with its charge, which was asked for.
#[derive(Debug, Deserialize)]
struct Listing {
    object: String,
    id: String,
    created: i64,
    status: String,
    amount: i64,
    #[serde(default)]
    amount_received: i64,
    currency: String,
    capture_method: Option<String>,
    description: Option<String>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    latest_charge: Option<Charge>,
}

/// What the charge alone tells. An id in its place is refused: nothing would be known of refunds.
#[derive(Debug, Deserialize)]
struct Charge {
    status: String,
    amount: i64,
    amount_captured: i64,
    amount_refunded: i64,
}

impl Charge {
    /// What went back of what was captured. Stripe counts what a capture or a cancel releases of the
    /// hold as refunded, too.
    fn refunded(&self) -> i64 {
        let released = self.amount.saturating_sub(self.amount_captured);
        self.amount_refunded.saturating_sub(released).max(0)
    }
}

impl Listed for Listing {
    fn id(&self) -> Option<&str> {
        Some(self.id.as_str()).filter(|id| is_reference(id))
    }
}

impl Listing {
    /// `None` when it cannot be what Stripe's documentation says.
    fn record(&self) -> Option<Record> {
        let currency = self.currency.to_ascii_uppercase();
        // An amount between our units is another's payment: it is shown as it stands.
        let minor = |amount: i64| minor_of(&currency, amount).unwrap_or(amount);
        let marks = Marks(&self.metadata);
        let refunded = self.latest_charge.as_ref().map(Charge::refunded);
        Some(Record {
            reference: self
                .id()
                .filter(|_| self.object == "payment_intent")?
                .to_owned(),
            created_at: Timestamp::from_micros(self.created.checked_mul(MICROS_PER_SECOND)?),
            state: self.state(),
            amount: minor(self.amount),
            captured: minor(self.amount_received),
            refunded: minor(refunded.unwrap_or_default()),
            capture: match self.capture_method.as_deref() {
                Some("manual") => Capture::Manual,
                _ => Capture::Automatic,
            },
            description: self.description.clone(),
            installation: marks.installation(),
            payment_id: marks.parsed(PAYMENT_METADATA),
            operation_id: marks.operation_id(),
            origin: marks.origin(),
            captured_by: marks.captured_by(),
            currency,
        })
    }

    fn state(&self) -> RecordState {
        let charge = self.latest_charge.as_ref();
        let was_held = charge.is_some_and(|charge| charge.status == "succeeded");
        match self.status.as_str() {
            "succeeded" => RecordState::Captured,
            "requires_capture" => RecordState::Held,
            "canceled" if was_held => RecordState::Voided,
            "canceled" | "requires_payment_method" => RecordState::Refused,
            _ => RecordState::Unfinished,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(status: &str, charge: &str) -> Option<Record> {
        let json = format!(
            r#"{{"object":"payment_intent","id":"pi_1","created":7,"status":"{status}","amount":500,
            "amount_received":500,"currency":"isk","latest_charge":{charge}}}"#
        );
        serde_json::from_str::<Listing>(&json).ok()?.record()
    }

    #[test]
    fn a_record_has_our_units_and_says_whether_money_was_ever_held() {
        let charge = r#"{"status":"succeeded","amount":600,"amount_captured":500,
            "amount_refunded":300}"#;
        let captured = record("succeeded", charge).unwrap();
        assert_eq!(
            (captured.amount, captured.captured, captured.refunded),
            (5, 5, 2)
        );
        assert_eq!(captured.currency, "ISK");
        assert_eq!(captured.created_at, Timestamp::from_micros(7_000_000));
        assert!(captured.keeps_money());
        let state = |status, charge| record(status, charge).unwrap().state;
        assert_eq!(state("canceled", charge), RecordState::Voided);
        assert_eq!(state("canceled", "null"), RecordState::Refused);
        let failed = r#"{"status":"failed","amount":5,"amount_captured":0,"amount_refunded":0}"#;
        assert_eq!(
            state("requires_payment_method", failed),
            RecordState::Refused
        );
        assert_eq!(state("requires_action", "null"), RecordState::Unfinished);
        assert_eq!(state("requires_capture", charge), RecordState::Held);
    }

    #[test]
    fn a_charge_that_was_not_shown_is_not_taken_for_one_without_refunds() {
        assert_eq!(record("succeeded", r#""ch_1""#), None);
    }
}
