//! The provider is dead for a minute: quick refusals, few probes, and the same keys succeed afterwards.

use std::time::Duration;

use futures_util::future::join_all;
use oncepay::sandbox::{FaultKind, FaultRule};
use tokio::time::{Instant, interval};

use super::{order, payment_under, until_definite};
use crate::harness::{Backend, Knobs, ProviderKnobs, World, metric, on_both_stores};

const DEAD: Duration = Duration::from_secs(60);
const BETWEEN_PAYMENTS: Duration = Duration::from_millis(100);
const HALF_OPEN_PERMITS: u64 = 3;

on_both_stores! {
    a_provider_that_is_dead_for_a_minute_costs_its_callers_little_and_nothing_twice
}

/// As by default, but for how long the breaker stays open, so that it probes often in a minute.
fn settings() -> Knobs {
    Knobs(vec![
        ("ONCEPAY_BREAKER__OPEN_S", "1".into()),
        ("ONCEPAY_BREAKER__OPEN_MAX_S", "4".into()),
    ])
}

async fn opened(world: &World, to: &str) -> u64 {
    let name = "oncepay_provider_breaker_transitions_total";
    metric(world, name, &format!("to=\"{to}\"")).await
}

/// Connections that were tried, refused ones too.
async fn attempts(world: &World) -> u64 {
    metric(world, "oncepay_provider_attempt_duration_seconds_count", "").await
}

async fn a_provider_that_is_dead_for_a_minute_costs_its_callers_little_and_nothing_twice(
    backend: Backend,
) {
    let world = World::start_at(backend, settings(), vec![ProviderKnobs::named("main")]).await;
    world
        .inject(FaultRule::new(FaultKind::RefuseConnection))
        .await;
    let (began, mut pace) = (Instant::now(), interval(BETWEEN_PAYMENTS));
    let (mut keys, mut times, mut before) = (Vec::new(), Vec::new(), None);
    while began.elapsed() < DEAD {
        pace.tick().await;
        let key = format!("order-{}", keys.len());
        let asked = Instant::now();
        let refused = world.pay(&key, &order(&key)).await;
        times.push(asked.elapsed());
        assert!(refused.header("retry-after").is_some());
        let problem = refused.expect_problem(503, "provider_unavailable");
        assert_eq!(problem["payment"]["status"], "pending");
        keys.push(key);
        if before.is_none() && opened(&world, "open").await > 0 {
            before = Some(attempts(&world).await);
        }
    }
    let before = before.expect("the breaker opened");
    assert!(before <= 6, "{before} attempts before it opened");
    let (tried, probes) = (
        attempts(&world).await - before,
        opened(&world, "half_open").await,
    );
    assert!(probes >= 5, "{probes}");
    assert!(
        tried <= HALF_OPEN_PERMITS * probes,
        "{tried} attempts in {probes} times that it was half-open"
    );
    times.sort();
    let median = times[times.len() / 2];
    assert!(median < Duration::from_secs(1), "{median:?}");
    assert_eq!(world.sandbox.stats().distinct_keys, 0);
    for key in keys.iter().step_by(20) {
        assert_eq!(payment_under(&world, key).await["status"], "pending");
    }

    world.sandbox.clear_faults().await;
    let paid = keys
        .iter()
        .map(|key| until_definite(async || Some(world.pay(key, &order(key)).await)));
    for answer in join_all(paid).await {
        answer.expect(201);
    }
    assert_eq!(world.charges(), keys.len());
    let stats = world.sandbox.stats();
    assert_eq!(stats.distinct_keys, keys.len() as u64);
    assert_eq!(stats.executed, keys.len() as u64);
}
