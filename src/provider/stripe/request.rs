//! The requests, written once; that of a create is read again beside its answer.
//!
//! **Invariant:** the same payment and operation always give the same bytes: they are stored before
//! they are sent, and Stripe compares them when they are sent again.

use form_urlencoded::Serializer;
use uuid::Uuid;

use super::{
    currency::{amount_text, currency_text},
    marks,
};
use crate::{
    payment::{Capture, OperationKind, Payment},
    provider::Draft,
};

pub(super) use super::marks::PAYMENT_METADATA;

const CAPTURE_METHOD: &str = "capture_method";
const PAYMENT_METHOD: &str = "payment_method";

/// The body that asks for `draft` of `payment`, of that installation.
///
/// Nothing is judged by the mark of a capture: an intent is captured once, and that of its payment is
/// the only capture or cancel that is under way. A cancel takes no metadata.
pub(super) fn body(payment: &Payment, draft: Draft<'_>, installation: Option<Uuid>) -> Vec<u8> {
    let mut form = Serializer::new(String::new());
    match draft.kind {
        OperationKind::Create => return create_body(payment, draft, installation),
        OperationKind::Capture => {
            form.append_pair("amount_to_capture", &amount_text(draft.money));
            marks::capture(&mut form, draft);
        }
        OperationKind::Cancel => {
            form.append_pair("cancellation_reason", "requested_by_customer");
        }
        OperationKind::Refund => {
            // Without a charge there is nothing to refund, and `send` withholds the request.
            let target = payment.provider_reference.as_deref().unwrap_or_default();
            form.append_pair("payment_intent", target)
                .append_pair("amount", &amount_text(draft.money));
            marks::of(&mut form, payment, draft, installation);
        }
    }
    form.finish().into_bytes()
}

/// The body of `POST /v1/payment_intents`.
///
/// `payment_method_types` keeps Stripe from admitting methods that redirect the customer, for which
/// it would ask for a `return_url`.
fn create_body(payment: &Payment, draft: Draft<'_>, installation: Option<Uuid>) -> Vec<u8> {
    let mut form = Serializer::new(String::new());
    form.append_pair("amount", &amount_text(payment.money))
        .append_pair("currency", &currency_text(payment.money))
        .append_pair(PAYMENT_METHOD, &payment.payment_method)
        .append_pair("payment_method_types[]", "card")
        .append_pair("confirm", "true")
        .append_pair(CAPTURE_METHOD, payment.capture.as_str())
        .append_pair("error_on_requires_action", "true");
    // To Stripe an empty value means "unset".
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    if let Some(description) = given(&payment.description) {
        form.append_pair("description", &description);
    }
    marks::of(&mut form, payment, draft, installation);
    marks::origin(&mut form, payment);
    if let Some(reference) = given(&payment.reference) {
        form.append_pair("metadata[reference]", &reference);
    }
    form.finish().into_bytes()
}

/// What the stored body says that is needed to judge its answer.
pub(super) struct Sent {
    pub(super) capture: Capture,
    /// Never to be shown.
    pub(super) payment_method: Option<String>,
}

