//! How the suites here ask for what follows a payment.

use oncepay::sandbox::{Charge, ChargeFilter};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::harness::{API_KEY, Backend, Knobs, ProviderKnobs, World, eur, eventually};

/// Settles soon what was left in doubt.
pub(super) fn quick() -> Knobs {
    Knobs(vec![
        ("ONCEPAY_LIMITS__DEADLINE_MS", "3000".into()),
        ("ONCEPAY_RECOVERY__SWEEP_EVERY_MS", "100".into()),
        ("ONCEPAY_RECOVERY__BACKOFF_BASE_MS", "50".into()),
        ("ONCEPAY_RECOVERY__BACKOFF_MAX_S", "1".into()),
    ])
}

/// A world whose server gives up an attempt quickly.
pub(super) async fn impatient(backend: Backend, knobs: Knobs) -> World {
    let provider = ProviderKnobs {
        attempt_timeout_ms: 800,
        ..ProviderKnobs::named("stripe")
    };
    World::start_at(backend, knobs, vec![provider]).await
}

/// A `POST` under `key`, without a body.
pub(super) fn bare(world: &World, path: &str, key: &str) -> RequestBuilder {
    world
        .request(Method::POST, path)
        .bearer_auth(API_KEY)
        .header("idempotency-key", key)
}

/// A `POST` under `key` with a body of JSON.
pub(super) fn asking(world: &World, path: &str, key: &str, body: &Value) -> RequestBuilder {
    bare(world, path, key)
        .header("content-type", "application/json")
        .body(body.to_string())
}

/// The path of a new payment that is to be captured later.
pub(super) async fn authorized(world: &World, key: &str, amount: i64) -> String {
    let mut request = eur(amount);
    request["capture"] = json!("manual");
    let answer = world.pay(key, &request).await.expect(201);
    assert_eq!(answer.json()["status"], "authorized");
    answer.header("location").unwrap().to_owned()
}

/// The path of a new payment that is captured.
pub(super) async fn succeeded(world: &World, key: &str, amount: i64) -> String {
    let answer = world.pay(key, &eur(amount)).await.expect(201);
    assert_eq!(answer.json()["status"], "succeeded");
    answer.header("location").unwrap().to_owned()
}

/// The payment at `path`, once `member` is `value`, without anyone asking again.
pub(super) async fn once(world: &World, path: &str, member: &str, value: Value) -> Value {
    eventually(&format!("{path} has {member} {value}"), || async {
        let payment = world.get(path).await.expect(200).json();
        (payment[member] == value).then_some(payment)
    })
    .await
}

/// The one charge that the provider holds.
pub(super) fn the_charge(world: &World) -> Charge {
    let charges = world.sandbox.charges(&ChargeFilter::all());
    assert_eq!(charges.count, 1, "{charges:?}");
    charges.charges[0].clone()
}

/// The events of that type in a payment's history.
pub(super) async fn told(world: &World, path: &str, kind: &str) -> Vec<Value> {
    let events = world.get(&format!("{path}/events")).await.expect(200);
    let events = events.json()["data"].as_array().unwrap().clone();
    events
        .into_iter()
        .filter(|event| event["type"] == kind)
        .collect()
}
