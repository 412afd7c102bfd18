//! A database that cannot write, that says nothing, or that holds what nobody can read.

use std::{process::Command, sync::Arc};

use diesel::{QueryableByName, sql_types::Integer};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use oncepay::{
    payment::{OperationKind, PaymentStatus, Standing},
    store::{StoreUrl, WriteError},
};

use crate::{
    harness::{
        execute,
        postgres::{Fsync, PostgresServer},
    },
    store::fixture::{Fixture, eventually, on_both_stores, only},
    store::samples::{captured, standing},
};

on_both_stores! {
    rule_18_what_a_full_disk_undid_was_not_written_and_is_written_later,
    a_row_that_cannot_be_read_fails_its_own_write_alone,
}

fn not_written<T: std::fmt::Debug>(results: &[Result<T, WriteError>]) -> bool {
    let undone = |one: &Result<T, _>| matches!(one, Err(WriteError::NotWritten(_)));
    results.iter().all(undone)
}

async fn fill_the_disk(at: &Fixture) {
    let statements: &[&str] = match at.url {
        StoreUrl::Postgres(_) => &[
            "create function full_disk() returns trigger language plpgsql as $$ begin
                raise exception 'could not extend file' using errcode = 'disk_full'; end $$",
            "create trigger full_disk before insert on payment_events
                for each statement execute function full_disk()",
        ],
        StoreUrl::Sqlite { .. } => &["create trigger full_disk before insert on payment_events
            begin select raise(abort, 'database or disk is full'); end"],
    };
    for sql in statements {
        at.sql(sql).await.unwrap();
    }
}

async fn make_room(at: &Fixture) {
    let on = match at.url {
        StoreUrl::Postgres(_) => " on payment_events",
        StoreUrl::Sqlite { .. } => "",
    };
    at.sql(&format!("drop trigger full_disk{on}"))
        .await
        .unwrap();
}

async fn rule_18_what_a_full_disk_undid_was_not_written_and_is_written_later(at: Fixture) {
    let begun = at.begin(at.intent("k")).await.unwrap();
    let paid = at.payment_after("paid", captured("pi_0")).await;
    let intents: Vec<_> = (0..64).map(|n| at.intent(&format!("k{n}"))).collect();
    let settle = at.change(&begun, captured("pi_1"));
    let refund = at.follow_up(&paid.payment, OperationKind::Refund, "r", 1);
    fill_the_disk(&at).await;

    let begins = at.store.begin(intents.clone()).await;
    let changes = at.store.change(vec![settle.clone()]).await;
    let follow_ups = at.store.begin_follow_ups(vec![refund.clone()]).await;

    assert!(
        begins.len() == 64 && not_written(&begins),
        "{:?}",
        begins[0]
    );
    assert!(not_written(&changes), "{changes:?}");
    assert!(not_written(&follow_ups), "{follow_ups:?}");
    make_room(&at).await;
    let settled = only(at.store.change(vec![settle]).await).unwrap();
    assert_eq!(settled.payment.status, PaymentStatus::Succeeded);
    assert_eq!(settled.payment.event_count, 2, "once");
    assert!(standing(at.follow(refund).await).applied);
    for one in at.store.begin(intents).await {
        assert!(one.unwrap().applied);
    }
}

async fn a_row_that_cannot_be_read_fails_its_own_write_alone(at: Fixture) {
    let odd = at.payment_after("odd", captured("pi_0")).await;
    let sound = at.begin(at.intent("sound")).await.unwrap();
    let spoil = format!(
        "update operations set request_id = 'from a later version' where id = '{}'",
        odd.operation.id
    );
    at.sql(&spoil).await.unwrap();

    let intents = ["a", "odd", "b"].map(|key| at.intent(key));
    let begun = at.store.begin(intents.to_vec()).await;
    let changes = [&odd, &sound].map(|one: &Standing| at.change(one, captured("pi_1")));
    let changed = at.store.change(changes.to_vec()).await;
    let refunds = [&odd, &sound].map(|one: &Standing| {
        let key = one.operation.idempotency_key.as_str();
        at.follow_up(&odd.payment, OperationKind::Refund, key, 1)
    });
    let follow_ups = at.store.begin_follow_ups(refunds.to_vec()).await;

    let fails = |result: Option<&WriteError>| {
        assert!(
            matches!(result, Some(WriteError::Rejected(why)) if why.contains("request_id")),
            "{result:?}"
        );
    };
    assert!(begun[0].as_ref().unwrap().applied && begun[2].as_ref().unwrap().applied);
    fails(begun[1].as_ref().err());
    assert!(changed[1].as_ref().unwrap().applied);
    fails(changed[0].as_ref().err());
    let taken = follow_ups[1].as_ref().unwrap();
    assert!(!standing(taken.clone()).applied);
    fails(follow_ups[0].as_ref().err());
}

async fn own_server() -> (PostgresServer, Fixture, String) {
    let server = tokio::task::spawn_blocking(|| PostgresServer::start(Fsync::Off));
    let server = server.await.unwrap();
    let url = server.url("postgres");
    let at = Fixture::on(StoreUrl::parse(&url.clone().into()).unwrap(), None).await;
    (server, at, url)
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_18_a_server_that_became_read_only_wrote_nothing() {
    let (_server, at, url) = own_server().await;
    let begun = at.begin(at.intent("k")).await.unwrap();
    let settle = at.change(&begun, captured("pi_1"));
    let read_only = async |value: &str| {
        let sql = format!("alter system set default_transaction_read_only = {value}");
        execute(&url, &sql).await;
        execute(&url, "select pg_reload_conf()").await;
    };
    read_only("on").await;

    // Each session hears of it when it is next idle.
    let changes = eventually(async || {
        let changes = at.store.change(vec![settle.clone()]).await;
        let begins = at.store.begin(vec![at.intent("new")]).await;
        (changes[0].is_err() && begins[0].is_err()).then_some((changes, begins))
    });
    let (changes, begins) = changes.await;

    assert!(not_written(&changes), "{changes:?}");
    assert!(not_written(&begins), "{begins:?}");
    let writable = "set default_transaction_read_only = off; \
        alter system reset default_transaction_read_only; select pg_reload_conf()";
    let mut connection = AsyncPgConnection::establish(&url).await.unwrap();
    for sql in writable.split(';') {
        connection.batch_execute(sql).await.unwrap();
    }
    let settled = eventually(async || only(at.store.change(vec![settle.clone()]).await).ok());
    assert_eq!(settled.await.payment.status, PaymentStatus::Succeeded);
}

#[derive(QueryableByName)]
struct Session {
    #[diesel(sql_type = Integer)]
    pid: i32,
}

fn signal(name: &str, sessions: &[Session]) {
    for session in sessions {
        let mut kill = Command::new("kill");
        let done = kill.args([name, &session.pid.to_string()]).status();
        assert!(done.unwrap().success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_falls_silent_does_not_stall_its_writer_for_ever() {
    let (_server, at, url) = own_server().await;
    let at = Arc::new(at);
    let mut other = AsyncPgConnection::establish(&url).await.unwrap();
    let hold = "begin; lock table operations in access exclusive mode";
    other.batch_execute(hold).await.unwrap();
    let intent = at.intent("k");
    let waiting = "select pid from pg_stat_activity
        where application_name = 'oncepay' and wait_event_type = 'Lock'";
    let mut that_wait = async || -> Vec<Session> {
        let sessions = diesel::sql_query(waiting).load(&mut other).await;
        sessions.unwrap()
    };
    // A session that waits for its lock for too long gives up: then another takes its turn.
    let (write, sessions) = loop {
        let write = tokio::spawn({
            let (at, intent) = (Arc::clone(&at), intent.clone());
            async move { at.begin(intent).await }
        });
        let mut sessions = Vec::new();
        while sessions.is_empty() && !write.is_finished() {
            sessions = that_wait().await;
        }
        signal("-STOP", &sessions);
        let has_it = !sessions.is_empty() && that_wait().await.len() == sessions.len();
        if has_it && !write.is_finished() {
            break (write, sessions);
        }
        signal("-CONT", &sessions);
        drop(write.await);
    };
    other.batch_execute("rollback").await.unwrap();

    let unknown = write.await.unwrap();

    assert!(
        matches!(unknown, Err(WriteError::Unknown(_))),
        "{unknown:?}"
    );
    assert!(
        at.store.ping().await.is_err(),
        "not ready while a write is overdue"
    );
    let other_key = at.begin(at.intent("other")).await;
    assert!(other_key.unwrap().applied, "on a session that answers");
    signal("-CONT", &sessions);
    eventually(async || at.store.ping().await.ok()).await;
    let again = at.begin(intent.clone()).await.unwrap();
    assert!(again.applied, "run again, it knows its own row");
    assert_eq!(at.history(intent.payment.id).await, ["created"]);
}
