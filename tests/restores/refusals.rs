//! What cannot be recovered is said, and counted as nothing else.

use serde_json::{Value, json};

use super::{backed_up, expect_counted, id, recovered, stopped, world};
use crate::{
    downstream_fails::{follow_up, held, order},
    harness::{Backend, Database, World, on_both_stores},
    reconcile::expect_equal,
};

on_both_stores! {
    rule_19_a_time_in_the_future_is_refused
    rule_19_a_database_that_is_not_the_servers_is_refused_and_left_as_it_is
    rule_19_a_schema_that_is_out_of_date_is_refused_and_left_as_it_is
    rule_19_a_database_that_was_made_anew_is_refused_until_it_has_its_old_id
    rule_19_what_is_refused_is_told_at_once_and_not_counted_as_imported
}

const SINCE: &str = "2020-01-01T00:00:00Z";

/// Runs a recovery that fails with `code`, and gives what was said of it.
#[track_caller]
fn refused(world: &World, code: i32, arguments: &[&str]) -> String {
    let output = world.run(&[&["recover"], arguments].concat());
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{told}");
    told
}

async fn count(world: &World, table: &str) -> String {
    let sql = format!("select cast(count(*) as text) as text from {table}");
    world.database.text(&sql).await
}

async fn rule_19_a_time_in_the_future_is_refused(backend: Backend) {
    let mut world = world(backend).await;
    world.pay("k", &order("k")).await.expect(201);
    stopped(&mut world).await;
    for dry_run in [&["--dry-run"][..], &[]] {
        let future = ["--since", "2999-01-01T00:00:00Z"];
        let told = refused(&world, 2, &[&future, dry_run].concat());
        assert!(told.contains("--since 2999-01-01"), "{told}");
        assert!(told.contains("in the future: it is 20"), "{told}");
    }
}

async fn rule_19_a_database_that_is_not_the_servers_is_refused_and_left_as_it_is(backend: Backend) {
    let mut world = world(backend).await;
    world.pay("k", &order("k")).await.expect(201);
    stopped(&mut world).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("oncepay.db");
    let mistyped = format!("sqlite://{}?mode=rwc", path.display());
    let other = Database::create(backend).await;
    let mut refusals = vec![(mistyped.as_str(), "there is no SQLite file")];
    if backend == Backend::Postgres {
        refusals.push((other.url(), "has no table of oncepay"));
    }
    for (url, reason) in refusals {
        for dry_run in [&["--dry-run"][..], &[]] {
            let elsewhere = ["--since", SINCE, "--database-url", url];
            let told = refused(&world, 1, &[&elsewhere, dry_run].concat());
            assert!(told.contains(reason), "{told}");
            assert!(
                told.contains("what to do: see whether --database-url"),
                "{told}"
            );
        }
    }
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);

    let migrated = world.run(&["migrate", "--database-url", other.url()]);
    assert!(migrated.status.success());
    let elsewhere = ["--since", SINCE, "--database-url", other.url()];
    let told = refused(&world, 1, &elsewhere);
    assert!(told.contains("no server was ever started over"), "{told}");
}

async fn rule_19_a_schema_that_is_out_of_date_is_refused_and_left_as_it_is(backend: Backend) {
    let mut world = world(backend).await;
    world.pay("k", &order("k")).await.expect(201);
    stopped(&mut world).await;
    let forget = "delete from __diesel_schema_migrations where version = '20261125233000'";
    for sql in ["drop table schema_floor", forget] {
        world.database.execute(sql).await;
    }
    let before = count(&world, "__diesel_schema_migrations").await;
    for dry_run in [&["--dry-run"][..], &[]] {
        let told = refused(&world, 1, &[&["--since", SINCE], dry_run].concat());
        assert!(told.contains("2026-11-25-233000_schema_floor"), "{told}");
        assert!(told.contains("run `oncepay migrate`"), "{told}");
    }
    assert_eq!(count(&world, "__diesel_schema_migrations").await, before);
    assert!(world.run(&["migrate"]).status.success());
    expect_counted(&recovered(&world, &["--dry-run"]), "payments imported", 0);
}

