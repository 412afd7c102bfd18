//! The sandbox's own side: faults as JSON, ground truth, counters, start and stop.

use oncepay::sandbox::{ChargeFilter, Charges, FaultKind, FaultPlan, FaultRule, Latency};
use oncepay::sandbox::{Sandbox, SandboxConfig, SandboxError};
use reqwest::Method;
use serde_json::{Value, json};

use super::harness::{Bed, charge_with, eventually};

const FAULTS: &str = "/sandbox/faults";

#[tokio::test]
async fn faults_are_put_shown_counted_and_deleted() {
    let bed = Bed::new().await;
    let body = r#"{"latency_ms":{"p50":1,"p99":2},"rules":[
        {"kind":"unavailable","rate":1,"times":3},{"kind":"lookup_lag","lag_ms":5}]}"#;

    bed.own_side(Method::PUT, FAULTS, body).await.expect(200);
    bed.charge("k").await.expect(503);

    let money = json!(["create", "capture", "cancel", "refund"]);
    let shown = bed.own_side(Method::GET, FAULTS, "").await.expect(200);
    let expected = json!({"latency_ms": {"p50": 1.0, "p99": 2.0}, "rules": [
        {"kind": "unavailable", "rate": 1.0, "times": 3, "on": money, "remaining": 2, "fired": 1},
        {"kind": "lookup_lag", "rate": 1.0, "times": null, "on": ["lookup"], "lag_ms": 5,
         "remaining": null, "fired": 0},
    ]});
    assert_eq!(shown.body, expected);
    let gone = bed.own_side(Method::DELETE, FAULTS, "").await.expect(200);
    assert_eq!(gone.body, json!({"latency_ms": null, "rules": []}));
    bed.charge("k").await.expect(200);
}

#[tokio::test]
async fn a_wrong_plan_is_400_names_the_field_and_changes_nothing() {
    let bed = Bed::new().await;
    bed.sandbox
        .set_faults(FaultRule::new(FaultKind::Unavailable))
        .await;

    let body = r#"{"rules":[{"kind":"error_after"},{"kind":"oops"}]}"#;
    let refused = bed.own_side(Method::PUT, FAULTS, body).await.expect(400);
    let garbage = bed.own_side(Method::PUT, FAULTS, "rules").await.expect(400);

    assert_eq!(refused.body["error"]["param"], "rules[1].kind");
    let message = refused.body["error"]["message"].as_str().unwrap();
    for kind in FaultKind::ALL {
        assert!(message.contains(kind.name()), "{message}");
    }
    assert_eq!(garbage.body["error"]["param"], Value::Null);
    bed.charge("k").await.expect(503);
}

#[tokio::test]
async fn charges_are_counted_by_key_and_by_metadata() {
    let bed = Bed::new().await;
    let form = charge_with(&[("metadata[order]", "17"), ("metadata[shop]", "a b")]);
    let paid = bed
        .post("/v1/payment_intents", &form, Some("k/1"))
        .await
        .expect(200);
    bed.charge("k2").await.expect(200);
    let counted = async |query: &str| {
        let path = format!("/sandbox/charges{query}");
        bed.own_side(Method::GET, &path, "").await.expect(200).body
    };

    assert_eq!(counted("").await["count"], 2);
    assert_eq!(counted("?idempotency_key=k2").await["count"], 1);
    assert_eq!(counted("?idempotency_key=none").await["count"], 0);
    assert_eq!(
        counted("?metadata[order]=17&metadata[shop]=b").await["count"],
        0
    );
    assert_eq!(
        counted("?idempotency_key=k2&metadata[order]=17").await["count"],
        0
    );
    let one = counted("?idempotency_key=k%2F1&metadata[order]=17&metadata[shop]=a+b").await;
    let charge = json!({
        "id": paid.id(), "charge": paid.body["latest_charge"], "status": "succeeded",
        "amount": 4200, "amount_capturable": 0, "amount_captured": 4200, "amount_refunded": 0,
        "refunds": 0, "currency": "eur", "payment_method": "pm_card_visa",
        "idempotency_key": "k/1", "metadata": {"order": "17", "shop": "a b"},
        "created": 1_700_000_000,
    });
    assert_eq!(one, json!({"count": 1, "charges": [charge]}));
    let typo = bed
        .own_side(Method::GET, "/sandbox/charges?idempotency-key=k", "")
        .await;
    typo.expect_error(400, "parameter_unknown");
}

