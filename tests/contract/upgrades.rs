//! Programs of different ages over one database, and databases that are not as they should be: each is
//! told to the person who starts the program.

use std::process::{Command, Output};

use futures_util::future::join_all;

use crate::harness::{
    Backend, Database, Knobs, ServerProcess, World, eur, eventually, on_both_stores,
    postgres::{Fsync, PostgresServer},
};

on_both_stores! {
    four_programs_that_start_at_once_on_an_empty_database_all_serve
    an_older_program_serves_on_a_newer_schema_that_only_adds
    an_older_program_that_is_shut_out_does_not_start
    a_program_that_may_not_migrate_says_what_is_missing
}

const NEWER: &str = "29990101000000";

/// Runs `oncepay` over a database until it ends.
fn oncepay(database: &Database, argument: &str, settings: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_oncepay"))
        .arg(argument)
        .env_clear()
        .env("ONCEPAY_DATABASE_URL", database.url())
        .env("ONCEPAY_LISTEN", "127.0.0.1:0")
        .env("ONCEPAY_SANDBOX__LISTEN", "127.0.0.1:0")
        .envs(settings.iter().copied())
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    let texts = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    texts.concat()
}

/// The lines of a log that tell of a migration of that name that was run.
fn runs_of(log: &str, migration: &str) -> usize {
    let is_run = |line: &&str| line.contains("up to date") && line.contains(migration);
    log.lines().filter(is_run).count()
}

/// Waits for the warning in a node's log, which is read beside what it prints.
async fn warns_of(node: &ServerProcess, what: &str) {
    let warning = |line: &str| line.contains("WARN") && line.contains(what);
    eventually("the log warns", || async {
        node.output().lines().any(warning).then_some(())
    })
    .await;
}

async fn four_programs_that_start_at_once_on_an_empty_database_all_serve(backend: Backend) {
    let mut world = World::start(backend).await;
    world.kill_server();
    world.database.empty().await;

    let nodes = join_all((0..4).map(|_| world.another_node(Knobs::default()))).await;

    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/postgres");
    for migration in std::fs::read_dir(folder).unwrap() {
        let name = migration.unwrap().file_name().into_string().unwrap();
        let logs = || nodes.iter().map(|node| node.output()).collect::<String>();
        let what = format!("the log tells of {name}");
        eventually(&what, || async {
            (runs_of(&logs(), &name) > 0).then_some(())
        })
        .await;
        assert_eq!(runs_of(&logs(), &name), 1, "{name}: {}", logs());
    }
    let body = eur(1);
    let pays = nodes
        .iter()
        .map(|node| world.pay_at(node, "order-17", &body));
    for answer in join_all(pays).await {
        drop(answer.expect(201));
    }
    assert_eq!(world.charges(), 1);
}

async fn an_older_program_serves_on_a_newer_schema_that_only_adds(backend: Backend) {
    let world = World::start(backend).await;
    let before = world.pay("before", &eur(1)).await.expect(201);
    migrate_further(&world.database).await;

    // One that was there before, and one that starts now.
    drop(world.pay("beside", &eur(1)).await.expect(201));
    let node = world.another_node(Knobs::default()).await;
    let replayed = world.pay_at(&node, "before", &eur(1)).await.expect(201);
    assert_eq!(replayed.body, before.body);
    drop(world.pay_at(&node, "after", &eur(1)).await.expect(201));

    assert_eq!(world.charges(), 3);
    warns_of(&node, NEWER).await;
    let checked = oncepay(&world.database, "check", &[]);
    assert!(checked.status.success(), "{}", said(&checked));
    let warning = |line: &str| line.starts_with("warning store") && line.contains(NEWER);
    assert!(said(&checked).lines().any(warning), "{}", said(&checked));
}

async fn an_older_program_that_is_shut_out_does_not_start(backend: Backend) {
    let mut world = World::start(backend).await;
    world.kill_server();
    migrate_further(&world.database).await;
    let raise = format!("update schema_floor set version = '{NEWER}'");
    world.database.execute(&raise).await;
    for argument in ["serve", "migrate", "check"] {
        let refused = oncepay(&world.database, argument, &[]);
        assert_eq!(refused.status.code(), Some(1), "{argument}");
        let said = said(&refused);
        assert!(
            said.contains(NEWER) && said.contains("shut it out"),
            "{said}"
        );
    }
}

