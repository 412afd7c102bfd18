//! The provider is dead for a while: quick refusals, few probes, and the same keys succeed afterwards.

use std::time::Duration;

use tokio::time::Instant;

use futures_util::future::join_all;
use oncepay::sandbox::{FaultKind, FaultRule};

use super::{order, quick_world, until_definite};
use crate::harness::{Backend, eventually, on_both_stores};

const KEYS: usize = 200;

on_both_stores! {
    a_dead_provider_costs_its_callers_little_and_nothing_twice
}

async fn a_dead_provider_costs_its_callers_little_and_nothing_twice(backend: Backend) {
    let world = quick_world(backend).await;
    world
        .inject(FaultRule::new(FaultKind::RefuseConnection))
        .await;
    eventually("the breaker opens", || async {
        let refused = world.pay("first", &order("first")).await;
        assert_eq!(refused.status, 503);
        let metrics = world.get("/metrics").await.body;
        let metrics = String::from_utf8(metrics).unwrap();
        metrics
            .contains("oncepay_provider_breaker_state{provider=\"main\"} 1")
            .then_some(())
    })
    .await;
    let mut times = Vec::new();
    for number in 0..KEYS {
        let key = format!("order-{number}");
        let asked = Instant::now();
        let refused = world.pay(&key, &order(&key)).await;
        times.push(asked.elapsed());
        let problem = refused.expect_problem(503, "provider_unavailable");
        assert_eq!(problem["payment"]["status"], "pending");
    }
    times.sort();
    assert!(
        times[KEYS / 2] < Duration::from_millis(50),
        "{:?}",
        times[KEYS / 2]
    );
    assert_eq!(world.sandbox.stats().distinct_keys, 0);

    world.sandbox.clear_faults().await;
    let keys: Vec<_> = (0..KEYS).map(|number| format!("order-{number}")).collect();
    let paid = keys
        .iter()
        .map(|key| until_definite(async || Some(world.pay(key, &order(key)).await)));
    for answer in join_all(paid).await {
        answer.expect(201);
    }
    assert_eq!(world.charges(), KEYS);
}
