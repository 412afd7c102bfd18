//! Stripe's idempotency rules, one by one.

use std::time::Duration;

use oncepay::sandbox::{ChargeFilter, FaultKind, FaultPlan, FaultRule, Latency};

use crate::harness::{Bed, CHARGE, charge_with, eventually, send};

#[tokio::test]
async fn the_same_request_again_gets_the_same_bytes_and_charges_once() {
    let bed = Bed::new().await;

    let first = bed.charge("k").await.expect(200);
    let mut shuffled = CHARGE.to_vec();
    shuffled.reverse();
    let second = bed
        .post("/v1/payment_intents", &shuffled, Some("k"))
        .await
        .expect(200);

    assert!(!first.replayed && second.replayed);
    assert_eq!(first.body, second.body);
    assert_ne!(first.request_id, second.request_id);
    assert_eq!(bed.charged("k"), 1);
    let stats = bed.sandbox.stats();
    assert_eq!((stats.executed, stats.replays), (1, 1));
    assert_eq!((stats.distinct_keys, stats.requests_by_key_max), (1, 2));
}

#[tokio::test]
async fn a_decline_is_replayed() {
    let bed = Bed::new().await;
    let form = charge_with(&[("payment_method", "pm_card_chargeDeclined")]);

    let first = bed
        .post("/v1/payment_intents", &form, Some("k"))
        .await
        .expect(402);
    let second = bed
        .post("/v1/payment_intents", &form, Some("k"))
        .await
        .expect(402);

    assert!(second.replayed);
    assert_eq!(first.body, second.body);
    assert_eq!(bed.sandbox.stats().declines, 1);
}

#[tokio::test]
async fn a_conflict_of_state_is_replayed_even_when_the_state_has_changed() {
    let bed = Bed::new().await;
    let held = bed.hold().await;
    let refund = [("payment_intent", held.id())];
    let first = bed.post("/v1/refunds", &refund, Some("k")).await;
    first.expect_error(400, "payment_intent_unexpected_state");
    let capture = format!("/v1/payment_intents/{}/capture", held.id());
    bed.post(&capture, &[], None).await.expect(200);

    let second = bed.post("/v1/refunds", &refund, Some("k")).await;

    assert!(
        second
            .expect_error(400, "payment_intent_unexpected_state")
            .replayed
    );
    bed.post("/v1/refunds", &refund, Some("k2"))
        .await
        .expect(200);
}

#[tokio::test]
async fn a_key_with_other_parameters_or_another_path_is_a_mismatch() {
    let bed = Bed::new().await;
    let paid = bed.charge("k").await.expect(200);

    let other_amount = charge_with(&[("amount", "4300")]);
    let other_amount = bed
        .post("/v1/payment_intents", &other_amount, Some("k"))
        .await;
    let other_path = bed
        .post("/v1/refunds", &[("payment_intent", paid.id())], Some("k"))
        .await;

    for refused in [other_amount, other_path] {
        let refused = refused.expect(400);
        assert_eq!(refused.body["error"]["type"], "idempotency_error");
        assert!(!refused.replayed);
    }
    assert_eq!(bed.sandbox.stats().mismatches, 2);
    assert!(bed.charge("k").await.expect(200).replayed);
    assert_eq!(bed.charged("k"), 1);
}

#[tokio::test]
async fn a_key_that_runs_is_in_use_until_its_answer_is_there() {
    let bed = Bed::new().await;
    let latency = Latency::constant(60_000.0).unwrap();
    bed.sandbox.set_faults(FaultPlan::latency(latency)).await;
    let running = bed.spawn_charge("k");
    eventually(async || bed.sandbox.stats().requests["create"] == 1).await;
    bed.sandbox.clear_faults().await;

    let second = bed
        .charge("k")
        .await
        .expect_error(409, "idempotency_key_in_use");
    let other = charge_with(&[("amount", "1")]);
    let mixed_up = bed
        .post("/v1/payment_intents", &other, Some("k"))
        .await
        .expect(400);

    assert!(!second.replayed);
    assert_eq!(mixed_up.body["error"]["type"], "idempotency_error");
    assert_eq!(bed.sandbox.stats().in_use, 1);
    running.abort();
}

