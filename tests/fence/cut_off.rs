//! A driver is cut off from the database while it drives.

use std::time::Duration;

use futures_util::future::join;
use oncepay::sandbox::{CallClass, FaultKind, FaultPlan, FaultRule};

use super::{
    epoch_under, history, provider_has_acted, sweeping_every, world, world_of_held_answers,
};
use crate::{
    downstream_fails::{charges_of, order, payment_under_at, until_definite},
    harness::{Fate, Knobs, Proxy, World, eventually, proxy::Direction, send},
};

/// A proxy in front of the database, and a node that gets there by way of it only.
async fn cut_off_at_will(world: &mut World) -> Proxy {
    let proxy = Proxy::start(world.database.server().unwrap()).await;
    let url = world.database.url_through(proxy.address());
    world.server.kill();
    let through = Knobs(vec![("ONCEPAY_DATABASE_URL", url)]);
    world.server = world.another_node(through).await;
    proxy
}

/// Node A has the provider's answer and cannot write it; node B takes over and finds nothing out. What
/// A knows is true all the same, whichever epoch stands.
#[tokio::test(flavor = "multi_thread")]
async fn rule_12_a_definite_answer_of_an_old_epoch_completes_on_top_of_a_take_over() {
    let (mut world, provider) = world_of_held_answers(15_000, 25_000).await;
    let proxy = cut_off_at_will(&mut world).await;
    let (body, address) = (order("k"), world.server.address());
    let asked = world.pay("k", &body);
    let meanwhile = async {
        provider_has_acted(&world).await;
        proxy.refuse().await;
        proxy.cut_all();
        provider.forward().await;
    };
    let (answer, ()) = join(asked, meanwhile).await;
    assert_eq!(answer.expect(202).json()["status"], "processing");
    assert_eq!(charges_of(&world, "k"), 1, "{address} knows of it");

    // Whoever asks the provider now learns nothing.
    let dark = [CallClass::Create, CallClass::Lookup];
    let dark = FaultRule::new(FaultKind::Unavailable).on(&dark);
    world.inject(FaultPlan::rules([dark])).await;
    let node = world.another_node(sweeping_every("60000")).await;
    eventually("the other node takes it over", || async {
        let answer = world.pay_at(&node, "k", &body).await;
        assert_eq!(answer.status, 202);
        (epoch_under(&world, "k").await != "1").then_some(())
    })
    .await;
    // No node sweeps soon, and the provider is dark: only what the first node knows can settle it.
    proxy.forward().await;
    let payment = eventually("the first node writes what it knows", || async {
        let payment = payment_under_at(&world, &node, "k").await;
        (payment["status"] == "succeeded").then_some(payment)
    })
    .await;
    assert_eq!(payment["in_doubt_since"], serde_json::Value::Null);
    let expected = "created became_in_doubt captured";
    assert_eq!(history(&world, "k").await, expected);
    let replayed = world.pay_at(&node, "k", &body).await.expect(201);
    assert!(replayed.is_replayed());
    assert_eq!(charges_of(&world, "k"), 1);
}

/// The intent is committed, and its writer hears nothing but the end of its connection: it asks again,
/// and knows its own row by the owner.
#[tokio::test(flavor = "multi_thread")]
async fn rule_17_a_driver_knows_its_own_intent_after_a_commit_in_doubt() {
    let mut world = world().await;
    let proxy = cut_off_at_will(&mut world).await;
    for round in 0..5 {
        let key = format!("lost-{round}");
        let trap = proxy.trap(&key, Fate::CutAfter, 1);
        let answer = world.pay(&key, &order(&key)).await;
        assert_eq!(
            trap.sprung(),
            1,
            "the first bytes with the key are the intent's"
        );
        let answer = answer.expect(201);
        assert!(!answer.is_replayed(), "it was this request that began it");
        assert_eq!(
            epoch_under(&world, &key).await,
            "1",
            "nobody was taken over"
        );
        assert_eq!(charges_of(&world, &key), 1);
        assert_eq!(history(&world, &key).await, "created captured");
    }
    assert_eq!(world.sandbox.stats().requests_by_key_max, 1);
}

