//! A driver stands still for longer than its lease, and goes on as if nothing had been.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join;

use super::{
    epoch_under, provider_has_acted, rows_under, sweeping_every, world_of_held_answers, world_with,
};
use crate::{
    downstream_fails::{charges_of, order, settled_by_itself_at, until_definite},
    harness::{Answer, Knobs, ServerProcess, World, eventually},
};

/// Who settles the operation meanwhile.
#[derive(Clone, Copy)]
enum TakenOverBy {
    Client,
    Recovery,
}

impl TakenOverBy {
    /// The other node; only one that shall recover sweeps soon.
    async fn node(self, world: &World) -> ServerProcess {
        let sweep = match self {
            Self::Client => "60000",
            Self::Recovery => "100",
        };
        world.another_node(sweeping_every(sweep)).await
    }

    async fn settles(self, world: &World, node: &ServerProcess) -> Answer {
        let body = order("k");
        if let Self::Recovery = self {
            settled_by_itself_at(world, node, "k").await;
        }
        until_definite(async || Some(world.pay_at(node, "k", &body).await)).await
    }
}

/// The call of the driver is under way when it stops; what the provider answers waits in its socket.
async fn with_its_call_under_way(by: TakenOverBy) {
    let (world, provider) = world_of_held_answers(5_000, 8_000).await;
    let node = by.node(&world).await;
    let body = order("k");
    let asked = world.pay("k", &body);
    let meanwhile = async {
        provider_has_acted(&world).await;
        world.server.signal("STOP");
        provider.forward().await;
        assert_eq!(world.database.operations_that_are("open").await, 1);
        let settled = by.settles(&world, &node).await.expect(201);
        assert_ne!(epoch_under(&world, "k").await, "1", "it was taken over");
        let rows = rows_under(&world, "k").await;
        world.server.signal("CONT");
        (settled, rows)
    };
    let (answer, (settled, rows)) = join(asked, meanwhile).await;
    answers_what_stands(&world, answer, &settled).await;
    assert_eq!(rows_under(&world, "k").await, rows, "and changes nothing");
    assert_eq!(charges_of(&world, "k"), 1);
    assert_eq!(world.sandbox.stats().executed, 1);
}

/// Whether an intent waits at the database, and has most of its patience left.
async fn intent_has_just_come(world: &World) -> bool {
    let sql = "select count(*)::text as text from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'
            and query like '%insert into operations%'
            and query_start > clock_timestamp() - interval '300 milliseconds'";
    world.database.text(sql).await == "1"
}

/// The driver stops before it knows that its intent is written: when it wakes up, the time in which
/// it might send is over.
async fn before_it_sends(by: TakenOverBy) {
    // One connection, which knows the statement already: all of it is with the database at once.
    let one = Knobs(vec![("ONCEPAY_DATABASE_POOL_MAX", "1".into())]);
    let world = world_with(2_000, 3_000, one).await;
    world.pay("before", &order("before")).await.expect(201);
    let node = by.node(&world).await;
    let held_back = world.database.hold_writes_back().await;
    let body = order("k");
    // An intent that waits for too long is given up, and then asked for again.
    let is_stopped = AtomicBool::new(false);
    let asked = async {
        loop {
            let answer = world.pay("k", &body).await;
            if is_stopped.load(Ordering::SeqCst) {
                return answer;
            }
        }
    };
    let meanwhile = async {
        loop {
            eventually("the intent is on its way", || async {
                intent_has_just_come(&world).await.then_some(())
            })
            .await;
            world.server.signal("STOP");
            if intent_has_just_come(&world).await {
                break;
            }
            world.server.signal("CONT");
        }
        is_stopped.store(true, Ordering::SeqCst);
        drop(held_back);
        eventually("the intent is written", || async {
            (world.database.operations_that_are("open").await == 1).then_some(())
        })
        .await;
        let settled = by.settles(&world, &node).await.expect(201);
        let rows = rows_under(&world, "k").await;
        world.server.signal("CONT");
        (settled, rows)
    };
    let (answer, (settled, rows)) = join(asked, meanwhile).await;
    answers_what_stands(&world, answer, &settled).await;
    assert_eq!(rows_under(&world, "k").await, rows, "and changes nothing");
    let stats = world.sandbox.stats();
    assert_eq!(stats.requests_by_key_max, 1, "it sent nothing");
    assert_eq!((charges_of(&world, "k"), stats.executed), (1, 2));
}

/// The time of the first request may be over; the next one waits for the driver that woke up.
async fn answers_what_stands(world: &World, first: Answer, settled: &Answer) {
    match first.status {
        202 => assert_eq!(first.json()["status"], "processing"),
        503 => drop(first.expect_problem(503, "outcome_unknown")),
        _ => assert_eq!((first.status, &first.body), (201, &settled.body)),
    }
    let body = order("k");
    let again = until_definite(async || Some(world.pay("k", &body).await)).await;
    assert_eq!(again.expect(201).body, settled.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_12_with_its_call_under_way_and_a_client_took_over() {
    with_its_call_under_way(TakenOverBy::Client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_12_with_its_call_under_way_and_recovery_took_over() {
    with_its_call_under_way(TakenOverBy::Recovery).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_8_before_it_sends_and_a_client_took_over() {
    before_it_sends(TakenOverBy::Client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_8_before_it_sends_and_recovery_took_over() {
    before_it_sends(TakenOverBy::Recovery).await;
}
