//! Several servers in one URL: the one that takes writes is written to.

use std::time::Duration;

use oncepay::store::{StoreStartError, StoreUrl, open};
use tokio::time::Instant;

use crate::harness::{
    execute,
    postgres::{Fsync, PostgresServer},
    proxy::{Direction, Proxy},
};
use crate::store::fixture::{Fixture, eventually, only, open_store, settings};

/// A server, and one that has all that it has committed.
async fn pair() -> (PostgresServer, PostgresServer) {
    let start = || {
        let synchronous = "synchronous_standby_names=standby";
        let primary = PostgresServer::start_with(Fsync::Off, &[synchronous], &[]);
        let standby = primary.standby("standby", &["fsync=off"]);
        (primary, standby)
    };
    tokio::task::spawn_blocking(start).await.unwrap()
}

fn url(hosts: &[String], parameters: &str) -> StoreUrl {
    let url = format!(
        "postgres://postgres@{}/postgres{parameters}",
        hosts.join(",")
    );
    StoreUrl::parse(&url.into()).unwrap()
}

fn hosts(servers: &[&PostgresServer]) -> Vec<String> {
    let address = |server: &&PostgresServer| server.address().to_string();
    servers.iter().map(address).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_go_to_the_host_that_takes_writes_and_follow_it() {
    let (primary, standby) = pair().await;
    let at = Fixture::on(url(&hosts(&[&standby, &primary]), ""), None).await;
    assert!(at.begin(at.intent("at-the-primary")).await.unwrap().applied);

    // As a demoted one is: it lives, its sessions live, and it takes no writes.
    let demote = "alter system set default_transaction_read_only = on";
    execute(&primary.url("postgres"), demote).await;
    execute(&primary.url("postgres"), "select pg_reload_conf()").await;
    let standby = tokio::task::spawn_blocking(move || {
        standby.promote();
        standby
    });
    let standby = standby.await.unwrap();

    // A session hears of it when it is next idle; the write that meets it then is known to be undone.
    eventually(async || at.begin(at.intent("at-the-standby")).await.ok()).await;
    let lost = "select 1 / (select count(*)::int from operations where idempotency_key = 'at-the-standby')";
    execute(&standby.url("postgres"), lost).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_host_does_not_hold_up_the_others() {
    let (primary, _standby) = pair().await;
    let silent = Proxy::start(primary.address()).await;
    silent.stall(Direction::ToClient);
    let hosts = [silent.address().to_string(), primary.address().to_string()];
    // All that takes its time but the silent host is done before.
    let at = Fixture::on(url(&hosts[1..], ""), None).await;
    let begun = Instant::now();

    let store = open_store(&url(&hosts, "")).await;

    // Opening connects three times at least: to migrate, to look, and for the pool.
    let waited = begun.elapsed();
    assert!(silent.accepted() >= 3);
    assert!(waited < Duration::from_secs(6), "{waited:?}");
    assert!(
        only(store.begin(vec![at.intent("k")]).await)
            .unwrap()
            .applied
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lone_standby_is_refused_by_who_asks_for_writes() {
    let (primary, standby) = pair().await;
    drop(Fixture::on(url(&hosts(&[&primary]), ""), None).await);
    for (hosts, parameters, reason) in [
        (
            hosts(&[&standby]),
            "?target_session_attrs=read-write",
            "does not allow writes",
        ),
        (hosts(&[&standby, &standby]), "", "does not allow writes"),
        (
            hosts(&[&standby, &primary]),
            "?target_session_attrs=any",
            "target_session_attrs",
        ),
        (
            hosts(&[&primary]),
            "?target_session_attrs=read-only",
            "target_session_attrs",
        ),
    ] {
        let refused = open(settings(&url(&hosts, parameters)))
            .await
            .err()
            .unwrap();
        assert!(refused.to_string().contains(reason), "{refused}");
        if let StoreStartError::Unreachable(told) = refused {
            assert!(hosts.iter().all(|host| told.contains(host)), "{told}");
        }
    }
    let primary = url(&hosts(&[&primary]), "?target_session_attrs=read-write");
    drop(open(settings(&primary)).await.unwrap());
}
