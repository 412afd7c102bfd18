//! A provider's secret is replaced, or its name is made to stand for another: what is in doubt there stays
//! there. Each with a server that was killed in the middle of a charge.

use std::net::SocketAddr;

use oncepay::sandbox::{FaultKind, FaultRule};

use super::{charges_of, order, payment_under, settled_by_itself, until_definite, with_times};
use crate::harness::{Backend, ProviderKnobs, World, on_both_stores};

on_both_stores! {
    rule_6_a_new_secret_of_the_declared_account_finds_the_charge_in_doubt
    rule_6_a_provider_with_a_charge_in_doubt_is_not_made_to_stand_for_another
}

fn provider(account: Option<&'static str>) -> ProviderKnobs {
    ProviderKnobs {
        secret: "sandbox_shop_first".to_owned(),
        account,
        attempt_timeout_ms: 2_000,
        ..ProviderKnobs::named("main")
    }
}

/// A world whose server was killed while a charge under `k` was in doubt.
async fn killed_in_doubt(backend: Backend, provider: ProviderKnobs) -> World {
    // A second sandbox, for those who move there.
    let providers = vec![provider, ProviderKnobs::named("other")];
    let (knobs, _) = with_times(2_000, 3_000);
    let mut world = World::start_at(backend, knobs, providers).await;
    world.inject(FaultRule::new(FaultKind::HangAfter)).await;
    world.pay("k", &order("k")).await.expect(202);
    world.kill_server();
    world.sandbox.clear_faults().await;
    assert_eq!(charges_of(&world, "k"), 1);
    world.providers.truncate(1);
    world
}

async fn rule_6_a_new_secret_of_the_declared_account_finds_the_charge_in_doubt(backend: Backend) {
    let mut world = killed_in_doubt(backend, provider(Some("shop"))).await;
    world.providers[0].secret = "sandbox_shop_second".to_owned();
    world.restart_server().await;

    let paid = until_definite(async || Some(world.pay("k", &order("k")).await)).await;

    paid.expect(201);
    assert_eq!(charges_of(&world, "k"), 1);
    let stats = world.sandbox.stats();
    assert_eq!(stats.distinct_keys, 1, "one key of one account");
    assert!(stats.replays > 0, "the new secret was shown the old answer");
    assert_eq!(stats.requests["list"], 0);
}

async fn rule_6_a_provider_with_a_charge_in_doubt_is_not_made_to_stand_for_another(
    backend: Backend,
) {
    let mut world = killed_in_doubt(backend, provider(None)).await;
    let as_it_was = world.providers[0].clone();
    let elsewhere: SocketAddr = world.others[0].address();
    let new_secret = ProviderKnobs {
        secret: "sandbox_shop_second".to_owned(),
        ..as_it_was.clone()
    };
    let repointed = ProviderKnobs {
        address: Some(elsewhere),
        ..as_it_was.clone()
    };
    let dropped = ProviderKnobs {
        name: "renamed",
        ..as_it_was.clone()
    };
    for changed in [new_secret, repointed, dropped] {
        world.providers = vec![changed.clone()];
        for command in ["serve", "check"] {
            let (code, said) = world.command(command).await;
            assert_eq!(code, Some(1), "{command} with {changed:?}: {said}");
            for word in [
                "\"main\"",
                "configure these providers as they were",
                "retired = true",
            ] {
                assert!(said.contains(word), "{command} does not say {word}: {said}");
            }
        }
    }

    let retired = ProviderKnobs {
        retired: true,
        address: Some(world.sandbox.address()),
        ..as_it_was
    };
    let new = ProviderKnobs {
        address: Some(elsewhere),
        ..ProviderKnobs::named("new")
    };
    world.providers = vec![new, retired];
    world.restart_server().await;
    let settled = settled_by_itself(&world, "k").await;
    assert_eq!(
        (&settled["status"], &settled["provider"]),
        (&"succeeded".into(), &"main".into())
    );
    world.pay("k", &order("k")).await.expect(201);
    world.pay("next", &order("next")).await.expect(201);
    assert_eq!(payment_under(&world, "next").await["provider"], "new");
    assert_eq!(
        (charges_of(&world, "k"), charges_of(&world, "next")),
        (1, 0)
    );
}