/// The same of a take-over and of an outcome, whose commits are statements of their own.
#[tokio::test(flavor = "multi_thread")]
async fn rule_17_every_commit_in_doubt_is_run_again_and_written_once() {
    let mut world = world().await;
    let proxy = cut_off_at_will(&mut world).await;
    let refuse = FaultRule::new(FaultKind::RefuseConnection);
    world.inject(refuse).await;
    let pending = world.pay("k", &order("k")).await;
    pending.expect_problem(503, "provider_unavailable");
    world.sandbox.clear_faults().await;
    // The take-over's commit, and then the outcome's.
    let trap = proxy.trap("COMMIT", Fate::CutAfter, 2);
    let paid = until_definite(async || Some(world.pay("k", &order("k")).await)).await;
    paid.expect(201);
    trap.until_sprung(2).await;
    let history = history(&world, "k").await;
    let count = |what: &str| history.split(' ').filter(|event| *event == what).count();
    assert_eq!((count("created"), count("captured")), (1, 1), "{history}");
    assert_eq!(count("released"), count("resumed"), "{history}");
    assert_eq!(charges_of(&world, "k"), 1);
}

/// A renewal that nobody confirms holds nothing up, and a node that was cut off for longer than its
/// lease answers what stands.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_hears_nothing_of_its_database_answers_what_stands_when_it_does() {
    let (mut world, provider) = world_of_held_answers(10_000, 15_000).await;
    let proxy = cut_off_at_will(&mut world).await;
    let (node, body) = (world.another_node(sweeping_every("100")).await, order("k"));
    let asked = world.pay("k", &body);
    let meanwhile = async {
        provider_has_acted(&world).await;
        proxy.stall(Direction::ToClient);
        provider.forward().await;
    };
    let (answer, ()) = join(asked, meanwhile).await;
    assert_eq!(answer.expect(202).json()["status"], "processing");
    let settled = until_definite(async || Some(world.pay_at(&node, "k", &body).await)).await;
    let settled = settled.expect(201);
    proxy.forward().await;
    let again = tokio::time::timeout(
        Duration::from_secs(120),
        until_definite(async || Some(world.pay("k", &body).await)),
    );
    assert_eq!(again.await.unwrap().expect(201).body, settled.body);
    assert_eq!(
        (charges_of(&world, "k"), world.sandbox.stats().executed),
        (1, 1)
    );
}

/// Its drive saw the operation open, and sees nothing any more; the other node has settled it meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn rule_10_who_comes_after_the_answer_is_not_told_how_it_was_before() {
    let (world, provider) = world_of_held_answers(10_000, 15_000).await;
    let proxy = Proxy::start(world.database.server().unwrap()).await;
    let url = world.database.url_through(proxy.address());
    let through = Knobs(vec![("ONCEPAY_DATABASE_URL", url)]);
    let blind = world.another_node(through).await;
    let body = order("k");

    let asked = world.pay("k", &body);
    let meanwhile = async {
        eventually("the intent is recorded", || async {
            let drives = epoch_under(&world, "k").await == "1";
            drives.then_some(())
        })
        .await;
        // Its drive goes on to follow the other node's.
        let request = world.paying_at(&blind, "k", &body);
        let answer = send(request.header("prefer", "respond-async")).await;
        assert_eq!(answer.expect(202).json()["status"], "processing");
        proxy.stall(Direction::ToClient);
        provider.forward().await;
    };
    let (answer, ()) = join(asked, meanwhile).await;
    answer.expect(201);

    let joined = world.pay_at(&blind, "k", &body).await;
    joined.expect_problem(503, "outcome_unknown");
    proxy.forward().await;
    let again = until_definite(async || Some(world.pay_at(&blind, "k", &body).await)).await;
    assert!(again.expect(201).is_replayed());
    assert_eq!(charges_of(&world, "k"), 1);
}
