//! `oncepay reconcile`: equal worlds are equal, and each difference that is really made is reported.

mod refusals;

use oncepay::sandbox::{CallClass, FaultKind, FaultRule};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    downstream_fails::{follow_up, held, order, payment_under, quick_world},
    harness::{Backend, World, client, on_both_stores, send},
};

on_both_stores! {
    what_went_through_us_is_equal_whatever_became_of_it
    a_charge_without_a_payment_of_ours_is_reported
    a_payment_whose_row_is_gone_is_reported
    a_payment_whose_charge_is_gone_or_another_is_reported
    amounts_and_states_that_were_changed_beside_us_are_reported
    a_cancel_in_doubt_is_reported_while_the_hold_stands
    what_is_fresh_is_under_way_and_in_doubt_later
}

/// Before any payment of a test.
const START: &str = "2020-01-01T00:00:00Z";

/// The exit code, and the kinds of differences, sorted.
fn reconciled(world: &World, more: &[&str]) -> (i32, Vec<String>) {
    let start = ["reconcile", "--from", START, "--json"];
    let arguments: Vec<_> = start.iter().chain(more).copied().collect();
    let output = world.run(&arguments);
    let text = String::from_utf8(output.stdout).unwrap();
    let kind = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["kind"].as_str().unwrap().to_owned()
    };
    let mut kinds: Vec<_> = text.lines().map(kind).collect();
    kinds.sort();
    let code = output.status.code().unwrap();
    assert!(code != 2 || kinds.is_empty());
    (code, kinds)
}

#[track_caller]
pub(crate) fn expect_equal(world: &World) {
    let nothing_is_fresh = ["--under-way-s", "0"];
    assert_eq!(reconciled(world, &nothing_is_fresh), (0, vec![]));
}

#[track_caller]
fn expect(world: &World, kinds: &[&str]) {
    let found = reconciled(world, &["--under-way-s", "0"]);
    let kinds = kinds.iter().map(|kind| (*kind).to_owned()).collect();
    assert_eq!(found, (1, kinds));
}

/// Asks the provider for something, beside us.
pub(crate) async fn beside_us(world: &World, path: &str, form: &[(&str, &str)]) -> Value {
    let url = format!("http://{}/v1/{path}", world.sandbox.address());
    let request = client()
        .request(Method::POST, url)
        .bearer_auth("sandbox_secret");
    send(request.form(form)).await.expect(200).json()
}

async fn paid(world: &World, key: &str, body: &Value) -> (String, String) {
    let payment = world.pay(key, body).await.expect(201).json();
    let text = |name: &str| payment[name].as_str().unwrap().to_owned();
    (text("id"), text("provider_reference"))
}

async fn what_went_through_us_is_equal_whatever_became_of_it(backend: Backend) {
    let world = quick_world(backend).await;
    expect_equal(&world);
    let (refunded, _) = paid(&world, "refunded", &order("refunded")).await;
    follow_up(&world, &refunded, "refunds", "refund")
        .await
        .expect(201);
    let (captured, _) = paid(&world, "captured", &held("captured")).await;
    follow_up(&world, &captured, "capture", "capture")
        .await
        .expect(200);
    let (canceled, _) = paid(&world, "canceled", &held("canceled")).await;
    follow_up(&world, &canceled, "cancel", "cancel")
        .await
        .expect(200);
    paid(&world, "held", &held("held")).await;
    let mut declined = order("declined");
    declined["payment_method"] = json!("pm_card_chargeDeclined");
    world.pay("declined", &declined).await.expect(402);
    let foreign = [
        ("amount", "100"),
        ("currency", "eur"),
        ("payment_method", "pm_card_visa"),
        ("confirm", "true"),
    ];
    beside_us(&world, "payment_intents", &foreign).await;
    expect_equal(&world);
    let arguments = ["reconcile", "--from", START];
    let output = world.run(&arguments);
    assert!(output.status.success() && output.stdout.is_empty());
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("5 payments compared: 5 equal, 0 under way, 0 differ; 1 at"),
        "{told}"
    );
}

async fn a_charge_without_a_payment_of_ours_is_reported(backend: Backend) {
    let world = quick_world(backend).await;
    let marked = [
        ("amount", "100"),
        ("currency", "eur"),
        ("payment_method", "pm_card_visa"),
        ("confirm", "true"),
        (
            "metadata[oncepay_payment]",
            "pay_01h455vb4pex5vsknk084sn02q",
        ),
    ];
    beside_us(&world, "payment_intents", &marked).await;
    expect(&world, &["not_recorded"]);
}