async fn a_program_that_may_not_migrate_says_what_is_missing(backend: Backend) {
    let mut world = World::start(backend).await;
    world.kill_server();
    for sql in [
        "drop table schema_floor",
        "delete from __diesel_schema_migrations where version = '20261125233000'",
    ] {
        world.database.execute(sql).await;
    }
    let off = [("ONCEPAY_DATABASE_MIGRATE", "false")];
    for argument in ["serve", "check"] {
        let refused = oncepay(&world.database, argument, &off);
        assert_eq!(refused.status.code(), Some(1), "{argument}");
        let said = said(&refused);
        let missing = said.contains("2026-11-25-233000_schema_floor");
        assert!(missing && said.contains("run `oncepay migrate`"), "{said}");
    }
    let pending = said(&oncepay(&world.database, "check", &[]));
    assert!(
        pending.contains("2026-11-25-233000_schema_floor"),
        "{pending}"
    );
    assert!(oncepay(&world.database, "migrate", &off).status.success());
    let knobs = Knobs(vec![("ONCEPAY_DATABASE_MIGRATE", "false".into())]);
    let node = world.another_node(knobs).await;
    drop(world.pay_at(&node, "order-17", &eur(1)).await.expect(201));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_checks_while_another_program_migrates_is_told_so() {
    let world = World::start(Backend::Postgres).await;
    let _migrating = world.database.lock_migrations().await;
    // Where nothing is missing, it does not matter.
    assert!(oncepay(&world.database, "check", &[]).status.success());
    for sql in [
        "drop table schema_floor",
        "delete from __diesel_schema_migrations where version = '20261125233000'",
    ] {
        world.database.execute(sql).await;
    }
    let checked = oncepay(&world.database, "check", &[]);
    assert_eq!(checked.status.code(), Some(1));
    let said = said(&checked);
    let told = |line: &str| {
        line.starts_with("FAILED  store") && line.contains("another program is migrating")
    };
    assert!(said.lines().any(told), "{said}");
    assert!(!said.contains("cannot be reached"), "{said}");
}

/// As a program of a later version would that adds a column.
async fn migrate_further(database: &Database) {
    let done = format!("insert into __diesel_schema_migrations (version) values ('{NEWER}')");
    for sql in ["alter table payments add column colour text", &done] {
        database.execute(sql).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_can_forget_payments_is_refused_unless_that_is_allowed() {
    for unsafe_setting in ["fsync", "full_page_writes", "synchronous_commit"] {
        let start = move || {
            let off = format!("{unsafe_setting}=off");
            PostgresServer::start_with(Fsync::On, &[&off], &[])
        };
        let server = tokio::task::spawn_blocking(start).await.unwrap();
        let url = server.url("postgres");
        let database = Database::Elsewhere { url };
        for argument in ["serve", "check"] {
            let refused = oncepay(&database, argument, &[]);
            assert_eq!(refused.status.code(), Some(1));
            let said = said(&refused);
            assert!(said.contains(&format!("{unsafe_setting} = off")), "{said}");
            assert!(said.contains("database_allow_unsafe"), "{said}");
        }
        let allowed = [("ONCEPAY_DATABASE_ALLOW_UNSAFE", "true")];
        assert!(oncepay(&database, "migrate", &[]).status.success());
        let checked = oncepay(&database, "check", &allowed);
        assert!(checked.status.success());
        assert!(said(&checked).contains(&format!("{unsafe_setting} = off")));
        let knobs = Knobs(vec![("ONCEPAY_DATABASE_ALLOW_UNSAFE", "true".into())]);
        let world = World::start_over(database, knobs, Vec::new()).await;
        warns_of(&world.server, unsafe_setting).await;
        drop(world.pay("order-17", &eur(1)).await.expect(201));
    }
}
