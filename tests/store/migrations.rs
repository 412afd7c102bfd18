//! The two dialects say the same, and a schema is never mistaken for another.

use std::{collections::BTreeMap, fs};

use diesel::{QueryableByName, RunQueryDsl, SqliteConnection, sql_types::Text};
use oncepay::store::{Inspection, StoreStartError, StoreUrl, inspect, migrate, open};
use secrecy::ExposeSecret;

use crate::{
    harness::execute,
    store::fixture::{Fixture, eventually, new_database, on_both_stores, only, settings},
    store::samples::captured,
};

on_both_stores! {
    a_newer_schema_that_only_adds_is_worked_on_and_told_by_name,
    a_newer_schema_that_shuts_us_out_is_refused_by_name,
    a_newer_schema_without_a_floor_is_refused_by_name,
    a_migration_that_fails_is_told_by_name_and_what_is_missing_too,
    migrating_again_does_nothing,
}

const NEWER: &str = "29990101000000";

async fn run_a_newer_migration(at: &Fixture) {
    for sql in [
        "alter table payments add column colour text",
        &format!("insert into __diesel_schema_migrations (version) values ('{NEWER}')"),
    ] {
        at.sql(sql).await.unwrap();
    }
}

async fn a_newer_schema_that_only_adds_is_worked_on_and_told_by_name(at: Fixture) {
    let mine = at.begin(at.intent("before")).await.unwrap();
    run_a_newer_migration(&at).await;

    let store = open(settings(&at.url)).await.unwrap();

    let found = inspect(&at.url).await.unwrap();
    assert_eq!(
        (&*found.newer, &*found.pending),
        (&[NEWER.to_owned()][..], &[][..])
    );
    assert!(found.remarks().iter().any(|remark| remark.contains(NEWER)));
    assert_eq!(migrate(&at.url).await.unwrap(), [] as [String; 0]);
    let settled = only(store.change(vec![at.change(&mine, captured("pi_1"))]).await);
    assert!(settled.unwrap().applied);
    assert!(
        only(store.begin(vec![at.intent("after")]).await)
            .unwrap()
            .applied
    );
    assert!(at.begin(at.intent("beside")).await.unwrap().applied);
}

async fn a_newer_schema_that_shuts_us_out_is_refused_by_name(at: Fixture) {
    run_a_newer_migration(&at).await;
    let raise = format!("update schema_floor set version = '{NEWER}'");
    at.sql(&raise).await.unwrap();
    is_shut_out(&at).await;
}

async fn a_newer_schema_without_a_floor_is_refused_by_name(at: Fixture) {
    run_a_newer_migration(&at).await;
    for sql in [
        "drop table schema_floor",
        "delete from __diesel_schema_migrations where version = '20261125233000'",
    ] {
        at.sql(sql).await.unwrap();
    }
    is_shut_out(&at).await;
}

async fn is_shut_out(at: &Fixture) {
    for refused in [
        open(settings(&at.url)).await.err().unwrap(),
        migrate(&at.url).await.err().unwrap(),
        inspect(&at.url).await.err().unwrap(),
    ] {
        assert!(matches!(&refused, StoreStartError::NewerSchema(names) if names == &[NEWER]));
        assert!(refused.to_string().contains(NEWER));
    }
}

async fn a_migration_that_fails_is_told_by_name_and_what_is_missing_too(at: Fixture) {
    let name = "2026-11-25-233000_schema_floor";
    // As if somebody had begun it by hand.
    let forget = "delete from __diesel_schema_migrations where version = '20261125233000'";
    at.sql(forget).await.unwrap();

    let failed = open(settings(&at.url)).await.err().unwrap();
    let mut lacking = settings(&at.url);
    lacking.migrate = false;
    let missing = open(lacking).await.err().unwrap();

    assert!(matches!(failed, StoreStartError::Migration(_)));
    assert!(failed.to_string().contains(name), "{failed}");
    assert!(matches!(&missing, StoreStartError::MigrationsPending(names) if names == &[name]));
    assert!(missing.to_string().contains(name), "{missing}");
    at.sql("drop table schema_floor").await.unwrap();
    assert_eq!(migrate(&at.url).await.unwrap(), [name]);
    drop(open(settings(&at.url)).await.unwrap());
}

