//! Answers of a server in trouble: each says no more than is known.

use futures_util::future::join_all;
use serde_json::json;

use crate::harness::{Backend, Knobs, World, eur};

#[tokio::test(flavor = "multi_thread")]
async fn more_work_than_fits_is_turned_away_unrecorded() {
    let knobs = Knobs(vec![("ONCEPAY_LIMITS__IN_FLIGHT_MAX", "4".into())]);
    let world = World::start_with(Backend::Sqlite, knobs).await;
    world.latency_ms(1_000.0).await;
    let body = eur(1);
    let keys: Vec<_> = (0..20).map(|n| format!("k-{n}")).collect();
    let answers = join_all(keys.iter().map(|key| world.pay(key, &body))).await;
    let (made, refused): (Vec<_>, Vec<_>) = keys
        .iter()
        .zip(answers)
        .partition(|(_, answer)| answer.status == 201);
    assert!(made.len() >= 3 && !refused.is_empty());
    assert_eq!(world.charges(), made.len());
    for (key, answer) in refused {
        assert!(answer.header("retry-after").is_some());
        drop(answer.expect_problem(503, "overloaded"));
        let found = world
            .get(&format!("/payments?idempotency_key={key}"))
            .await
            .expect(200);
        assert_eq!(found.json()["data"], json!([]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_18_a_database_that_is_down_means_that_nothing_was_recorded() {
    let world = World::start(Backend::Postgres).await;
    drop(world.pay("before", &eur(1)).await.expect(201));
    world.database.refuse_connections().await;
    let answer = world.pay("down", &eur(1)).await;
    assert!(answer.header("retry-after").is_some());
    drop(answer.expect_problem(503, "store_unavailable"));
    drop(
        world
            .get("/payments")
            .await
            .expect_problem(503, "store_unavailable"),
    );
    assert_eq!(world.charges(), 1);

    world.database.allow_connections().await;
    drop(world.pay("down", &eur(1)).await.expect(201));
    assert_eq!(world.charges(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_18_an_intent_whose_session_was_cut_may_have_been_recorded() {
    let world = World::start(Backend::Postgres).await;
    let lock = world.database.lock_operations().await;
    let cut = "select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'";
    let body = eur(1);
    let mut asked = std::pin::pin!(world.pay("unknown", &body));
    let answer = loop {
        tokio::select! {
            answer = &mut asked => break answer,
            () = world.database.execute(cut) => {}
        }
    };
    drop(answer.expect_problem(503, "outcome_unknown"));
    assert_eq!(world.charges(), 0);
    drop(lock);
    drop(world.pay("unknown", &body).await.expect(201));
    assert_eq!(world.charges(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_18_an_intent_that_was_undone_is_known_not_to_be_recorded() {
    let world = World::start(Backend::Postgres).await;
    let lock = world.database.lock_operations().await;
    // PostgreSQL ends each try itself, since it waits for a lock too long.
    let answer = world.pay("undone", &eur(1)).await;
    drop(answer.expect_problem(503, "store_unavailable"));
    drop(lock);
    let found = world
        .get("/payments?idempotency_key=undone")
        .await
        .expect(200);
    assert_eq!(found.json()["data"], json!([]));
    drop(world.pay("undone", &eur(1)).await.expect(201));
    assert_eq!(world.charges(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_the_database_refuses_is_a_defect_of_ours_and_hurts_no_neighbour() {
    let world = World::start(Backend::Postgres).await;
    world
        .database
        .execute("alter table payments add constraint cursed check (amount <> 666)")
        .await;
    let keys: Vec<_> = (660..680).map(|n| format!("k-{n}")).collect();
    let bodies: Vec<_> = (660..680).map(eur).collect();
    let all = keys
        .iter()
        .zip(&bodies)
        .map(|(key, body)| world.pay(key, body));
    for (amount, answer) in (660..680).zip(join_all(all).await) {
        match amount {
            666 => drop(answer.expect_problem(500, "internal")),
            _ => drop(answer.expect(201)),
        }
    }
    assert_eq!(world.charges(), 19);
}
