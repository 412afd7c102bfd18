//! What happens if the database is put back to an earlier state?

mod came_again;
mod interrupted;
mod lost;
mod old_doubts;
mod refusals;
mod whose;

use oncepay::sandbox::{ChargeFilter, FaultKind, FaultPlan, FaultRule};
use serde_json::{Value, json};

use crate::{
    downstream_fails::{
        charges_of, follow_up, held, order, payment_under, quick_recovery, settled_by_itself,
        until_definite,
    },
    harness::{Answer, Backend, ProviderKnobs, World, eventually, on_both_stores, send},
    reconcile::expect_equal,
};

on_both_stores! {
    rule_19_after_a_restore_every_key_is_replayed_and_nothing_is_charged_again
    rule_19_what_was_unsettled_in_the_backup_is_never_sent_again
    rule_19_captures_cancels_and_refunds_since_the_backup_are_imported
    rule_19_another_life_of_the_database_begins_and_a_second_recovery_changes_nothing
    rule_19_what_was_failed_over_since_the_backup_is_found_where_it_went
    rule_19_nothing_is_recovered_while_a_server_runs
}

/// A world whose provider is forgetful enough for a test to see the end of a doubt.
async fn world(backend: Backend) -> World {
    let provider = ProviderKnobs {
        key_retention_s: 4,
        absence_wait_s: 2,
        ..ProviderKnobs::named("main")
    };
    World::start_at(backend, quick_recovery(), vec![provider]).await
}

/// Whatever a payment has: its metadata goes along to the provider, and comes back.
fn whole(key: &str) -> Value {
    let mut body = order(key);
    body["description"] = json!("Two tickets & a program");
    body["metadata"] = json!({"seat": "12a", "näme": "Zoë".repeat(160)});
    body
}

/// Ends the server in order, so that nobody is connected.
async fn stopped(world: &mut World) {
    world.server.signal("TERM");
    world.server.ended(std::time::Duration::from_secs(60)).await;
}

async fn backed_up(world: &mut World) {
    stopped(world).await;
    world.database.back_up().await;
    world.restart_server().await;
}

/// Puts the backup back and recovers; gives what the command said.
async fn restored(world: &mut World) -> String {
    stopped(world).await;
    world.database.restore().await;
    let said = recovered(world, &[]);
    world.restart_server().await;
    said
}

