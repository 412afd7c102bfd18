//! A provider that fails is left alone, and found again.

use std::time::Duration;

use oncepay::sandbox::{FaultKind, FaultPlan, FaultRule};

use tokio::time::Instant;

use crate::harness::{Backend, Knobs, World, eur, eventually, metric};

/// A breaker that comes back within a second, for tests that wait for it.
fn quick_breaker() -> Knobs {
    Knobs(vec![
        ("ONCEPAY_BREAKER__OPEN_S", "1".into()),
        ("ONCEPAY_BREAKER__OPEN_MAX_S", "1".into()),
        ("ONCEPAY_BREAKER__CALLS_MIN", "5".into()),
    ])
}

async fn attempts(world: &World) -> u64 {
    metric(world, "oncepay_provider_attempt_duration_seconds_count", "").await
}

async fn probes(world: &World) -> u64 {
    let half_open = "to=\"half_open\"";
    3 * metric(
        world,
        "oncepay_provider_breaker_transitions_total",
        half_open,
    )
    .await
}

/// Pays under one key after the other until the breaker is open; gives back the keys.
async fn pay_until_it_is_open(world: &World) -> Vec<String> {
    let mut keys = Vec::new();
    while metric(
        world,
        "oncepay_provider_breaker_transitions_total",
        "to=\"open\"",
    )
    .await
        == 0
    {
        assert!(keys.len() < 20, "it never opens");
        let key = format!("k-{}", keys.len());
        drop(
            world
                .pay(&key, &eur(1))
                .await
                .expect_problem(503, "provider_unavailable"),
        );
        keys.push(key);
    }
    keys
}

async fn succeed_once_the_fault_has_ended(world: &World, keys: &[String]) {
    world.inject(FaultPlan::default()).await;
    for key in keys {
        eventually("the breaker lets it pass", || async {
            let answer = world.pay(key, &eur(1)).await;
            (answer.status == 201).then_some(())
        })
        .await;
    }
    assert_eq!(world.charges(), keys.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_refuses_connections_costs_a_quick_503_and_no_charge() {
    let world = World::start_with(Backend::Sqlite, quick_breaker()).await;
    world
        .inject(FaultRule::new(FaultKind::RefuseConnection))
        .await;
    let mut keys = pay_until_it_is_open(&world).await;
    let (before, asked) = (attempts(&world).await, Instant::now());
    for n in 0..30 {
        let key = format!("open-{n}");
        let answer = world.pay(&key, &eur(1)).await;
        assert!(answer.header("retry-after").is_some());
        let problem = answer.expect_problem(503, "provider_unavailable");
        assert_eq!(problem["payment"]["status"], "pending");
        keys.push(key);
    }
    let (tried, probes) = (attempts(&world).await - before, probes(&world).await);
    assert!(tried <= probes, "{tried} attempts for {probes} probes");
    assert!(asked.elapsed() < Duration::from_secs(20), "nobody waits");
    succeed_once_the_fault_has_ended(&world, &keys).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_asks_for_less_is_asked_by_probes_alone() {
    let world = World::start_with(Backend::Sqlite, quick_breaker()).await;
    world.inject(FaultRule::new(FaultKind::RateLimit)).await;
    let mut keys = pay_until_it_is_open(&world).await;
    let requests = || world.sandbox.stats().requests.values().sum::<u64>();
    let before = requests();
    // Until it was probed three times.
    while probes(&world).await < 9 {
        let key = format!("open-{}", keys.len());
        drop(
            world
                .pay(&key, &eur(1))
                .await
                .expect_problem(503, "provider_unavailable"),
        );
        keys.push(key);
        assert!(keys.len() < 50_000, "it is never probed");
    }
    let (sent, probes) = (requests() - before, probes(&world).await);
    assert!(sent <= probes, "{sent} requests for {probes} probes");
    assert!(
        keys.len() as u64 > sent,
        "some were answered without asking: {} of {sent} requests",
        keys.len()
    );
    keys.truncate(20);
    succeed_once_the_fault_has_ended(&world, &keys).await;
}

/// Declines are the provider at work, whatever their share.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_declines_does_not_open_the_breaker() {
    let world = World::start_with(Backend::Sqlite, quick_breaker()).await;
    let declined = serde_json::json!({
        "amount": 1, "currency": "EUR", "payment_method": "pm_card_chargeDeclined"
    });
    for n in 0..30 {
        let answer = world.pay(&format!("d-{n}"), &declined).await;
        drop(answer.expect_problem(402, "payment_declined"));
    }
    drop(world.pay("good", &eur(1)).await.expect(201));
    assert_eq!(
        metric(&world, "oncepay_provider_breaker_state", "").await,
        0
    );
}
