//! Every test payment method does what its name says.

use std::time::Duration;

use oncepay::sandbox::ChargeFilter;
use serde_json::Value;

use crate::harness::{Bed, Reply, charge_with};

impl Bed {
    async fn pay_with(&self, payment_method: &str) -> Reply {
        let form = charge_with(&[("payment_method", payment_method)]);
        self.post("/v1/payment_intents", &form, Some(payment_method))
            .await
    }
}

#[tokio::test]
async fn good_cards_pay() {
    let bed = Bed::new().await;
    for method in [
        "pm_card_visa",
        "pm_card_visa_debit",
        "pm_card_mastercard",
        "pm_card_amex",
    ] {
        let reply = bed.pay_with(method).await.expect(200);

        assert_eq!(reply.body["status"], "succeeded");
        assert_eq!(reply.body["payment_method"], method);
        assert_eq!(bed.charged(method), 1);
    }
}

#[tokio::test]
async fn bad_cards_are_declined_each_for_its_reason_and_charge_nothing() {
    let bed = Bed::new().await;
    for (suffix, code, decline_code) in [
        ("", "card_declined", "generic_decline"),
        ("InsufficientFunds", "card_declined", "insufficient_funds"),
        ("LostCard", "card_declined", "lost_card"),
        ("StolenCard", "card_declined", "stolen_card"),
        ("ExpiredCard", "expired_card", "expired_card"),
        ("IncorrectCvc", "incorrect_cvc", "incorrect_cvc"),
        ("ProcessingError", "processing_error", "processing_error"),
    ] {
        for prefix in ["pm_card_chargeDeclined", "pm_card_visa_chargeDeclined"] {
            let method = format!("{prefix}{suffix}");

            let reply = bed.pay_with(&method).await.expect_error(402, code);

            let error = &reply.body["error"];
            assert_eq!(error["type"], "card_error", "{method}");
            assert_eq!(error["decline_code"], decline_code, "{method}");
            let intent = &error["payment_intent"];
            assert_eq!(intent["status"], "requires_payment_method", "{method}");
            assert_eq!(intent["last_payment_error"]["code"], code, "{method}");
            assert_eq!(intent["payment_method"], Value::Null, "{method}");
            let id = intent["id"].as_str().unwrap();
            let read = bed
                .get(&format!("/v1/payment_intents/{id}"))
                .await
                .expect(200);
            assert_eq!(read.body, *intent);
        }
    }
    assert_eq!(bed.sandbox.charges(&ChargeFilter::all()).count, 0);
    assert_eq!(bed.sandbox.stats().declines, 14);
}

#[tokio::test]
async fn authentication_declines_where_the_caller_asked_for_an_error() {
    let bed = Bed::new().await;
    for method in [
        "pm_card_authenticationRequired",
        "pm_card_threeDSecure2Required",
    ] {
        let reply = bed
            .pay_with(method)
            .await
            .expect_error(402, "authentication_required");
        let intent = &reply.body["error"]["payment_intent"];
        assert_eq!(intent["status"], "requires_payment_method");

        let form = charge_with(&[
            ("payment_method", method),
            ("error_on_requires_action", "false"),
        ]);
        let reply = bed
            .post("/v1/payment_intents", &form, None)
            .await
            .expect(200);
        assert_eq!(reply.body["status"], "requires_action");
        assert!(reply.body["next_action"].is_object());
    }
    assert_eq!(bed.sandbox.charges(&ChargeFilter::all()).count, 0);
}

#[tokio::test]
async fn a_required_action_can_be_canceled_and_never_charges() {
    let bed = Bed::new().await;

    let waiting = bed.pay_with("pm_sandbox_requires_action").await.expect(200);
    assert_eq!(waiting.body["status"], "requires_action");
    let path = format!("/v1/payment_intents/{}", waiting.id());
    bed.post(&format!("{path}/cancel"), &[], None)
        .await
        .expect(200);

    assert_eq!(bed.get(&path).await.body["status"], "canceled");
    assert_eq!(bed.sandbox.charges(&ChargeFilter::all()).count, 0);
}

#[tokio::test]
async fn processing_counts_as_a_charge_and_succeeds_in_time() {
    let bed = Bed::with(|config| config.processing_time = Duration::from_secs(3)).await;

    let processing = bed.pay_with("pm_sandbox_processing").await.expect(200);
    let path = format!("/v1/payment_intents/{}", processing.id());
    assert_eq!(processing.body["status"], "processing");
    assert_eq!(processing.body["amount_received"], 0);
    assert_eq!(bed.charged("pm_sandbox_processing"), 1);
    let refused = bed.post(&format!("{path}/cancel"), &[], None).await;
    refused.expect_error(400, "payment_intent_unexpected_state");

    bed.pass(Duration::from_millis(2_999));
    assert_eq!(bed.get(&path).await.body["status"], "processing");
    bed.pass(Duration::from_millis(1));
    let settled = bed.get(&path).await.body;

    assert_eq!(settled["status"], "succeeded");
    assert_eq!(settled["amount_received"], 4200);
    assert_eq!(bed.charged("pm_sandbox_processing"), 1);
}

#[tokio::test]
async fn the_wrong_amount_is_one_more_and_counts_as_a_charge() {
    let bed = Bed::new().await;

    let reply = bed.pay_with("pm_sandbox_wrong_amount").await.expect(200);

    assert_eq!(reply.body["status"], "succeeded");
    assert_eq!(reply.body["amount"], 4201);
    assert_eq!(reply.body["amount_received"], 4201);
    assert_eq!(bed.charged("pm_sandbox_wrong_amount"), 1);
}
