//! Migrations of PostgreSQL while programs work on the tables.

use std::fs;

use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use oncepay::store::{StoreUrl, migrate};
use secrecy::ExposeSecret;

use crate::store::fixture::{Fixture, eventually};

const COLUMN: &str = "2026-11-26-090000_second_look";
const INDEX: &str = "2026-11-26-090100_operations_loose_end";

/// Undoes the newest migrations, down to that one.
async fn undo(at: &Fixture, down_to: &str) {
    for name in [INDEX, COLUMN].iter().filter(|name| **name >= down_to) {
        let root = env!("CARGO_MANIFEST_DIR");
        let down = fs::read_to_string(format!("{root}/migrations/postgres/{name}/down.sql"));
        let version = name.split('_').next().unwrap().replace('-', "");
        let forget = format!("delete from __diesel_schema_migrations where version = '{version}'");
        for sql in [down.unwrap(), forget] {
            at.sql(&sql).await.unwrap();
        }
    }
}

/// A transaction of another program that has used the table, and stays open.
async fn open_transaction(at: &Fixture, sql: &str) -> AsyncPgConnection {
    let StoreUrl::Postgres(url) = &at.url else {
        panic!("not a PostgreSQL")
    };
    let mut other = AsyncPgConnection::establish(url.expose_secret())
        .await
        .unwrap();
    other.batch_execute("begin").await.unwrap();
    other.batch_execute(sql).await.unwrap();
    other
}

/// Until a statement that contains `text` waits for somebody else.
async fn is_waiting(at: &Fixture, text: &str) {
    let waits = format!(
        "select 1 / count(*) from pg_stat_activity where datname = current_database() \
         and wait_event_type = 'Lock' and query like '%{text}%' and pid <> pg_backend_pid()"
    );
    eventually(async || at.sql(&waits).await.ok()).await;
}

/// Writes as a payment does, for less long than a migration is tried.
async fn write(at: &Fixture) {
    let write = "set lock_timeout = '30s'; update operations set epoch = epoch";
    at.sql(write).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_do_not_wait_for_a_migration_that_waits_for_a_reader() {
    let at = Fixture::postgres().await;
    undo(&at, COLUMN).await;
    let mut reader = open_transaction(&at, "select count(*) from operations").await;
    let url = at.url.clone();
    let migrating = tokio::spawn(async move { migrate(&url).await });

    is_waiting(&at, "add column look_again").await;
    write(&at).await;
    reader.batch_execute("commit").await.unwrap();

    assert_eq!(migrating.await.unwrap().unwrap(), [COLUMN, INDEX]);
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_are_written_while_an_index_is_built_and_a_half_built_one_is_built_anew() {
    let at = Fixture::postgres().await;
    undo(&at, INDEX).await;
    let writing = "update operations set epoch = epoch";
    let mut writer = open_transaction(&at, writing).await;
    let url = at.url.clone();
    let migrating = tokio::spawn(async move { migrate(&url).await });
    is_waiting(&at, "create index concurrently").await;
    write(&at).await;

    at.sql(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() \
         and query like '%create index concurrently%' and pid <> pg_backend_pid()",
    )
    .await
    .unwrap();
    let failed = migrating.await.unwrap().unwrap_err();
    assert!(failed.to_string().contains(INDEX), "{failed}");
    let is_whole = "select 1 / count(*) from pg_index \
        where indexrelid = 'operations_loose_end'::regclass and indisvalid";
    let half = at.sql(is_whole).await.unwrap_err();
    assert!(half.contains("division by zero"), "{half}");
    writer.batch_execute("commit").await.unwrap();

    assert_eq!(migrate(&at.url).await.unwrap(), [INDEX]);
    at.sql(is_whole).await.unwrap();
}
