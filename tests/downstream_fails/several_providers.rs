//! The next provider is tried only when the one before was certainly not reached.

use oncepay::sandbox::{ChargeFilter, FaultKind, FaultRule};

use super::{charges_of, order, payment_under, settled_by_itself, with_times};
use crate::harness::{Backend, ProviderKnobs, World, on_both_stores};

on_both_stores! {
    rule_7_refused_connections_lead_to_the_next_provider
    rule_7_a_doubt_never_leads_to_the_next_provider
}

async fn two_providers(backend: Backend, attempt_timeout_ms: u32, deadline_ms: u32) -> World {
    let (knobs, _) = with_times(attempt_timeout_ms, deadline_ms);
    let providers = ["first", "second"].map(|name| ProviderKnobs {
        attempt_timeout_ms,
        ..ProviderKnobs::named(name)
    });
    World::start_at(backend, knobs, providers.into()).await
}

async fn rule_7_refused_connections_lead_to_the_next_provider(backend: Backend) {
    let world = two_providers(backend, 5_000, 15_000).await;
    world
        .inject(FaultRule::new(FaultKind::RefuseConnection))
        .await;
    for number in 0..20 {
        let key = format!("order-{number}");
        let paid = world.pay(&key, &order(&key)).await.expect(201).json();
        assert_eq!(paid["provider"], "second");
        let events = world
            .get(&format!(
                "/payments/{}/events",
                paid["id"].as_str().unwrap()
            ))
            .await
            .expect(200)
            .json();
        let told: Vec<_> = (events["data"].as_array().unwrap().iter())
            .map(|event| event["type"].as_str().unwrap().to_owned())
            .collect();
        let straight = ["created", "captured"].map(str::to_owned);
        let turned = ["created", "failed_over", "captured"].map(str::to_owned);
        assert!(told == turned || told == straight, "{told:?}");
        assert!(number > 0 || told == turned, "the first one found out");
    }
    world.sandbox.clear_faults().await;
    assert_eq!(world.charges(), 0);
    assert_eq!(world.others[0].charges(&ChargeFilter::all()).count, 20);
}

async fn rule_7_a_doubt_never_leads_to_the_next_provider(backend: Backend) {
    let world = two_providers(backend, 2_000, 3_000).await;
    world
        .inject(FaultRule::new(FaultKind::HangAfter).times(3))
        .await;
    world.pay("k", &order("k")).await.expect(202);
    assert_eq!(payment_under(&world, "k").await["provider"], "first");
    let settled = settled_by_itself(&world, "k").await;
    assert_eq!(settled["status"], "succeeded");
    assert_eq!(settled["provider"], "first");
    assert_eq!(charges_of(&world, "k"), 1);
    assert_eq!(world.others[0].stats().distinct_keys, 0);
}
