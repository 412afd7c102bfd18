//! The two dialects say the same, and a schema is never mistaken for another.

use std::{collections::BTreeMap, fs};

use diesel::{QueryableByName, RunQueryDsl, SqliteConnection, sql_types::Text};
use oncepay::store::{StoreStartError, StoreUrl, migrate, open, pending_migrations};
use secrecy::ExposeSecret;

use crate::{
    harness::execute,
    store::fixture::{Fixture, new_database, on_both_stores, settings},
};

on_both_stores! {
    a_newer_schema_is_refused_by_name,
    migrating_again_does_nothing,
}

async fn a_newer_schema_is_refused_by_name(at: Fixture) {
    let newer = "insert into __diesel_schema_migrations (version) values ('29990101000000')";
    at.sql(newer).await.unwrap();

    let refused = open(settings(&at.url)).await.err().unwrap();

    assert!(
        matches!(&refused, StoreStartError::NewerSchema(names) if names == &["29990101000000"])
    );
    assert!(refused.to_string().contains("29990101000000"));
}

async fn migrating_again_does_nothing(at: Fixture) {
    assert_eq!(migrate(&at.url).await.unwrap(), [] as [String; 0]);
    assert_eq!(
        pending_migrations(&at.url).await.unwrap(),
        [] as [String; 0]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_that_migrate_at_once_take_turns() {
    let postgres = StoreUrl::parse(&new_database("template0").await.into()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new.db");
    for url in [postgres, StoreUrl::Sqlite { path, create: true }] {
        let pending = pending_migrations(&url).await.unwrap();
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