impl Sent {
    pub(super) fn read(body: &[u8]) -> Self {
        let mut sent = Self {
            capture: Capture::default(),
            payment_method: None,
        };
        for (name, value) in form_urlencoded::parse(body) {
            match &*name {
                CAPTURE_METHOD if value == Capture::Manual.as_str() => {
                    sent.capture = Capture::Manual;
                }
                PAYMENT_METHOD => sent.payment_method = Some(value.into_owned()),
                _ => {}
            }
        }
        sent
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::payment::{
        CreatePayment, Fingerprint, Id, IdempotencyKey, Mode, Money, Origin, Timestamp,
    };

    const FINGERPRINT: Fingerprint = Fingerprint {
        version: 1,
        digest: [0xa7; 32],
    };

    const INSTALLATION: Uuid = Uuid::from_u128(9);

    fn payment(capture: Capture, texts: Option<&str>) -> Payment {
        let request = CreatePayment {
            money: Money::new(4_200, "EUR".parse().unwrap()).unwrap(),
            payment_method: "pm_card_visa".into(),
            capture,
            reference: texts.map(|text| format!("{text}-17")),
            description: texts.map(|text| format!("{text} & more")),
            metadata: BTreeMap::from([("k".into(), "v".into())]),
        };
        let origin = Origin {
            id: Id::from_uuid(uuid::Uuid::from_u128(1)),
            merchant_id: Id::from_uuid(uuid::Uuid::from_u128(2)),
            mode: Mode::Test,
            idempotency_key: IdempotencyKey::new("key").unwrap(),
            provider: "stripe".into(),
            created_at: Timestamp::from_micros(0),
        };
        Payment::new(request, origin)
    }

    fn text(payment: &Payment) -> String {
        let operation_id = Id::from_uuid(uuid::Uuid::from_u128(3));
        let draft = Draft {
            operation_id,
            kind: OperationKind::Create,
            idempotency_key: &payment.idempotency_key,
            fingerprint: FINGERPRINT,
            money: payment.money,
        };
        String::from_utf8(body(payment, draft, Some(INSTALLATION))).unwrap()
    }

    #[test]
    fn rule_6_a_follow_up_says_its_amount_and_a_refund_whose_it_is() {
        let mut payment = payment(Capture::Manual, None);
        payment.provider_reference = Some("pi_1".into());
        let text = |kind| {
            let draft = Draft {
                operation_id: Id::from_uuid(uuid::Uuid::from_u128(4)),
                kind,
                idempotency_key: &IdempotencyKey::new("again").unwrap(),
                fingerprint: FINGERPRINT,
                money: Money::new(1_100, payment.money.currency()).unwrap(),
            };
            String::from_utf8(body(&payment, draft, Some(INSTALLATION))).unwrap()
        };
        let mark = "metadata[oncepay_capture";
        let fingerprint = FINGERPRINT.to_text();
        assert_eq!(
            pairs(&text(OperationKind::Capture)),
            [
                "amount_to_capture=1100".to_owned(),
                format!("{mark}]=opn_00000000000000000000000004"),
                format!("{mark}_key]=again"),
                format!("{mark}_fingerprint]={fingerprint}"),
            ]
        );
        assert_eq!(
            text(OperationKind::Cancel),
            "cancellation_reason=requested_by_customer"
        );
        assert_eq!(
            pairs(&text(OperationKind::Refund)),
            [
                "payment_intent=pi_1",
                "amount=1100",
                "metadata[oncepay_installation]=00000000-0000-0000-0000-000000000009",
                "metadata[oncepay_payment]=pay_00000000000000000000000001",
                "metadata[oncepay_operation]=opn_00000000000000000000000004",
                "metadata[oncepay_key]=again",
                &format!("metadata[oncepay_fingerprint]={fingerprint}"),
            ]
        );
    }

    /// A body in a form that can be read.
    fn pairs(body: &str) -> Vec<String> {
        let pairs = form_urlencoded::parse(body.as_bytes());
        pairs
            .map(|(name, value)| format!("{name}={value}"))
            .collect()
    }

    #[test]
    fn rule_6_the_body_is_the_same_bytes_every_time() {
        let fingerprint = FINGERPRINT.to_text();
        let expected = [
            "amount=4200",
            "currency=eur",
            "payment_method=pm_card_visa",
            "payment_method_types[]=card",
            "confirm=true",
            "capture_method=automatic",
            "error_on_requires_action=true",
            "description=order & more",
            "metadata[oncepay_installation]=00000000-0000-0000-0000-000000000009",
            "metadata[oncepay_payment]=pay_00000000000000000000000001",
            "metadata[oncepay_operation]=opn_00000000000000000000000003",
            "metadata[oncepay_key]=key",
            &format!("metadata[oncepay_fingerprint]={fingerprint}"),
            "metadata[oncepay_merchant]=mer_00000000000000000000000002",
            "metadata[oncepay_mode]=test",
            "metadata[oncepay_request_0]={\"payment_method\":\"pm_card_visa\",\
             \"reference\":\"order-17\",\"metadata\":{\"k\":\"v\"}}",
            "metadata[reference]=order-17",
        ];
        for _ in 0..3 {
            let body = text(&payment(Capture::Automatic, Some("order")));
            assert_eq!(pairs(&body), expected);
        }
    }

    #[test]
    fn what_the_merchant_did_not_give_is_not_sent() {
        let bare = text(&payment(Capture::Manual, None));
        assert!(bare.contains("&capture_method=manual&"));
        assert!(!bare.contains("description") && !bare.contains("reference"));
    }

    #[test]
    fn the_stored_body_says_how_the_payment_was_to_be_captured() {
        for capture in [Capture::Automatic, Capture::Manual] {
            let sent = Sent::read(text(&payment(capture, None)).as_bytes());
            assert_eq!(sent.capture, capture);
            assert_eq!(sent.payment_method.as_deref(), Some("pm_card_visa"));
        }
    }
}
