//! Every fault does what it is called, and the truth behind it is what the documentation says.

use std::io::ErrorKind;
use std::time::Duration;

use oncepay::sandbox::{CallClass, ChargeFilter, FaultKind, FaultPlan, FaultRule, Latency};

use super::harness::{Bed, charge_with, eventually, io_kind, send};

async fn bed_with(rule: FaultRule) -> Bed {
    let bed = Bed::new().await;
    bed.sandbox.set_faults(rule).await;
    bed
}

#[tokio::test]
async fn error_before_does_not_act_and_is_not_stored() {
    let bed = bed_with(FaultRule::new(FaultKind::ErrorBefore).times(1)).await;

    let broken = bed.charge("k").await.expect(500);

    assert_eq!(broken.body["error"]["type"], "api_error");
    assert_eq!(bed.charged("k"), 0);
    assert!(!bed.charge("k").await.expect(200).replayed);
    assert_eq!(bed.charged("k"), 1);
}

#[tokio::test]
async fn error_after_acts_and_the_500_is_replayed() {
    let bed = bed_with(FaultRule::new(FaultKind::ErrorAfter).times(1)).await;

    let broken = bed.charge("k").await.expect(500);
    let again = bed.charge("k").await.expect(500);

    assert!(!broken.replayed && again.replayed);
    assert_eq!(bed.charged("k"), 1);
    assert_eq!(bed.sandbox.stats().executed, 1);
}

#[tokio::test]
async fn error_after_is_no_answer_to_an_invalid_request() {
    let bed = bed_with(FaultRule::new(FaultKind::ErrorAfter)).await;
    let form = charge_with(&[("amount", "0")]);

    bed.post("/v1/payment_intents", &form, Some("k"))
        .await
        .expect(400);
}

#[tokio::test]
async fn error_stored_does_not_act_and_the_500_is_replayed() {
    let bed = bed_with(FaultRule::new(FaultKind::ErrorStored).times(1)).await;

    bed.charge("k").await.expect(500);
    let again = bed.charge("k").await.expect(500);

    assert!(again.replayed);
    assert_eq!(bed.charged("k"), 0);
    assert_eq!(bed.sandbox.stats().executed, 0);
}

#[tokio::test]
async fn unavailable_and_rate_limit_do_not_act() {
    let bed = Bed::new().await;
    let rules = [
        FaultRule::new(FaultKind::Unavailable).times(1),
        FaultRule::new(FaultKind::RateLimit).times(1),
    ];
    bed.sandbox.set_faults(FaultPlan::rules(rules)).await;

    let unavailable = bed.charge("k").await.expect(503);
    bed.charge("k").await.expect_error(429, "rate_limit");

    assert_eq!(unavailable.body["error"]["type"], "api_error");
    assert_eq!(bed.charged("k"), 0);
    bed.charge("k").await.expect(200);
    assert_eq!(bed.charged("k"), 1);
}

#[tokio::test]
async fn reset_before_resets_the_connection_and_does_not_act() {
    let bed = bed_with(FaultRule::new(FaultKind::ResetBefore).times(1)).await;

    let error = bed.try_charge("k").await.unwrap_err();

    assert_eq!(
        io_kind(&error),
        Some(ErrorKind::ConnectionReset),
        "{error:?}"
    );
    assert_eq!(bed.charged("k"), 0);
    assert!(!bed.charge("k").await.expect(200).replayed);
}

#[tokio::test]
async fn reset_after_acts_and_resets_the_connection() {
    let bed = bed_with(FaultRule::new(FaultKind::ResetAfter).times(2)).await;

    let first = bed.try_charge("k").await.unwrap_err();
    let replay = bed.try_charge("k").await.unwrap_err();

    assert_eq!(
        io_kind(&first),
        Some(ErrorKind::ConnectionReset),
        "{first:?}"
    );
    assert_eq!(
        io_kind(&replay),
        Some(ErrorKind::ConnectionReset),
        "{replay:?}"
    );
    assert_eq!(bed.charged("k"), 1);
    assert!(bed.charge("k").await.expect(200).replayed);
    assert_eq!(bed.charged("k"), 1);
}