async fn a_payment_whose_row_is_gone_is_reported(backend: Backend) {
    let world = quick_world(backend).await;
    let (id, _) = paid(&world, "k", &order("k")).await;
    paid(&world, "other", &order("other")).await;
    let on_table = match backend {
        Backend::Postgres => " on payment_events",
        Backend::Sqlite => "",
    };
    let triggers = match backend {
        Backend::Postgres => "payment_events_are_never_changed",
        Backend::Sqlite => "payment_events_are_never_deleted",
    };
    let sql = format!(
        "drop trigger {triggers}{on_table};
        delete from payment_events where payment_id = '{id}';
        delete from operations where payment_id = '{id}';
        delete from payments where id = '{id}';"
    );
    world.database.execute(&sql).await;
    expect(&world, &["not_recorded"]);
}

async fn a_payment_whose_charge_is_gone_or_another_is_reported(backend: Backend) {
    let world = quick_world(backend).await;
    let (id, reference) = paid(&world, "k", &order("k")).await;
    let point_to = async |reference: &str| {
        let sql =
            format!("update payments set provider_reference = '{reference}' where id = '{id}'");
        world.database.execute(&sql).await;
    };
    point_to("pi_other").await;
    expect(&world, &["other_object"]);
    point_to(&reference).await;
    expect_equal(&world);

    let second = [
        ("amount", "4200"),
        ("currency", "eur"),
        ("payment_method", "pm_card_visa"),
        ("confirm", "true"),
        ("metadata[oncepay_payment]", id.as_str()),
    ];
    beside_us(&world, "payment_intents", &second).await;
    expect(&world, &["several_objects"]);

    world.sandbox.reset();
    expect(&world, &["missing"]);
}

async fn amounts_and_states_that_were_changed_beside_us_are_reported(backend: Backend) {
    let world = quick_world(backend).await;
    let (id, reference) = paid(&world, "k", &order("k")).await;
    let set = async |what: &str| {
        let sql = format!("update payments set {what} where id = '{id}'");
        world.database.execute(&sql).await;
    };
    set("amount = 4300").await;
    expect(&world, &["amount"]);
    set("amount = 4200, currency = 'USD'").await;
    expect(&world, &["currency"]);
    set("currency = 'EUR', amount_captured = 4100").await;
    expect(&world, &["captured"]);
    set("amount_captured = 0, status = 'failed'").await;
    expect(&world, &["status"]);
    set("status = 'processing'").await;
    expect(&world, &["in_doubt"]);
    set("amount_captured = 4200, status = 'succeeded'").await;
    expect_equal(&world);

    let refund = [("payment_intent", reference.as_str()), ("amount", "100")];
    beside_us(&world, "refunds", &refund).await;
    expect(&world, &["refunded"]);
    let (_, reference) = paid(&world, "held", &held("held")).await;
    beside_us(&world, &format!("payment_intents/{reference}/cancel"), &[]).await;
    expect(&world, &["refunded", "status"]);
}

async fn a_cancel_in_doubt_is_reported_while_the_hold_stands(backend: Backend) {
    let mut world = quick_world(backend).await;
    let (id, _) = paid(&world, "held", &held("held")).await;
    expect_equal(&world);
    let hangs = FaultRule::new(FaultKind::HangBefore).on(&[CallClass::Cancel]);
    world.inject(hangs).await;
    follow_up(&world, &id, "cancel", "cancel").await.expect(202);
    world.kill_server();
    world.sandbox.clear_faults().await;

    assert_eq!(reconciled(&world, &[]), (0, vec![]), "it is under way");
    expect(&world, &["in_doubt"]);
    let told = world.run(&["reconcile", "--from", START, "--under-way-s", "0"]);
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("in doubt: cancel"), "{told}");
}

async fn what_is_fresh_is_under_way_and_in_doubt_later(backend: Backend) {
    let mut world = quick_world(backend).await;
    world.latency_ms(60_000.0).await;
    let asked = world
        .paying("k", &order("k"))
        .header("prefer", "respond-async");
    send(asked).await.expect(202);
    assert_eq!(payment_under(&world, "k").await["status"], "processing");
    world.kill_server();
    world.sandbox.clear_faults().await;
    assert_eq!(reconciled(&world, &[]), (0, vec![]));
    expect(&world, &["in_doubt"]);
}
