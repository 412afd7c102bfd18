//! What a client cannot bring about, however it asks.

use futures_util::{StreamExt, future::join_all, stream::FuturesUnordered};
use reqwest::Method;
use serde_json::json;

use super::asking::{impatient, quick};
use crate::harness::{API_KEY, Backend, Knobs, World, eur, eventually, on_both_stores, send};

on_both_stores! {
    a_wait_beyond_all_time_is_one_until_the_deadline
    no_filter_brings_a_secret_into_the_log
}

async fn a_wait_beyond_all_time_is_one_until_the_deadline(backend: Backend) {
    let world = World::start(backend).await;
    let wait = format!("wait={}", u64::MAX);
    send(world.paying("k", &eur(1)).header("prefer", wait))
        .await
        .expect(201);
    assert!(!world.server.output().contains("panicked"));
}

async fn no_filter_brings_a_secret_into_the_log(backend: Backend) {
    let filter = "trace,tokio_postgres::query=trace";
    let world = World::start_with(backend, Knobs(vec![("ONCEPAY_LOG", filter.into())])).await;
    let mut request = eur(4_200);
    request["description"] = json!("a-description-of-a-customer");
    request["metadata"] = json!({"seat": "a-seat-of-a-customer"});
    world
        .pay("a-key-nobody-should-read", &request)
        .await
        .expect(201);
    world
        .get("/payments?reference=a-reference-of-a-customer")
        .await
        .expect(200);
    let log = world.server.output();
    assert!(
        log.contains("\"level\":\"DEBUG\""),
        "our own modules do speak below info:\n{log}"
    );
    for secret in [
        "pm_card_visa",
        "a-key-nobody-should-read",
        "a-description-of-a-customer",
        "a-seat-of-a-customer",
        "a-reference-of-a-customer",
        "sandbox_secret",
        API_KEY,
    ] {
        // Diesel's parameters are logged as their bytes.
        let bytes: Vec<String> = secret.bytes().map(|byte| byte.to_string()).collect();
        for form in [secret, bytes.join(", ").as_str()] {
            assert!(!log.contains(form), "{secret} is in the log:\n{log}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rival_under_one_key_waits_no_longer_than_its_deadline() {
    let world = impatient(Backend::Postgres, quick_deadline()).await;
    let lock = world.database.lock_operations().await;
    let (first, second) = (eur(1), eur(2));
    let (one, two) = tokio::join!(world.pay("k", &first), world.pay("k", &second));
    // Whichever came first may have been recorded; the other one was certainly not begun.
    let mut codes: Vec<_> = [&one, &two]
        .map(|answer| answer.json()["code"].as_str().unwrap().to_owned())
        .into();
    codes.sort_unstable();
    assert_eq!(codes, ["outcome_unknown", "overloaded"]);
    eventually("the log says why nobody knows", || async {
        let log = world.server.output();
        (log.contains("the store did not answer before the deadline")).then_some(())
    })
    .await;
    drop(lock);
    let (begun, rival) = match one.json()["code"] == "outcome_unknown" {
        true => (&first, &second),
        false => (&second, &first),
    };
    // The lock may have used up the time that the first retry has for an attempt.
    let made = eventually("the one that was begun is made", || async {
        let answer = world.pay("k", begun).await;
        (answer.status == 201).then_some(answer)
    })
    .await;
    assert_eq!(made.json()["amount"], begun["amount"]);
    drop(
        world
            .pay("k", rival)
            .await
            .expect_problem(422, "idempotency_key_reused"),
    );
    assert_eq!(world.charges(), 1);
}

/// Shorter than the database's own patience with a lock.
fn quick_deadline() -> Knobs {
    let mut knobs = quick();
    knobs.0.push(("ONCEPAY_LIMITS__DEADLINE_MS", "2500".into()));
    knobs
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_looked_up_only_so_many_at_once() {
    let world = World::start(Backend::Postgres).await;
    let lock = world.database.lock_api_keys().await;
    let asking = |key: String| send(world.request(Method::GET, "/payments").bearer_auth(key));
    let guesses = (0..60).map(|n| format!("op_test_{n:040}"));
    let mut answers: FuturesUnordered<_> = guesses.clone().map(asking).collect();
    let turned_away = answers.next().await.unwrap();
    assert!(turned_away.header("retry-after").is_some());
    drop(turned_away.expect_problem(503, "overloaded"));
    drop(lock);
    drop(answers.collect::<Vec<_>>().await);

    // Those who bring the same key share one look-up.
    for answer in join_all((0..60).map(|_| asking(API_KEY.to_owned()))).await {
        drop(answer.expect(200));
    }
    for answer in join_all((0..60).map(|_| asking(format!("op_test_{:040}", 99)))).await {
        drop(answer.expect_problem(401, "unauthenticated"));
    }
}
