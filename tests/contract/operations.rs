//! What operators meet: health, metrics, logs, the end of a server.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;

use crate::harness::{Backend, Knobs, World, eur, eventually, on_both_stores, send};

on_both_stores! {
    a_server_says_that_it_is_alive_and_ready
    sigterm_lets_what_runs_finish_and_takes_nothing_new
    batches_of_more_than_one_row_are_seen_in_the_metrics
    no_actor_is_left_behind
}

async fn a_server_says_that_it_is_alive_and_ready(backend: Backend) {
    let world = World::start(backend).await;
    drop(
        send(world.request(Method::GET, "/healthz"))
            .await
            .expect(200),
    );
    drop(
        send(world.request(Method::GET, "/readyz"))
            .await
            .expect(200),
    );
}

async fn sigterm_lets_what_runs_finish_and_takes_nothing_new(backend: Backend) {
    let mut world = World::start(backend).await;
    world.latency_ms(1_000.0).await;
    let body = eur(4_200);
    let answers = {
        let paying = join_all((0..20).map(|n| {
            let key = format!("k-{n}");
            let world = &world;
            let body = &body;
            async move { world.pay(&key, body).await }
        }));
        let stopping = async {
            eventually("the provider has all", || async {
                (world.sandbox.stats().distinct_keys == 20).then_some(())
            })
            .await;
            world.server.signal("TERM");
        };
        tokio::join!(paying, stopping).0
    };
    for answer in answers {
        drop(answer.expect(201));
    }
    let status = world.server.ended(Duration::from_secs(30)).await;
    assert!(status.success(), "{status}\n{}", world.server.output());
    assert_eq!(world.charges(), 20);
    world.restart_server().await;
    assert!(world.pay("k-7", &body).await.expect(201).is_replayed());
}

async fn batches_of_more_than_one_row_are_seen_in_the_metrics(backend: Backend) {
    let world = World::start(backend).await;
    let body = eur(1);
    let keys: Vec<_> = (0..200).map(|n| format!("k-{n}")).collect();
    for answer in join_all(keys.iter().map(|key| world.pay(key, &body))).await {
        drop(answer.expect(201));
    }
    let metrics = metrics(&world).await;
    for kind in ["begin", "change"] {
        let rows = value(
            &metrics,
            &format!("oncepay_store_batch_rows_sum{{kind=\"{kind}\"}}"),
        );
        let batches = value(
            &metrics,
            &format!("oncepay_store_batch_rows_count{{kind=\"{kind}\"}}"),
        );
        assert!((rows - 200.0).abs() < 0.5, "{rows}");
        assert!(batches < rows, "every batch of {kind} had one row");
    }
}

async fn no_actor_is_left_behind(backend: Backend) {
    let world = World::start_with(
        backend,
        Knobs(vec![("ONCEPAY_LIMITS__IN_FLIGHT_MAX", "64".into())]),
    )
    .await;
    let body = eur(1);
    for round in 0..10 {
        let keys: Vec<_> = (0..50).map(|n| format!("k-{round}-{n}")).collect();
        for answer in join_all(keys.iter().map(|key| world.pay(key, &body))).await {
            drop(answer.expect(201));
        }
    }
    eventually("no actor and no operation is left", || async {
        let metrics = metrics(&world).await;
        let none = |name: &str| value(&metrics, name) == 0.0;
        (none("oncepay_key_actors_alive") && none("oncepay_operations_in_flight")).then_some(())
    })
    .await;
}

async fn metrics(world: &World) -> String {
    let answer = send(world.request(Method::GET, "/metrics"))
        .await
        .expect(200);
    String::from_utf8(answer.body).unwrap()
}

#[track_caller]
fn value(metrics: &str, name: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name} in\n{metrics}"))
        .trim()
        .parse()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_carries_the_request_s_id_and_no_secret() {
    let world = World::start(Backend::Sqlite).await;
    let answer = world
        .pay("a-key-nobody-should-read", &eur(4_200))
        .await
        .expect(201);
    let id = answer.header("x-request-id").unwrap().to_owned();
    let log = eventually(
        "the request, and the provider's answer to it, are logged",
        || async {
            let log = world.server.output();
            let of_the_request = |text: &str| {
                log.lines()
                    .any(|line| line.contains(&id) && line.contains(text))
            };
            (of_the_request("answered") && of_the_request("the provider answered")).then_some(log)
        },
    )
    .await;
    for secret in [
        "a-key-nobody-should-read",
        "pm_card_visa",
        "op_test_0123",
        "sandbox_secret",
    ] {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
}
