//! When nothing can be compared, that is said, and nothing is called equal.

use oncepay::sandbox::{FaultKind, FaultPlan, FaultRule};

use super::{START, expect_equal};
use crate::{
    downstream_fails::{order, quick_recovery, quick_world},
    harness::{Backend, Database, ProviderKnobs, World, on_both_stores},
};

on_both_stores! {
    a_database_that_is_not_the_servers_is_refused_and_left_as_it_is
    a_schema_that_is_out_of_date_is_refused_and_left_as_it_is
    payments_of_a_provider_that_is_configured_no_longer_are_refused
    a_time_that_makes_no_sense_is_refused
    a_provider_that_does_not_answer_is_no_difference
}

/// Compares, is refused, and gives what was said of it.
#[track_caller]
fn refused(world: &World, more: &[&str]) -> String {
    let start = ["reconcile", "--from", START];
    let arguments: Vec<_> = start.iter().chain(more).copied().collect();
    let output = world.run(&arguments);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(output.stdout.is_empty() && told.contains("what to do:"));
    told
}

async fn a_database_that_is_not_the_servers_is_refused_and_left_as_it_is(backend: Backend) {
    let world = quick_world(backend).await;
    world.pay("k", &order("k")).await.expect(201);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("oncepay.db");
    let mistyped = format!("sqlite://{}?mode=rwc", path.display());
    let told = refused(&world, &["--database-url", &mistyped]);
    assert!(told.contains("there is no SQLite file"), "{told}");
    assert!(told.contains("--database-url"), "{told}");
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);

    let other = Database::create(backend).await;
    if backend == Backend::Sqlite {
        other.execute("create table notes (text text)").await;
    }
    let tables = match backend {
        Backend::Sqlite => "select coalesce(group_concat(name), '') as text from sqlite_schema",
        Backend::Postgres => {
            "select coalesce(string_agg(tablename, ','), '') as text from pg_tables \
             where schemaname = 'public'"
        }
    };
    let before = other.text(tables).await;
    let told = refused(&world, &["--database-url", other.url()]);
    assert!(told.contains("has no table of oncepay"), "{told}");
    assert_eq!(other.text(tables).await, before);

    let migrated = world.run(&["migrate", "--database-url", other.url()]);
    assert!(migrated.status.success());
    let told = refused(&world, &["--database-url", other.url()]);
    assert!(told.contains("no server was ever started over"), "{told}");
    assert!(told.contains("--database-url"), "{told}");
    expect_equal(&world);
}

async fn a_schema_that_is_out_of_date_is_refused_and_left_as_it_is(backend: Backend) {
    let world = quick_world(backend).await;
    let forget = "delete from __diesel_schema_migrations where version = '20261125233000'";
    for sql in ["drop table schema_floor", forget] {
        world.database.execute(sql).await;
    }
    let told = refused(&world, &[]);
    assert!(told.contains("2026-11-25-233000_schema_floor"), "{told}");
    assert!(told.contains("run `oncepay migrate`"), "{told}");
    let run = "select cast(count(*) as text) as text from __diesel_schema_migrations \
               where version = '20261125233000'";
    assert_eq!(world.database.text(run).await, "0");
}

async fn payments_of_a_provider_that_is_configured_no_longer_are_refused(backend: Backend) {
    let providers = vec![ProviderKnobs::named("old"), ProviderKnobs::named("new")];
    let mut world = World::start_at(backend, quick_recovery(), providers).await;
    world.pay("k", &order("k")).await.expect(201);
    expect_equal(&world);
    world.providers[0].address = Some(world.sandbox.address());
    world.providers[1].address = Some(world.others[0].address());
    let mut old = world.providers.remove(0);

    let told = refused(&world, &[]);
    assert!(told.contains("1 to \"old\""), "{told}");
    assert!(told.contains("--provider"), "{told}");
    let before = world.run(&["reconcile", "--from", START, "--to", "2020-01-02T00:00:00Z"]);
    assert!(before.status.success(), "of that time there is none");
    let told = String::from_utf8(before.stderr).unwrap();
    assert!(told.contains("nothing was compared"), "{told}");
    let only = world.run(&["reconcile", "--from", START, "--provider", "new"]);
    assert!(only.status.success());
    let told = refused(&world, &["--provider", "old"]);
    assert!(told.contains("no provider \"old\""), "{told}");
    old.retired = true;
    world.providers.push(old);
    expect_equal(&world);
}

async fn a_time_that_makes_no_sense_is_refused(backend: Backend) {
    let world = quick_world(backend).await;
    let told = refused(&world, &["--to", "2019-12-31T23:59:59Z"]);
    assert!(
        told.contains("--from 2020-01-01T00:00:00.000000Z"),
        "{told}"
    );
    assert!(told.contains("after --to 2019-12-31"), "{told}");
    for end in [&["--to", "2999-01-02T00:00:00Z"][..], &[]] {
        let future = ["reconcile", "--from", "2999-01-01T00:00:00Z"];
        let output = world.run(&[&future, end].concat());
        assert_eq!(output.status.code(), Some(2));
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains("--from 2999-01-01"), "{told}");
        assert!(told.contains("after now"), "{told}");
    }
    let output = world.run(&["reconcile", "--from", "yesterday"]);
    assert_eq!(output.status.code(), Some(2));
}

async fn a_provider_that_does_not_answer_is_no_difference(backend: Backend) {
    let world = quick_world(backend).await;
    world.pay("k", &order("k")).await.expect(201);
    let gone = FaultRule::new(FaultKind::RefuseConnection);
    world.inject(FaultPlan::rules([gone])).await;
    let told = refused(&world, &[]);
    assert!(told.contains("\"main\" did not answer"), "{told}");
    world.sandbox.clear_faults().await;
    expect_equal(&world);
}
