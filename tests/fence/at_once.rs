//! Two nodes at the same operation at the same moment.

use futures_util::future::{join, join_all};
use oncepay::sandbox::{FaultKind, FaultRule};
use serde_json::json;

use super::{history, post_at};
use crate::{
    downstream_fails::{charges_of, held, order, payment_under, until_definite, with_times},
    harness::{Backend, Knobs, ServerProcess, World, eventually},
};

/// How many keys are raced for.
const KEYS: usize = 12;

async fn two_nodes(more: Knobs) -> (World, ServerProcess) {
    let (mut knobs, providers) = with_times(5_000, 15_000);
    knobs.0.extend(more.0);
    let world = World::start_at(Backend::Postgres, knobs, providers).await;
    let node = world.another_node(Knobs::default()).await;
    (world, node)
}

/// Payments that were certainly not sent, and both nodes' breakers closed again.
async fn pending(world: &World, node: &ServerProcess) -> Vec<String> {
    let refused = FaultRule::new(FaultKind::RefuseConnection);
    world.inject(refused).await;
    let keys: Vec<_> = (0..KEYS).map(|n| format!("pending-{n}")).collect();
    for key in &keys {
        let answer = world.pay(key, &order(key)).await;
        let problem = answer.expect_problem(503, "provider_unavailable");
        assert_eq!(problem["payment"]["status"], "pending");
    }
    world.sandbox.clear_faults().await;
    for (key, node) in [("probe-a", &world.server), ("probe-b", node)] {
        let body = order(key);
        let probe = until_definite(async || Some(world.pay_at(node, key, &body).await));
        probe.await.expect(201);
    }
    keys
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_10_what_one_node_released_is_taken_up_at_another_or_at_both_at_once() {
    let (world, node) = two_nodes(Knobs::default()).await;
    for (n, key) in pending(&world, &node).await.iter().enumerate() {
        let body = order(key);
        if n == 0 {
            let paid = world.pay_at(&node, key, &body).await.expect(201);
            assert!(!paid.is_replayed(), "it took the operation up");
        }
        let (here, there) = join(world.pay(key, &body), world.pay_at(&node, key, &body)).await;
        let (here, there) = (here.expect(201), there.expect(201));
        assert_eq!(here.body, there.body);
        assert_eq!(charges_of(&world, key), 1);
        let events = history(&world, key).await;
        assert_eq!(events, "created released resumed captured");
    }
    assert_eq!(world.sandbox.stats().requests_by_key_max, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_10_a_retry_at_one_node_and_a_cancel_at_the_other_end_in_one_of_both() {
    let (world, node) = two_nodes(Knobs::default()).await;
    let keys = pending(&world, &node).await;
    let mut canceled = 0;
    for (n, key) in keys.iter().enumerate() {
        let (body, cancel_key) = (order(key), format!("cancel-{key}"));
        let id = payment_under(&world, key).await["id"].clone();
        let path = format!("/payments/{}/cancel", id.as_str().unwrap());
        let retry = world.pay(key, &body);
        let cancel = post_at(&world, &node, &path, &cancel_key);
        // Who is asked first has a little start.
        let (retried, cancel) = match n % 2 {
            0 => join(retry, cancel).await,
            _ => {
                let (cancel, retried) = join(cancel, retry).await;
                (retried, cancel)
            }
        };
        let payment = payment_under(&world, key).await;
        let status = payment["status"].as_str().unwrap();
        let again = world.pay_at(&node, key, &body).await;
        assert!(again.is_replayed());
        match status {
            "succeeded" => {
                assert_eq!((retried.status, charges_of(&world, key)), (201, 1));
                assert_eq!(cancel.status, 409, "{}", cancel.json());
            }
            "canceled" => {
                canceled += 1;
                cancel.expect(200);
                assert_eq!(charges_of(&world, key), 0);
            }
            other => panic!("{other}: {payment}"),
        }
        assert_eq!((again.status, &again.body), (retried.status, &retried.body));
    }
    let sent = world.sandbox.stats().distinct_keys;
    assert_eq!(
        sent as usize,
        2 + KEYS - canceled,
        "what was canceled was never sent"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_11_what_both_nodes_let_expire_expires_once() {
    let ttl = Knobs(vec![("ONCEPAY_LIMITS__PENDING_TTL_S", "4".into())]);
    let (world, node) = two_nodes(ttl).await;
    let keys = pending(&world, &node).await;
    for key in &keys {
        eventually("the payment expires", || async {
            let payment = payment_under(&world, key).await;
            (payment["status"] == "failed").then_some(())
        })
        .await;
        assert_eq!(history(&world, key).await, "created released expired");
        let body = order(key);
        let (here, there) = join(world.pay(key, &body), world.pay_at(&node, key, &body)).await;
        assert_eq!(here.body, there.body);
        here.expect_problem(402, "payment_expired");
        assert_eq!(charges_of(&world, key), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_21_a_replay_has_the_same_bytes_at_every_node() {
    let (world, node) = two_nodes(Knobs::default()).await;
    let declined =
        json!({"amount": 1, "currency": "EUR", "payment_method": "pm_card_chargeDeclined"});
    for (key, body, status) in [
        ("paid", order("paid"), 201),
        ("held", held("held"), 201),
        ("to-cancel", held("to-cancel"), 201),
        ("declined", declined, 402),
    ] {
        let first = world.pay(key, &body).await.expect(status);
        assert_replayed(&first, &world.pay_at(&node, key, &body).await);
        assert_replayed(&first, &world.pay(key, &body).await);
    }
    for (key, what, status) in [
        ("paid", "refunds", 201),
        ("held", "capture", 200),
        ("to-cancel", "cancel", 200),
    ] {
        let id = payment_under(&world, key).await["id"].clone();
        let path = format!("/payments/{}/{what}", id.as_str().unwrap());
        let key = format!("{what}-{key}");
        let first = post_at(&world, &world.server, &path, &key)
            .await
            .expect(status);
        let others = join_all((0..4).map(|_| post_at(&world, &node, &path, &key)));
        for other in others.await {
            assert_replayed(&first, &other);
        }
    }
}

#[track_caller]
fn assert_replayed(first: &crate::harness::Answer, again: &crate::harness::Answer) {
    assert!(!first.is_replayed() && again.is_replayed());
    assert_eq!((first.status, &first.body), (again.status, &again.body));
    for name in ["location", "content-type"] {
        assert_eq!(first.header(name), again.header(name), "{name}");
    }
    assert_ne!(first.header("x-request-id"), again.header("x-request-id"));
}
