//! A recovery that ends in the middle, as in a power cut.

use std::process::Stdio;

use oncepay::sandbox::{CallClass, FaultKind, FaultRule};

use super::{backed_up, forget_keys, stopped, world};
use crate::{
    downstream_fails::{follow_up, order},
    harness::{Backend, World, eventually, on_both_stores},
    reconcile::expect_equal,
};

on_both_stores! {
    rule_19_a_recovery_that_was_killed_in_the_middle_ends_as_one_that_was_not
}

const PAYMENTS: u64 = 40;
const RECOVER: [&str; 3] = ["recover", "--since", "2020-01-01T00:00:00Z"];

fn keys() -> impl Iterator<Item = String> {
    (0..PAYMENTS).map(|number| format!("after-{number}"))
}

async fn rule_19_a_recovery_that_was_killed_in_the_middle_ends_as_one_that_was_not(
    backend: Backend,
) {
    let mut world = world(backend).await;
    backed_up(&mut world).await;
    for key in keys() {
        let paid = world.pay(&key, &order(&key)).await.expect(201).json();
        let id = paid["id"].as_str().unwrap();
        follow_up(&world, id, "refunds", &format!("back-{key}"))
            .await
            .expect(201);
    }
    stopped(&mut world).await;
    world.database.restore().await;

    killed_in_the_middle(&world).await;
    let said = recovered_once_nobody_is_connected(&world).await;
    let imported = count(&said, "payments imported");
    assert!((1..PAYMENTS).contains(&imported), "{said}");
    assert_eq!(count(&said, "refunds imported"), PAYMENTS, "{said}");
    let left = "imported operations left to be settled by the servers";
    assert_eq!(count(&said, left), 0, "{said}");

    world.restart_server().await;
    forget_keys(&world).await;
    for key in keys() {
        let again = world.pay(&key, &order(&key)).await.expect(201);
        assert!(again.is_replayed(), "{key}");
        let id = again.json()["id"].as_str().unwrap().to_owned();
        let again = follow_up(&world, &id, "refunds", &format!("back-{key}")).await;
        assert!(again.expect(201).is_replayed(), "{key}");
    }
    assert_eq!(world.sandbox.stats().charges, PAYMENTS);
    expect_equal(&world);
}

/// Kills a recovery while it looks at payments that it has imported, which is slow.
async fn killed_in_the_middle(world: &World) {
    let before = asked(world, "list_refunds");
    let mut recovery = world.program(&RECOVER);
    // After each question about the books it waits for a second: before it looks at any payment.
    recovery.args(["--questions-per-s", "1"]);
    let mut recovery = recovery.stderr(Stdio::null()).spawn().unwrap();
    let some = async |what: &str, than: u64| {
        let more = || async { (asked(world, what) > than).then_some(()) };
        eventually(what, more).await;
    };
    some("list_refunds", before).await;
    let looked = asked(world, "retrieve");
    let hangs = FaultRule::new(FaultKind::HangBefore).on(&[CallClass::Lookup]);
    world.inject(hangs).await;
    some("retrieve", looked + 2).await;
    recovery.kill().unwrap();
    assert!(!recovery.wait().unwrap().success(), "it was done before");
    world.sandbox.clear_faults().await;
}

fn asked(world: &World, endpoint: &str) -> u64 {
    let stats = world.sandbox.stats();
    stats.requests.get(endpoint).copied().unwrap_or_default()
}

/// The server notices only after a while that who was killed is gone.
async fn recovered_once_nobody_is_connected(world: &World) -> String {
    eventually("it recovers", || async {
        let output = world.run(&RECOVER);
        let told = String::from_utf8(output.stderr).unwrap();
        if told.contains("another program has") {
            return None;
        }
        assert!(output.status.success(), "{told}");
        Some(String::from_utf8(output.stdout).unwrap())
    })
    .await
}

fn count(said: &str, what: &str) -> u64 {
    let line = said.lines().find(|line| line.ends_with(what)).unwrap();
    let number = line.split_whitespace().next().unwrap();
    number.parse().unwrap()
}