async fn migrating_again_does_nothing(at: Fixture) {
    assert_eq!(migrate(&at.url).await.unwrap(), [] as [String; 0]);
    let found = inspect(&at.url).await.unwrap();
    assert_eq!((found.pending, found.newer), (vec![], vec![]));
    assert_eq!(Inspection::default().remarks(), [] as [String; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_that_migrate_at_once_take_turns() {
    let postgres = StoreUrl::parse(&new_database("template0").await.into()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new.db");
    for url in [postgres, StoreUrl::Sqlite { path, create: true }] {
        let pending = inspect(&url).await.unwrap().pending;
        assert!(!pending.is_empty());
        let mut lacking = settings(&url);
        lacking.migrate = false;
        let refused = open(lacking).await.err().unwrap();
        assert!(
            matches!(refused, StoreStartError::MigrationsPending(_)),
            "{refused}"
        );

        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let url = url.clone();
                tokio::spawn(async move { migrate(&url).await.unwrap().len() })
            })
            .collect();
        let mut run = 0;
        for task in tasks {
            run += task.await.unwrap();
        }

        assert_eq!(run, pending.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_looks_makes_and_changes_nothing() {
    let name = new_database("template0").await;
    let postgres = StoreUrl::parse(&name.clone().into()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.db");
    let sqlite = |path, create| StoreUrl::Sqlite { path, create };
    let missing = sqlite(folder.path().join("none.db"), true);
    let mut notes =
        <SqliteConnection as diesel::Connection>::establish(path.to_str().unwrap()).unwrap();
    let made = diesel::sql_query("create table notes (text text)").execute(&mut notes);
    made.unwrap();
    drop(notes);
    let bytes = fs::read(&path).unwrap();

    for url in [postgres, missing, sqlite(path.clone(), true)] {
        let found = inspect(&url).await.unwrap();
        assert!(found.is_blank && !found.pending.is_empty());
        let mut lacking = settings(&url);
        lacking.migrate = false;
        let refused = open(lacking).await.err().unwrap();
        assert!(matches!(refused, StoreStartError::MigrationsPending(_)));
    }
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    // It would be there already.
    execute(
        &name,
        "create table __diesel_schema_migrations (version text)",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_migrates_is_waited_for_and_told_by_an_error_of_its_own() {
    let at = Fixture::postgres().await;
    let StoreUrl::Postgres(url) = &at.url else {
        panic!("not a PostgreSQL")
    };
    let url = url.expose_secret();
    let mut other =
        <diesel_async::AsyncPgConnection as diesel_async::AsyncConnection>::establish(url)
            .await
            .unwrap();
    // The ASCII of `oncepay`, as every program of ours has it.
    let lock = format!("select pg_advisory_lock({})", 0x6f_6e63_6570_6179_i64);
    let locked = diesel_async::SimpleAsyncConnection::batch_execute(&mut other, &lock);
    locked.await.unwrap();
    // Who has nothing to run and nothing to wait for is not held up.
    drop(open(settings(&at.url)).await.unwrap());
    for sql in [
        "drop index operations_loose_end",
        "delete from __diesel_schema_migrations where version = '20261126090100'",
    ] {
        at.sql(sql).await.unwrap();
    }

    let refused = inspect(&at.url).await.err().unwrap();
    assert!(
        matches!(refused, StoreStartError::Migrating { .. }),
        "{refused}"
    );
    assert!(refused.to_string().contains("another program"), "{refused}");
    assert!(refused.to_string().contains("5 s"), "{refused}");

    let url = at.url.clone();
    let waiting = tokio::spawn(async move { migrate(&url).await });
    let asking = "select 1 / count(*) from pg_stat_activity \
        where datname = current_database() and query like '%pg_try_advisory_lock%' \
        and pid <> pg_backend_pid()";
    eventually(async || at.sql(asking).await.ok()).await;
    drop(other);
    let run = waiting.await.unwrap().unwrap();
    assert_eq!(run, ["2026-11-26-090100_operations_loose_end"]);
}

#[test]
fn both_dialects_have_the_same_migrations() {
    let names = |dialect: &str| {
        let folder = format!("{}/migrations/{dialect}", env!("CARGO_MANIFEST_DIR"));
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names("postgres"), names("sqlite"));
}

#[derive(QueryableByName)]
struct Shape {
    #[diesel(sql_type = Text)]
    table_name: String,
    #[diesel(sql_type = Text)]
    column_name: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn both_dialects_make_the_same_tables_and_undo_them() {
    let by_table = |shapes: Vec<Shape>| {
        let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for shape in shapes {
            tables
                .entry(shape.table_name)
                .or_default()
                .push(shape.column_name);
        }
        tables
    };
    let postgres = Fixture::postgres().await;
    let StoreUrl::Postgres(url) = &postgres.url else {
        panic!("not a PostgreSQL")
    };
    let sql = "select table_name::text, column_name::text from information_schema.columns \
        where table_schema = 'public' and table_name <> '__diesel_schema_migrations' \
        order by table_name, ordinal_position";
    let mut connection =
        <diesel_async::AsyncPgConnection as diesel_async::AsyncConnection>::establish(
            url.expose_secret(),
        )
        .await
        .unwrap();
    let of_postgres = diesel_async::RunQueryDsl::load(diesel::sql_query(sql), &mut connection);
    let of_postgres = by_table(of_postgres.await.unwrap());

    let sqlite = Fixture::sqlite().await;
    let StoreUrl::Sqlite { path, .. } = &sqlite.url else {
        panic!("not a SQLite")
    };
    let sql = "select t.name as table_name, c.name as column_name \
        from sqlite_schema t, pragma_table_info(t.name) c where t.type = 'table' \
        and t.name <> '__diesel_schema_migrations' and t.name not like 'sqlite%' order by t.name, c.cid";
    let mut connection =
        <SqliteConnection as diesel::Connection>::establish(path.to_str().unwrap()).unwrap();
    let of_sqlite = by_table(diesel::sql_query(sql).load(&mut connection).unwrap());

    assert_eq!(of_postgres, of_sqlite);
    let root = format!("{}/migrations", env!("CARGO_MANIFEST_DIR"));
    // The newest first.
    let undoing = |dialect: &str| {
        let mut folders: Vec<_> = fs::read_dir(format!("{root}/{dialect}"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        folders.sort();
        let down = |folder: std::path::PathBuf| fs::read_to_string(folder.join("down.sql"));
        let downs: Vec<_> = folders.into_iter().rev().map(down).collect();
        downs.into_iter().map(Result::unwrap)
    };
    for down in undoing("postgres") {
        execute(url.expose_secret(), &down).await;
    }
    for down in undoing("sqlite") {
        diesel::connection::SimpleConnection::batch_execute(&mut connection, &down).unwrap();
    }
    assert!(
        diesel::sql_query(sql)
            .load::<Shape>(&mut connection)
            .unwrap()
            .is_empty()
    );
}