#[tokio::test]
async fn hang_before_never_acts_and_frees_the_key_once_the_caller_leaves() {
    let bed = bed_with(FaultRule::new(FaultKind::HangBefore).times(1)).await;

    let hanging = bed.spawn_charge("k");
    eventually(async || bed.sandbox.stats().requests["create"] == 1).await;
    bed.charge("k")
        .await
        .expect_error(409, "idempotency_key_in_use");
    hanging.abort();
    eventually(async || bed.charge("k").await.status != 409).await;

    assert!(bed.charge("k").await.expect(200).replayed);
    assert_eq!(bed.sandbox.stats().executed, 1);
    assert_eq!(bed.charged("k"), 1);
}

#[tokio::test]
async fn hang_after_acts_and_keeps_the_answer_for_the_retry() {
    let bed = bed_with(FaultRule::new(FaultKind::HangAfter).times(1)).await;

    let hanging = bed.spawn_charge("k");
    eventually(async || bed.charged("k") == 1).await;
    bed.charge("k")
        .await
        .expect_error(409, "idempotency_key_in_use");
    assert!(!hanging.is_finished());
    hanging.abort();
    eventually(async || bed.charge("k").await.status != 409).await;

    assert!(bed.charge("k").await.expect(200).replayed);
    assert_eq!(bed.charged("k"), 1);
}

#[tokio::test]
async fn a_hang_ends_with_a_closed_connection_and_no_answer() {
    let bed = Bed::with(|config| config.hang_max = Duration::from_millis(50)).await;
    for (kind, charges) in [(FaultKind::HangBefore, 0), (FaultKind::HangAfter, 1)] {
        bed.sandbox.set_faults(FaultRule::new(kind).times(1)).await;
        let key = kind.name();

        let error = bed.try_charge(key).await.unwrap_err();

        assert!(error.is_request() && !error.is_timeout(), "{error:?}");
        assert_eq!(bed.charged(key), charges, "{key}");
        assert_eq!(
            bed.charge(key).await.expect(200).replayed,
            charges == 1,
            "{key}"
        );
        assert_eq!(bed.charged(key), 1, "{key}");
    }
}

#[tokio::test]
async fn a_hang_strikes_a_replay_too() {
    let bed = Bed::with(|config| config.hang_max = Duration::from_millis(50)).await;
    bed.charge("k").await.expect(200);
    bed.sandbox
        .set_faults(FaultRule::new(FaultKind::HangAfter).times(1))
        .await;

    bed.try_charge("k").await.unwrap_err();

    assert!(bed.charge("k").await.expect(200).replayed);
    assert_eq!(bed.charged("k"), 1);
}

#[tokio::test]
async fn a_caller_that_leaves_during_the_latency_is_charged_all_the_same() {
    let bed = Bed::new().await;
    bed.sandbox
        .set_faults(FaultPlan::latency(Latency::constant(5_000.0).unwrap()))
        .await;

    let leaving = bed.spawn_charge("k");
    eventually(async || bed.sandbox.stats().requests["create"] == 1).await;
    assert_eq!(bed.charged("k"), 0);
    leaving.abort();
    eventually(async || bed.charged("k") == 1).await;

    bed.sandbox.clear_faults().await;
    assert!(bed.charge("k").await.expect(200).replayed);
    assert_eq!(bed.charged("k"), 1);
}

#[tokio::test]
async fn latency_slows_every_provider_call_and_not_the_own_side() {
    let bed = Bed::new().await;
    bed.sandbox
        .set_faults(FaultPlan::latency(Latency::constant(60_000.0).unwrap()))
        .await;
    let quick = Duration::from_millis(200);
    let request = || {
        bed.request(reqwest::Method::GET, "/v1/refunds")
            .bearer_auth("sk")
    };

    let slow = send(request().timeout(quick)).await.unwrap_err();

    assert!(slow.is_timeout());
    bed.own_side(reqwest::Method::GET, "/sandbox/stats", "")
        .await
        .expect(200);
}