#[tokio::test]
async fn a_long_list_of_charges_is_cut_and_its_count_is_not() {
    let bed = Bed::new().await;
    let form = charge_with(&[("metadata[run]", "1")]);
    let charges = Charges::LISTED_MAX + 5;
    for _ in 0..charges {
        bed.post("/v1/payment_intents", &form, None)
            .await
            .expect(200);
    }

    for filter in [ChargeFilter::all(), ChargeFilter::metadata("run", "1")] {
        let found = bed.sandbox.charges(&filter);
        assert_eq!(found.count, charges as u64);
        assert_eq!(found.charges.len(), Charges::LISTED_MAX);
    }
}

#[tokio::test]
async fn stats_tell_what_was_asked_and_done() {
    let bed = Bed::new().await;
    bed.charge("k").await.expect(200);
    bed.charge("k").await.expect(200);
    bed.get("/v1/refunds").await.expect(200);

    let stats = bed
        .own_side(Method::GET, "/sandbox/stats", "")
        .await
        .expect(200)
        .body;

    assert_eq!(stats["requests"]["create"], 2);
    assert_eq!(stats["requests"]["list_refunds"], 1);
    for (counter, expected) in [
        ("executed", 1),
        ("replays", 1),
        ("declines", 0),
        ("mismatches", 0),
        ("in_use", 0),
        ("distinct_keys", 1),
        ("requests_by_key_max", 2),
        ("charges", 1),
    ] {
        assert_eq!(stats[counter], expected, "{counter}");
    }
    assert_eq!(stats["captured"], json!({"eur": 4200}));
    assert_eq!(stats["refunded"], json!({}));
}

#[tokio::test]
async fn a_reset_forgets_everything_but_the_faults() {
    let bed = Bed::new().await;
    bed.charge("k").await.expect(200);
    let rule = FaultRule::new(FaultKind::ErrorStored).on(&[oncepay::sandbox::CallClass::Refund]);
    bed.sandbox.set_faults(rule).await;

    let empty = bed
        .own_side(Method::DELETE, "/sandbox/charges", "")
        .await
        .expect(200);

    assert_eq!(empty.body, json!({"count": 0, "charges": []}));
    assert_eq!(bed.sandbox.stats().executed, 0);
    let again = bed.charge("k").await.expect(200);
    assert!(!again.replayed);
    let refund = [("payment_intent", again.id())];
    bed.post("/v1/refunds", &refund, None).await.expect(500);
}

#[tokio::test]
async fn what_was_under_way_at_a_reset_does_not_act_after_it() {
    let bed = Bed::new().await;
    bed.sandbox
        .set_faults(FaultPlan::latency(Latency::constant(5_000.0).unwrap()))
        .await;
    let running = bed.spawn_charge("k");
    eventually(async || bed.sandbox.stats().requests["create"] == 1).await;

    bed.sandbox.reset();
    let outcome = running.await.unwrap().unwrap();

    assert_eq!(outcome.status, 500);
    assert_eq!(bed.sandbox.charges(&ChargeFilter::all()).count, 0);
}

#[tokio::test]
async fn both_ports_have_the_own_side_and_only_the_main_one_the_provider() {
    let bed = Bed::new().await;
    let control = format!("http://{}", bed.sandbox.control_address());

    for path in [FAULTS, "/sandbox/charges", "/sandbox/stats"] {
        let on_main = bed.own_side(Method::GET, path, "").await.expect(200);
        let on_control = bed.http.get(format!("{control}{path}"));
        let on_control = super::harness::send(on_control).await.unwrap().expect(200);
        assert_eq!(on_main.body, on_control.body);
        bed.own_side(Method::PATCH, path, "").await.expect(405);
    }
    let provider = bed
        .http
        .get(format!("{control}/v1/refunds"))
        .bearer_auth("sk");
    super::harness::send(provider).await.unwrap().expect(404);
    bed.own_side(Method::GET, "/sandbox/unheard_of", "")
        .await
        .expect(404);
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let bed = Bed::new().await;
    let taken = bed.sandbox.address();
    let config = SandboxConfig::new(taken, 1, std::sync::Arc::new(|| 0));

    let SandboxError::Listen { address, .. } = Sandbox::start(config).await.unwrap_err();

    assert_eq!(address, taken);
}

#[tokio::test]
async fn a_stopped_sandbox_drops_its_connections_and_frees_its_ports() {
    let bed = Bed::new().await;
    bed.sandbox
        .set_faults(FaultRule::new(FaultKind::HangBefore))
        .await;
    let hanging = bed.spawn_charge("k");
    eventually(async || bed.sandbox.stats().requests["create"] == 1).await;
    let (address, control_address) = (bed.sandbox.address(), bed.sandbox.control_address());

    bed.sandbox.stop().await;

    assert!(hanging.await.unwrap().is_err());
    let mut config = SandboxConfig::new(address, 1, std::sync::Arc::new(|| 0));
    config.control_listen = Some(control_address);
    Sandbox::start(config).await.unwrap();
}