async fn rule_19_a_database_that_was_made_anew_is_refused_until_it_has_its_old_id(
    backend: Backend,
) {
    let mut world = world(backend).await;
    let paid = world.pay("k", &order("k")).await.expect(201);
    let installation = "select installation_id as text from installation";
    let old = world.database.text(installation).await;
    stopped(&mut world).await;
    world.database.empty().await;
    world.restart_server().await;
    stopped(&mut world).await;
    let incarnation = "select store_incarnation as text from installation";
    let before = world.database.text(incarnation).await;

    for dry_run in [&["--dry-run"][..], &[]] {
        let told = refused(&world, 1, &[&["--since", SINCE], dry_run].concat());
        assert!(told.contains("the database has no payment"), "{told}");
        assert!(
            told.contains("1 of it are of other installations"),
            "{told}"
        );
        assert!(
            told.contains("update installation set installation_id"),
            "{told}"
        );
    }
    assert_eq!(world.database.text(incarnation).await, before);

    let give = format!("update installation set installation_id = '{old}'");
    world.database.execute(&give).await;
    expect_counted(&recovered(&world, &[]), "payments imported", 1);
    assert_ne!(world.database.text(incarnation).await, before);
    let imported = format!("payments where id = '{}'", id(&paid));
    assert_eq!(count(&world, &imported).await, "1");
    expect_equal(&world);
}

/// Since the backup, keys were spent twice: before it was put back, and after it, by a server that was
/// started too early.
async fn rule_19_what_is_refused_is_told_at_once_and_not_counted_as_imported(backend: Backend) {
    let mut world = world(backend).await;
    let paid = id(&world.pay("paid", &order("paid")).await.expect(201));
    let also_paid = id(&world.pay("also", &order("also")).await.expect(201));
    let captured = id(&world.pay("held", &held("held")).await.expect(201));
    backed_up(&mut world).await;
    world.pay("spent-1", &whole("one")).await.expect(201);
    let refunded = follow_up(&world, &paid, "refunds", "spent-2").await;
    refunded.expect(201);
    let settled = follow_up(&world, &captured, "capture", "spent-3").await;
    settled.expect(200);
    for (payment, key) in [(&captured, "free-1"), (&also_paid, "free-2")] {
        let refunded = follow_up(&world, payment, "refunds", key).await;
        refunded.expect(201);
    }
    stopped(&mut world).await;
    world.database.restore().await;
    world.restart_server().await;
    for key in ["spent-1", "spent-2", "spent-3"] {
        let other = whole(&format!("another {key}"));
        let answer = world.pay(key, &other).await;
        assert!([201, 202].contains(&answer.status), "{}", answer.status);
    }
    stopped(&mut world).await;

    // What comes last cannot be written: what a person must look at was said before.
    world.database.execute(refuse_refunds(backend)).await;
    let told = refused(&world, 1, &["--since", SINCE]);
    for key_is_taken in ["whose key is taken by", "under a key that is taken by"] {
        assert!(told.contains(key_is_taken), "{told}");
    }
    assert!(told.contains("the recovery was not finished"), "{told}");
    let allow = match backend {
        Backend::Sqlite => "drop trigger no_refunds",
        Backend::Postgres => "drop trigger no_refunds on operations",
    };
    world.database.execute(allow).await;
    let output = world.run(&["recover", "--since", SINCE]);
    let (said, told) = (output.stdout, String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(1), "{told}");
    let said = String::from_utf8(said).unwrap();
    for (what, count) in [
        ("payments", 0),
        ("captures", 0),
        ("cancels", 0),
        ("refunds", 1),
    ] {
        expect_counted(&said, &format!("{what} imported"), count);
    }
    assert_eq!(told.matches("a person must look:").count(), 4, "{told}");
    assert!(told.contains("does not fit what is recorded"), "{told}");
}

fn whole(reference: &str) -> Value {
    let mut body = order(reference);
    body["description"] = json!(reference);
    body
}

/// Keeps every row of a refund out of the database.
fn refuse_refunds(backend: Backend) -> &'static str {
    match backend {
        Backend::Sqlite => {
            "create trigger no_refunds before insert on operations when new.kind = 'refund' \
             begin select raise(abort, 'no refunds'); end"
        }
        Backend::Postgres => {
            "create function refuse() returns trigger language plpgsql as \
             $$ begin raise check_violation using message = 'no refunds'; end $$; \
             create trigger no_refunds before insert on operations for each row \
             when (new.kind = 'refund') execute function refuse()"
        }
    }
}