#[tokio::test]
async fn forget_keys_once_makes_a_retry_charge_again() {
    let bed = Bed::new().await;
    bed.charge("k").await.expect(200);
    bed.sandbox
        .set_faults(FaultRule::new(FaultKind::ForgetKeys).times(1))
        .await;

    assert!(!bed.charge("k").await.expect(200).replayed);
    assert_eq!(bed.charged("k"), 2);

    assert!(bed.charge("k").await.expect(200).replayed);
    assert_eq!(bed.charged("k"), 2);
}

#[tokio::test]
async fn forget_keys_for_ever_remembers_none() {
    let bed = bed_with(FaultRule::new(FaultKind::ForgetKeys)).await;

    for charges in 1..=3 {
        assert!(!bed.charge("k").await.expect(200).replayed);
        assert_eq!(bed.charged("k"), charges);
    }
}

#[tokio::test]
async fn lookup_lag_hides_what_is_fresh_from_the_search_and_from_nothing_else() {
    let bed = bed_with(FaultRule::new(FaultKind::LookupLag).lag_ms(5_000)).await;
    let form = charge_with(&[("metadata[order]", "17")]);
    let paid = bed
        .post("/v1/payment_intents", &form, None)
        .await
        .expect(200);
    let found = async |path: &str| bed.get(path).await.expect(200).body["data"].clone();
    let search = "/v1/payment_intents/search?query=metadata['order']:'17'";

    assert_eq!(found(search).await.as_array().unwrap().len(), 0);
    assert_eq!(
        found("/v1/payment_intents").await.as_array().unwrap().len(),
        1
    );
    bed.get(&format!("/v1/payment_intents/{}", paid.id()))
        .await
        .expect(200);

    bed.pass(Duration::from_secs(5));
    assert_eq!(found(search).await.as_array().unwrap().len(), 1);
    assert_eq!(
        bed.sandbox
            .charges(&ChargeFilter::metadata("order", "17"))
            .count,
        1
    );
}

#[tokio::test]
async fn a_rule_hits_only_the_calls_it_names() {
    let rule = FaultRule::new(FaultKind::Unavailable).on(&[CallClass::Refund, CallClass::Lookup]);
    let bed = bed_with(rule).await;

    let paid = bed.charge("k").await.expect(200);

    bed.post("/v1/refunds", &[("payment_intent", paid.id())], None)
        .await
        .expect(503);
    bed.get(&format!("/v1/payment_intents/{}", paid.id()))
        .await
        .expect(503);
    assert_eq!(bed.sandbox.faults_fired(), [2]);
}

#[tokio::test]
async fn captures_and_cancels_can_be_lost_as_well() {
    let bed = Bed::new().await;
    for (action, status) in [("capture", "succeeded"), ("cancel", "canceled")] {
        let held = bed.hold().await;
        let path = format!("/v1/payment_intents/{}", held.id());
        bed.sandbox
            .set_faults(FaultRule::new(FaultKind::ErrorAfter).times(1))
            .await;

        bed.post(&format!("{path}/{action}"), &[], Some(action))
            .await
            .expect(500);

        assert_eq!(bed.get(&path).await.body["status"], status);
        let again = bed
            .post(&format!("{path}/{action}"), &[], Some(action))
            .await
            .expect(500);
        assert!(again.replayed);
    }
}

#[tokio::test]
async fn the_same_seed_draws_the_same_faults() {
    let draw = async || {
        let bed = bed_with(FaultRule::new(FaultKind::Unavailable).rate(0.5)).await;
        let mut statuses = Vec::new();
        for number in 0..24 {
            statuses.push(bed.charge(&format!("k{number}")).await.status);
        }
        statuses
    };

    let first = draw().await;

    assert_eq!(first, draw().await);
    assert!(first.contains(&200) && first.contains(&503), "{first:?}");
}