#[tokio::test]
async fn what_was_refused_before_it_began_leaves_the_key_free() {
    let bed = Bed::new().await;
    let other = charge_with(&[("amount", "4300")]);
    for (number, kind) in [
        FaultKind::ErrorBefore,
        FaultKind::Unavailable,
        FaultKind::RateLimit,
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("fault-{number}");
        bed.sandbox.set_faults(FaultRule::new(kind).times(1)).await;
        let refused = bed.charge(&key).await;
        assert!(refused.status >= 429, "{}", refused.body);
        let reply = bed
            .post("/v1/payment_intents", &other, Some(&key))
            .await
            .expect(200);
        assert!(!reply.replayed);
    }

    let invalid = charge_with(&[("amount", "x")]);
    bed.post("/v1/payment_intents", &invalid, Some("invalid"))
        .await
        .expect(400);
    let unknown = [("payment_intent", "pi_none")];
    bed.post("/v1/refunds", &unknown, Some("unknown"))
        .await
        .expect(404);
    let anonymous = bed
        .request(reqwest::Method::POST, "/v1/payment_intents")
        .form(CHARGE);
    send(anonymous.header("Idempotency-Key", "anonymous"))
        .await
        .unwrap()
        .expect(401);
    for key in ["invalid", "unknown", "anonymous"] {
        let reply = bed
            .post("/v1/payment_intents", &other, Some(key))
            .await
            .expect(200);
        assert!(!reply.replayed, "{key}");
    }
}

#[tokio::test]
async fn a_key_belongs_to_the_secret_it_came_with() {
    let bed = Bed::new().await;
    bed.charge("k").await.expect(200);
    let other = bed
        .request(reqwest::Method::POST, "/v1/payment_intents")
        .form(CHARGE);

    let reply = send(other.header("Idempotency-Key", "k").bearer_auth("sk_other"))
        .await
        .unwrap();

    assert!(!reply.expect(200).replayed);
    assert_eq!(bed.charged("k"), 2);
    assert_eq!(bed.sandbox.stats().distinct_keys, 2);
}

#[tokio::test]
async fn a_key_has_at_most_255_characters() {
    let bed = Bed::new().await;

    bed.charge(&"k".repeat(255)).await.expect(200);
    let refused = bed.charge(&"k".repeat(256)).await.expect(400);

    assert_eq!(refused.body["error"]["type"], "invalid_request_error");
    assert_eq!(bed.sandbox.charges(&ChargeFilter::all()).count, 1);
}

#[tokio::test]
async fn a_key_is_forgotten_after_its_retention_and_then_charges_again() {
    let bed = Bed::with(|config| config.key_retention = Duration::from_secs(60)).await;
    bed.charge("k").await.expect(200);

    bed.pass(Duration::from_secs(59));
    assert!(bed.charge("k").await.replayed);
    bed.pass(Duration::from_secs(1));
    let late = bed.charge("k").await.expect(200);

    assert!(!late.replayed);
    assert_eq!(bed.charged("k"), 2);
}

#[tokio::test]
async fn requests_without_a_key_each_charge() {
    let bed = Bed::new().await;

    bed.post("/v1/payment_intents", CHARGE, None)
        .await
        .expect(200);
    bed.post("/v1/payment_intents", CHARGE, None)
        .await
        .expect(200);

    assert_eq!(bed.sandbox.charges(&ChargeFilter::all()).count, 2);
}

#[tokio::test]
async fn a_key_on_a_lookup_means_nothing() {
    let bed = Bed::new().await;
    let list = || {
        let request = bed.request(reqwest::Method::GET, "/v1/payment_intents");
        request.bearer_auth("sk").header("Idempotency-Key", "k")
    };
    send(list()).await.unwrap().expect(200);
    bed.charge("k").await.expect(200);

    let second = send(list()).await.unwrap().expect(200);

    assert!(!second.replayed);
    assert_eq!(second.body["data"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_under_one_key_charges_once() {
    let bed = Bed::new().await;
    bed.sandbox
        .set_faults(FaultPlan::latency(Latency::constant(20.0).unwrap()))
        .await;

    let replies = futures_util::future::join_all((0..50).map(|_| bed.charge("k"))).await;

    assert!(
        replies
            .iter()
            .all(|reply| matches!(reply.status, 200 | 409))
    );
    assert_eq!(
        replies
            .iter()
            .filter(|r| r.status == 200 && !r.replayed)
            .count(),
        1
    );
    assert_eq!(bed.charged("k"), 1);
    assert_eq!(bed.sandbox.stats().requests_by_key_max, 50);
}
