//! What happens if the downstream service fails?

mod breaker;
mod dead;
mod every_fault;
mod mixed;
mod moved;
mod retries;
mod several_providers;

use std::{collections::BTreeMap, time::Duration};

use oncepay::sandbox::ChargeFilter;
use serde_json::{Value, json};

use crate::harness::{
    API_KEY, Answer, Backend, Knobs, ProviderKnobs, ServerProcess, World, eventually, send,
};

/// Settings under which what is in doubt is settled within a test's patience.
pub(crate) fn quick_recovery() -> Knobs {
    Knobs(vec![
        ("ONCEPAY_RECOVERY__SWEEP_EVERY_MS", "100".into()),
        ("ONCEPAY_RECOVERY__BACKOFF_BASE_MS", "100".into()),
        ("ONCEPAY_RECOVERY__BACKOFF_MAX_S", "2".into()),
        ("ONCEPAY_LIMITS__DEADLINE_MS", "3000".into()),
        ("ONCEPAY_LIMITS__LEASE_S", "14".into()),
        ("ONCEPAY_RETRY__BUDGET_PERCENT", "100".into()),
        ("ONCEPAY_RETRY__BUDGET_PER_S", "1000".into()),
        ("ONCEPAY_RETRY__SETTLING_PER_S", "1000".into()),
        ("ONCEPAY_BREAKER__OPEN_S", "1".into()),
        ("ONCEPAY_BREAKER__OPEN_MAX_S", "2".into()),
    ])
}

/// The settings of [`quick_recovery`] and of one provider whose attempts may take so long, each begun
/// only if it could end before the deadline; with the shortest lease that goes with it, which by the
/// bounds has room for both and 10 s.
pub(crate) fn with_times(attempt_timeout_ms: u32, deadline_ms: u32) -> (Knobs, Vec<ProviderKnobs>) {
    let lease_s = (deadline_ms + attempt_timeout_ms).div_ceil(1_000) + 10;
    let mut knobs = quick_recovery();
    knobs.0.extend([
        ("ONCEPAY_LIMITS__DEADLINE_MS", deadline_ms.to_string()),
        ("ONCEPAY_LIMITS__LEASE_S", lease_s.to_string()),
    ]);
    let provider = ProviderKnobs {
        attempt_timeout_ms,
        ..ProviderKnobs::named("main")
    };
    (knobs, vec![provider])
}

/// A world whose one provider remembers keys for a few seconds only, and whose absence counts soon
/// after; with the times of [`with_times`].
pub(crate) async fn forgetful_world(
    backend: Backend,
    key_retention_s: u32,
    attempt_timeout_ms: u32,
    deadline_ms: u32,
) -> World {
    let (knobs, mut providers) = with_times(attempt_timeout_ms, deadline_ms);
    for provider in &mut providers {
        provider.key_retention_s = key_retention_s;
        provider.absence_wait_s = 2;
    }
    World::start_at(backend, knobs, providers).await
}

/// A world that settles soon, where no slow answer of a busy machine is taken for none.
pub(crate) async fn quick_world(backend: Backend) -> World {
    let (knobs, providers) = with_times(5_000, 15_000);
    World::start_at(backend, knobs, providers).await
}

/// As [`quick_world`], for faults that keep an attempt waiting until it is given up: one attempt, and then
/// the deadline.
pub(crate) async fn hasty_world(backend: Backend) -> World {
    let (knobs, providers) = with_times(2_000, 3_000);
    World::start_at(backend, knobs, providers).await
}

/// A payment that the provider's ground truth can be asked for by its key.
pub(crate) fn order(key: &str) -> Value {
    json!({"amount": 4_200, "currency": "EUR", "payment_method": "pm_card_visa", "reference": key})
}

/// As [`order`], to be captured later.
pub(crate) fn held(key: &str) -> Value {
    let mut order = order(key);
    order["capture"] = json!("manual");
    order
}

/// What moved or holds money under a key, at the world's first provider.
pub(crate) fn charges_of(world: &World, key: &str) -> usize {
    world.charges_that(&ChargeFilter::metadata("reference", key))
}

pub(crate) async fn follow_up(world: &World, payment: &str, what: &str, key: &str) -> Answer {
    let path = format!("/payments/{payment}/{what}");
    let request = world.request(reqwest::Method::POST, &path);
    let request = request.bearer_auth(API_KEY).header("idempotency-key", key);
    send(request).await
}

/// The payment under a key.
pub(crate) async fn payment_under(world: &World, key: &str) -> Value {
    payment_under_at(world, &world.server, key).await
}

pub(crate) async fn payment_under_at(world: &World, node: &ServerProcess, key: &str) -> Value {
    let path = format!("/payments?idempotency_key={key}");
    let page = send(
        world
            .request_at(node, reqwest::Method::GET, &path)
            .bearer_auth(API_KEY),
    );
    page.await.expect(200).json()["data"][0].clone()
}

/// Waits until the payment under `key` is neither processing nor pending, with no request of ours
/// but readings.
pub(crate) async fn settled_by_itself(world: &World, key: &str) -> Value {
    settled_by_itself_at(world, &world.server, key).await
}

/// As [`settled_by_itself`], as one of the nodes sees it.
pub(crate) async fn settled_by_itself_at(world: &World, node: &ServerProcess, key: &str) -> Value {
    eventually("the payment is settled", || async {
        let payment = payment_under_at(world, node, key).await;
        let status = payment["status"].as_str().unwrap_or_default().to_owned();
        let open = ["processing", "pending", ""].contains(&status.as_str());
        (!open).then_some(payment)
    })
    .await
}

/// The status of an answer, and the code of a problem.
fn what_it_is(answer: &Answer) -> String {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    format!("{} {}", answer.status, body["code"])
}

/// Sends the same request again and again, as a good client does, until it has a definite answer.
pub(crate) async fn until_definite(mut again: impl AsyncFnMut() -> Option<Answer>) -> Answer {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(600);
    let mut seen = BTreeMap::new();
    loop {
        let answer = again().await;
        *seen.entry(answer.as_ref().map(what_it_is)).or_insert(0) += 1;
        if let Some(answer) = answer
            && !matches!(answer.status, 202 | 409 | 429 | 500..)
        {
            return answer;
        }
        let in_time = tokio::time::Instant::now() < deadline;
        assert!(in_time, "no definite answer: {seen:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