#[track_caller]
fn recovered(world: &World, more: &[&str]) -> String {
    let start = ["recover", "--since", "2020-01-01T00:00:00Z"];
    let arguments: Vec<_> = start.iter().chain(more).copied().collect();
    let output = world.run(&arguments);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{told}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn expect_counted(said: &str, what: &str, count: u32) {
    let line = said.lines().find(|line| line.ends_with(what)).unwrap();
    assert_eq!(line.trim(), format!("{count}  {what}"), "{said}");
}

async fn forget_keys(world: &World) {
    world.inject(FaultRule::new(FaultKind::ForgetKeys)).await;
}

async fn events_of(world: &World, payment: &str) -> Vec<String> {
    let events = world.get(&format!("/payments/{payment}/events")).await;
    let events = events.expect(200).json();
    let name = |event: &Value| event["type"].as_str().unwrap().to_owned();
    events["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(name)
        .collect()
}

fn id(answer: &Answer) -> String {
    answer.json()["id"].as_str().unwrap().to_owned()
}

async fn rule_19_after_a_restore_every_key_is_replayed_and_nothing_is_charged_again(
    backend: Backend,
) {
    let mut world = world(backend).await;
    world.pay("before", &whole("before")).await.expect(201);
    backed_up(&mut world).await;
    let paid = world.pay("after", &whole("after")).await.expect(201);
    let mut refused = whole("declined");
    refused["payment_method"] = json!("pm_card_chargeDeclined");
    let declined = world.pay("declined", &refused).await.expect(402);
    let held_before = world.pay("held", &held("held")).await.expect(201);
    let charges = world.charges();

    let said = restored(&mut world).await;
    expect_counted(&said, "payments imported", 3);
    expect_counted(&said, "of them without a part of their request", 0);
    expect_counted(
        &said,
        "imported operations left to be settled by the servers",
        0,
    );
    forget_keys(&world).await;

    world.pay("before", &whole("before")).await.expect(201);
    let again = world.pay("after", &whole("after")).await.expect(201);
    assert!(again.is_replayed());
    let (then, now) = (paid.json(), again.json());
    let same = [
        "id",
        "status",
        "amount",
        "currency",
        "amount_captured",
        "capture",
        "payment_method",
        "reference",
        "description",
        "metadata",
        "provider",
        "provider_reference",
        "idempotency_key",
    ];
    for name in same {
        assert_eq!(now[name], then[name], "{name}");
    }
    assert_eq!(now["metadata"]["seat"], "12a");
    let mut other = whole("after");
    other["amount"] = json!(1);
    let other = world.pay("after", &other).await;
    other.expect_problem(422, "idempotency_key_reused");
    let again = world.pay("declined", &refused).await.expect(402);
    assert!(again.is_replayed());
    assert_eq!(
        again.json()["payment"]["failure"],
        declined.json()["payment"]["failure"]
    );
    let again = world.pay("held", &held("held")).await.expect(201);
    assert_eq!(
        (id(&again), again.json()["status"].clone()),
        (id(&held_before), json!("authorized"))
    );
    let events = events_of(&world, &id(&paid)).await;
    assert_eq!(events, ["created", "restored", "captured"]);
    assert_eq!(world.charges(), charges);
    expect_equal(&world);
}

/// One is released in the backup and charged, one canceled, afterwards; one is in doubt there and
/// declined afterwards; one was never sent at all.
async fn rule_19_what_was_unsettled_in_the_backup_is_never_sent_again(backend: Backend) {
    let mut world = world(backend).await;
    world
        .inject(FaultRule::new(FaultKind::RefuseConnection))
        .await;
    let mut pending = Vec::new();
    for key in ["charged", "given-up"] {
        let answer = world.pay(key, &order(key)).await.expect(503).json();
        pending.push(answer["payment"]["id"].as_str().unwrap().to_owned());
    }
    world.sandbox.clear_faults().await;
    eventually("the breaker closed", || async {
        let probe = world.pay("probe", &order("probe")).await;
        (probe.status == 201).then_some(())
    })
    .await;
    let hang = FaultRule::new(FaultKind::HangAfter);
    world.inject(FaultPlan::rules([hang])).await;
    world.pay("in-doubt", &order("in-doubt")).await.expect(202);
    world.kill_server();
    world.database.back_up().await;
    world.sandbox.clear_faults().await;
    world.restart_server().await;
    let charged =
        until_definite(async || Some(world.pay("charged", &order("charged")).await)).await;
    charged.expect(201);
    follow_up(&world, &pending[1], "cancel", "give-up")
        .await
        .expect(200);
    settled_by_itself(&world, "in-doubt").await;
    let charges = world.charges();

    let said = restored(&mut world).await;
    expect_counted(&said, "unsettled operations put in doubt", 3);
    forget_keys(&world).await;
    for key in ["charged", "in-doubt"] {
        let answer = until_definite(async || Some(world.pay(key, &order(key)).await)).await;
        answer.expect(201);
        assert_eq!(charges_of(&world, key), 1);
    }
    let given_up = settled_by_itself(&world, "given-up").await;
    assert_eq!(given_up["failure"]["code"], "not_executed");
    assert_eq!(
        charges_of(&world, "given-up"),
        0,
        "nothing is charged behind anybody's back"
    );
    let events = events_of(&world, &pending[1]).await;
    assert_eq!(events, ["created", "released", "restored", "declined"]);
    assert_eq!(world.charges(), charges);
    expect_equal(&world);
}

async fn rule_19_captures_cancels_and_refunds_since_the_backup_are_imported(backend: Backend) {
    let mut world = world(backend).await;
    let old_hold = id(&world.pay("old-hold", &held("old-hold")).await.expect(201));
    let old_void = id(&world.pay("old-void", &held("old-void")).await.expect(201));
    let old_paid = id(&world.pay("old-paid", &order("old-paid")).await.expect(201));
    backed_up(&mut world).await;
    let part = json!({"amount": 1_200}).to_string();
    let capture = async |world: &World| {
        let path = format!("/payments/{old_hold}/capture");
        let request = world
            .request(reqwest::Method::POST, &path)
            .body(part.clone());
        let request = request.bearer_auth(crate::harness::API_KEY);
        let request = request.header("content-type", "application/json");
        send(request.header("idempotency-key", "capture")).await
    };
    capture(&world).await.expect(200);
    follow_up(&world, &old_void, "cancel", "void")
        .await
        .expect(200);
    let refund = follow_up(&world, &old_paid, "refunds", "refund")
        .await
        .expect(201);
    let new_hold = id(&world.pay("new-hold", &held("new-hold")).await.expect(201));
    follow_up(&world, &new_hold, "capture", "new-capture")
        .await
        .expect(200);
    follow_up(&world, &new_hold, "refunds", "new-refund")
        .await
        .expect(201);

    let said = restored(&mut world).await;
    for (what, count) in [
        ("payments imported", 1),
        ("captures imported", 2),
        ("cancels imported", 1),
        ("refunds imported", 2),
        ("imported operations left to be settled by the servers", 0),
    ] {
        expect_counted(&said, what, count);
    }
    forget_keys(&world).await;
    let replayed = [
        capture(&world).await.expect(200),
        follow_up(&world, &new_hold, "capture", "new-capture")
            .await
            .expect(200),
        follow_up(&world, &new_hold, "refunds", "new-refund")
            .await
            .expect(201),
        follow_up(&world, &old_paid, "refunds", "refund")
            .await
            .expect(201),
    ];
    assert!(replayed.iter().all(Answer::is_replayed));
    assert_eq!(id(&replayed[3]), id(&refund));
    let void = follow_up(&world, &old_void, "cancel", "void").await;
    drop(void.expect_problem(409, "illegal_state"));
    for (key, status, captured, refunded) in [
        ("old-hold", "succeeded", 1_200, 0),
        ("old-void", "canceled", 0, 0),
        ("old-paid", "succeeded", 4_200, 4_200),
        ("new-hold", "succeeded", 4_200, 4_200),
    ] {
        let payment = payment_under(&world, key).await;
        assert_eq!(payment["status"], status, "{key}");
        assert_eq!(payment["amount_captured"], captured, "{key}");
        assert_eq!(payment["amount_refunded"], refunded, "{key}");
    }
    expect_equal(&world);
}

async fn rule_19_another_life_of_the_database_begins_and_a_second_recovery_changes_nothing(
    backend: Backend,
) {
    let mut world = world(backend).await;
    backed_up(&mut world).await;
    world.pay("after", &order("after")).await.expect(201);
    stopped(&mut world).await;
    world.database.restore().await;
    let counted = recovered(&world, &["--dry-run"]);
    expect_counted(&counted, "payments imported", 1);
    expect_counted(&recovered(&world, &[]), "payments imported", 1);
    let again = recovered(&world, &[]);
    assert!(
        again.lines().all(|line| line.trim().starts_with("0 ")),
        "{again}"
    );
    world.restart_server().await;
    assert!(
        world
            .pay("after", &order("after"))
            .await
            .expect(201)
            .is_replayed()
    );
    assert_eq!(world.charges(), 1);
}

/// In the backup it waits for its client at the second provider; afterwards the first one took it.
async fn rule_19_what_was_failed_over_since_the_backup_is_found_where_it_went(backend: Backend) {
    let providers = vec![
        ProviderKnobs::named("first"),
        ProviderKnobs::named("second"),
    ];
    let mut world = World::start_at(backend, quick_recovery(), providers).await;
    let refuses = || FaultPlan::from(FaultRule::new(FaultKind::RefuseConnection));
    world.inject(refuses()).await;
    world.others[0].set_faults(refuses()).await;
    let pending = world.pay("k", &order("k")).await.expect(503).json();
    assert_eq!(pending["payment"]["provider"], "second");
    stopped(&mut world).await;
    world.database.back_up().await;
    world.sandbox.clear_faults().await;
    world.restart_server().await;
    let paid = until_definite(async || Some(world.pay("k", &order("k")).await)).await;
    assert_eq!(paid.expect(201).json()["provider"], "first");
    world.others[0].clear_faults().await;

    let said = restored(&mut world).await;
    expect_counted(&said, "unsettled operations put in doubt", 1);
    let again = until_definite(async || Some(world.pay("k", &order("k")).await)).await;
    assert_eq!(again.expect(201).json()["provider"], "first");
    assert_eq!(world.charges(), 1);
    assert_eq!(world.others[0].charges(&ChargeFilter::all()).count, 0);
    expect_equal(&world);
}

async fn rule_19_nothing_is_recovered_while_a_server_runs(backend: Backend) {
    let world = world(backend).await;
    world.pay("k", &order("k")).await.expect(201);
    let output = world.run(&["recover", "--since", "2020-01-01T00:00:00Z"]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("another program has"), "{told}");
    world.pay("other", &order("other")).await.expect(201);
}
