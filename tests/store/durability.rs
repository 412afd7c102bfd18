//! A server that is down, one that dies in the middle, and what is there afterwards.

use std::{sync::Arc, time::Duration};

use oncepay::{
    payment::{Mode, PaymentStatus},
    store::{Store, StoreUrl, WriteError},
};

use crate::{
    harness::{
        execute,
        postgres::{Fsync, PostgresServer},
    },
    store::fixture::{Fixture, eventually, only, open_store},
    store::samples::{captured, key},
};

async fn own_server() -> (PostgresServer, Fixture) {
    let server = tokio::task::spawn_blocking(|| PostgresServer::start(Fsync::On));
    let server = server.await.unwrap();
    let url = server.url("postgres");
    let at = Fixture::on(StoreUrl::parse(&url.into()).unwrap(), None).await;
    (server, at)
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_18_a_store_whose_server_is_down_attempts_nothing() {
    let (mut server, at) = own_server().await;
    server.kill();
    // The sessions of a killed server live on for a moment.
    eventually(async || at.store.ping().await.err()).await;

    let results = at.store.begin(vec![at.intent("a"), at.intent("b")]).await;

    for result in results {
        assert!(
            matches!(result, Err(WriteError::NotWritten(_))),
            "{result:?}"
        );
    }
    assert!(at.store.ping().await.is_err());
    assert!(
        at.store
            .operation(at.merchant.id, Mode::Test, &key("a"))
            .await
            .is_err()
    );
    let server = tokio::task::spawn_blocking(move || {
        server.start_again();
        server
    });
    let _server = server.await.unwrap();
    eventually(async || at.store.ping().await.ok()).await;
    let found = at
        .store
        .operation(at.merchant.id, Mode::Test, &key("a"))
        .await;
    assert_eq!(found.unwrap(), None, "and nothing was written later");
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_18_a_server_that_dies_in_a_commit_makes_no_liar_of_the_store() {
    let (mut server, at) = own_server().await;
    let mut begins = tokio::task::JoinSet::new();
    for n in 0..200 {
        let (store, intent) = (Arc::clone(&at.store), at.intent(&format!("k{n}")));
        begins.spawn(async move { (intent.clone(), only(store.begin(vec![intent]).await)) });
    }
    let mut results = Vec::new();
    while let Some(done) = begins.join_next().await {
        results.push(done.unwrap());
        if results.len() == 40 {
            server.kill();
            server = tokio::task::spawn_blocking(move || {
                server.start_again();
                server
            })
            .await
            .unwrap();
        }
    }

    let fresh = open_store(&at.url).await;
    let mut count = [0; 3];
    for (intent, result) in results {
        let found = fresh.operation(
            at.merchant.id,
            Mode::Test,
            &intent.operation.idempotency_key,
        );
        let found = found.await.unwrap();
        match result {
            Ok(standing) => {
                count[0] += 1;
                assert!(standing.applied);
                assert_eq!(found.unwrap().operation.id, intent.operation.id);
            }
            Err(WriteError::NotWritten(_)) => {
                count[1] += 1;
                assert_eq!(found, None);
            }
            Err(WriteError::Unknown(_)) => {
                count[2] += 1;
                // Whatever it was, running it again makes it so.
                assert!(only(fresh.begin(vec![intent]).await).unwrap().applied);
            }
            Err(WriteError::Rejected(why)) => panic!("no row is at fault: {why}"),
        }
    }
    assert!(count[0] >= 40, "{count:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_under_a_change_is_not_the_end_of_it() {
    let at = Fixture::postgres().await;
    let StoreUrl::Postgres(url) = &at.url else {
        panic!("not a PostgreSQL")
    };
    let url = secrecy::ExposeSecret::expose_secret(url).to_owned();
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let cutter = tokio::spawn(async move {
        let cut = "select pg_terminate_backend(pid) from pg_stat_activity
            where datname = current_database() and pid <> pg_backend_pid()
                and application_name = 'oncepay' and random() < 0.3";
        while stopped.try_recv().is_err() {
            execute(&url, cut).await;
        }
    });

    for n in 0..30 {
        let intent = at.intent(&format!("k{n}"));
        let begun = eventually(async || at.begin(intent.clone()).await.ok()).await;
        assert!(begun.applied);
        let settle = at.change(&begun, captured("pi_1"));
        let settled =
            eventually(async || only(at.store.change(vec![settle.clone()]).await).ok()).await;
        assert!(settled.applied);
        assert_eq!(
            settled.payment.event_count, 2,
            "once, however often it was run"
        );
    }

    stop.send(()).unwrap();
    cutter.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sqlite_file_holds_what_was_committed() {
    let at = Fixture::sqlite().await;
    let begun = at.begin(at.intent("k")).await.unwrap();
    let settle = at.change(&begun, captured("pi_1"));
    at.store.change(vec![settle]).await;

    let reopened: Arc<dyn Store> = open_store(&at.url).await;

    let found = reopened
        .operation(at.merchant.id, Mode::Test, &key("k"))
        .await;
    assert_eq!(
        found.unwrap().unwrap().payment.status,
        PaymentStatus::Succeeded
    );
}

#[test]
fn a_store_outlives_the_runtime_of_its_caller() {
    let own = tokio::runtime::Runtime::new().unwrap();
    for at in [
        own.block_on(Fixture::postgres()),
        own.block_on(Fixture::sqlite()),
    ] {
        let callers = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let intent = at.intent("k");
        callers.block_on(async { drop(at.store.begin(vec![intent.clone()])) });
        callers.shutdown_timeout(Duration::ZERO);

        let found = own.block_on(eventually(async || {
            at.store
                .operation(at.merchant.id, Mode::Test, &key("k"))
                .await
                .unwrap()
        }));

        assert_eq!(found.operation.id, intent.operation.id);
    }
}
