//! Clients that came again before the recovery, to a server that was started too early.

use std::time::Duration;

use oncepay::sandbox::{CallClass, ChargeFilter, FaultKind, FaultPlan, FaultRule};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{backed_up, expect_counted, forget_keys, id, recovered, stopped, world};
use crate::{
    downstream_fails::{
        charges_of, follow_up, held, order, payment_under, quick_recovery, until_definite,
    },
    harness::{Backend, ProviderKnobs, World, eventually, on_both_stores},
    reconcile::{beside_us, expect_equal},
};

on_both_stores! {
    rule_19_what_a_key_made_before_is_that_of_the_row_that_came_again
    rule_19_what_a_key_made_before_is_found_at_another_provider
    rule_19_an_old_refusal_is_not_the_end_of_what_may_still_arrive
    rule_19_a_second_charge_under_a_key_is_told_and_takes_nobody_s_place
    rule_19_a_second_charge_of_a_settled_payment_is_told
    rule_19_captures_cancels_and_refunds_are_those_of_the_rows_that_came_again
}

/// Puts the backup back and starts a server over it, of which the provider does `kind`.
async fn started_too_early(world: &mut World, kind: FaultKind) {
    stopped(world).await;
    world.database.restore().await;
    world.restart_server().await;
    forget_keys(world).await;
    let forgets = FaultRule::new(FaultKind::ForgetKeys).times(1);
    let unseen = FaultRule::new(FaultKind::HangBefore).on(&[CallClass::Lookup]);
    let plan = FaultPlan::rules([forgets, FaultRule::new(kind), unseen]);
    world.inject(plan).await;
}

async fn stopped_in_doubt(world: &mut World) {
    stopped(world).await;
    world.sandbox.clear_faults().await;
}

/// The status in the database, no server having to do with it.
async fn status_under(world: &World, key: &str) -> String {
    let sql = format!("select status as text from payments where idempotency_key = '{key}'");
    world.database.text(&sql).await
}

/// Recovers, and gives what a person was told to look at.
#[track_caller]
fn told(world: &World, more: &[&str]) -> Vec<String> {
    let start = ["recover", "--since", "2020-01-01T00:00:00Z"];
    let output = world.run(&[&start, more].concat());
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    let lines = told.lines();
    let lines = lines.filter_map(|line| line.strip_prefix("a person must look: "));
    lines.map(str::to_owned).collect()
}

async fn rule_19_what_a_key_made_before_is_that_of_the_row_that_came_again(backend: Backend) {
    let mut world = world(backend).await;
    backed_up(&mut world).await;
    let (auto, manual) = (order("auto"), held("manual"));
    let lost = world.pay("auto", &auto).await.expect(201).json();
    let lost_id = lost["id"].as_str().unwrap();
    follow_up(&world, lost_id, "refunds", "back")
        .await
        .expect(201);
    world.pay("manual", &manual).await.expect(201);
    started_too_early(&mut world, FaultKind::HangBefore).await;
    // At once: the provider's breaker opens soon.
    let (one, other) = tokio::join!(world.pay("auto", &auto), world.pay("manual", &manual));
    one.expect(202);
    other.expect(202);
    stopped_in_doubt(&mut world).await;

    let said = recovered(&world, &[]);
    expect_counted(&said, "unsettled operations put in doubt", 2);
    expect_counted(&said, "payments imported", 0);
    expect_counted(&said, "refunds imported", 1);
    assert_eq!(status_under(&world, "auto").await, "succeeded");
    assert_eq!(status_under(&world, "manual").await, "authorized");
    world.restart_server().await;
    let again = world.pay("auto", &auto).await.expect(201);
    assert!(again.is_replayed());
    let again = again.json();
    assert_ne!(again["id"], lost["id"]);
    assert_eq!(again["provider_reference"], lost["provider_reference"]);
    assert_eq!(world.charges(), 2);
    let refunded = payment_under(&world, "auto").await["amount_refunded"].clone();
    assert_eq!(
        refunded,
        json!(4_200),
        "what was given back before is known"
    );
    expect_equal(&world);
}

/// The one that took it refused when its client came again, and the next one did not answer.
async fn rule_19_what_a_key_made_before_is_found_at_another_provider(backend: Backend) {
    let providers = vec![
        ProviderKnobs::named("first"),
        ProviderKnobs::named("second"),
    ];
    let mut world = World::start_at(backend, quick_recovery(), providers).await;
    backed_up(&mut world).await;
    let lost = world.pay("k", &order("k")).await.expect(201).json();
    stopped(&mut world).await;
    world.database.restore().await;
    world.restart_server().await;
    world
        .inject(FaultRule::new(FaultKind::RefuseConnection))
        .await;
    world.others[0]
        .set_faults(FaultRule::new(FaultKind::HangBefore))
        .await;
    world.pay("k", &order("k")).await.expect(202);
    stopped_in_doubt(&mut world).await;
    world.others[0].clear_faults().await;

    let said = recovered(&world, &[]);
    expect_counted(&said, "unsettled operations put in doubt", 1);
    assert_eq!(status_under(&world, "k").await, "succeeded");
    world.restart_server().await;
    let again = world.pay("k", &order("k")).await.expect(201).json();
    assert_eq!(again["provider_reference"], lost["provider_reference"]);
    assert_eq!(again["provider"], "first");
    assert_eq!(world.charges(), 1);
    expect_equal(&world);
}

async fn rule_19_an_old_refusal_is_not_the_end_of_what_may_still_arrive(backend: Backend) {
    let mut world = world(backend).await;
    backed_up(&mut world).await;
    let mut declined = order("k");
    declined["payment_method"] = json!("pm_card_chargeDeclined");
    world.pay("k", &declined).await.expect(402);
    let refused_at = Instant::now();
    eventually("the provider remembers no key of then", || async {
        (refused_at.elapsed() > Duration::from_secs(6)).then_some(())
    })
    .await;
    started_too_early(&mut world, FaultKind::HangBefore).await;
    world.pay("k", &declined).await.expect(202);
    stopped_in_doubt(&mut world).await;

    recovered(&world, &[]);
    assert_eq!(
        status_under(&world, "k").await,
        "processing",
        "it is looked for"
    );
}

/// The provider had forgotten the key when its client came again, and the answer was lost.
async fn rule_19_a_second_charge_under_a_key_is_told_and_takes_nobody_s_place(backend: Backend) {
    let mut world = world(backend).await;
    backed_up(&mut world).await;
    let first = world.pay("k", &order("k")).await.expect(201).json();
    let first = first["provider_reference"].as_str().unwrap();
    started_too_early(&mut world, FaultKind::HangAfter).await;
    world.pay("k", &order("k")).await.expect(202);
    stopped_in_doubt(&mut world).await;
    assert_eq!(charges_of(&world, "k"), 2, "which nothing could prevent");

    // However often it is recovered.
    for _ in 0..2 {
        let lines = told(&world, &[]);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains(first), "{lines:?}");
        assert!(lines[0].contains("whose key is taken by"), "{lines:?}");
    }
    assert_eq!(status_under(&world, "k").await, "succeeded");
    world.restart_server().await;
    let paid = world.pay("k", &order("k")).await.expect(201).json();
    assert_ne!(paid["provider_reference"], first);
    assert_eq!(charges_of(&world, "k"), 2, "a person decides");
}

async fn rule_19_a_second_charge_of_a_settled_payment_is_told(backend: Backend) {
    let mut world = world(backend).await;
    let paid = world.pay("k", &order("k")).await.expect(201);
    let marked = world
        .sandbox
        .charges(&ChargeFilter::all())
        .charges
        .remove(0);
    let form = marked.metadata.iter();
    let form: Vec<_> = form
        .map(|(name, value)| (format!("metadata[{name}]"), value.clone()))
        .collect();
    let mut form: Vec<_> = form.iter().map(|(name, it)| (&**name, &**it)).collect();
    form.extend([
        ("amount", "4200"),
        ("currency", "eur"),
        ("payment_method", "pm_card_visa"),
        ("confirm", "true"),
    ]);
    let second = beside_us(&world, "payment_intents", &form).await;
    stopped(&mut world).await;

    for dry_run in [&["--dry-run"][..], &[]] {
        let lines = told(&world, dry_run);
        let second = second["id"].as_str().unwrap();
        let line = format!(
            "main has {second} captured 4200 EUR, made for {}, which is succeeded here with {}",
            id(&paid),
            paid.json()["provider_reference"].as_str().unwrap()
        );
        assert_eq!(lines, [line]);
    }

    // Given back, it is no charge any more.
    let second = [("payment_intent", second["id"].as_str().unwrap())];
    beside_us(&world, "refunds", &second).await;
    recovered(&world, &[]);
}

async fn rule_19_captures_cancels_and_refunds_are_those_of_the_rows_that_came_again(
    backend: Backend,
) {
    let mut world = world(backend).await;
    let mut asked = Vec::new();
    for (key, body, what) in [
        ("paid", order("paid"), "refunds"),
        ("hold", held("hold"), "capture"),
        ("void", held("void"), "cancel"),
    ] {
        asked.push((id(&world.pay(key, &body).await.expect(201)), what));
    }
    backed_up(&mut world).await;
    for (payment, what) in &asked {
        let answer = follow_up(&world, payment, what, what).await;
        assert!([200, 201].contains(&answer.status), "{what}");
    }
    started_too_early(&mut world, FaultKind::HangBefore).await;
    // At once: the provider's breaker opens soon.
    let [refund, capture, cancel] =
        [0, 1, 2].map(|at| follow_up(&world, &asked[at].0, asked[at].1, asked[at].1));
    let (refund, capture, cancel) = tokio::join!(refund, capture, cancel);
    for answer in [refund, capture, cancel] {
        answer.expect(202);
    }
    stopped_in_doubt(&mut world).await;

    let said = recovered(&world, &[]);
    expect_counted(&said, "unsettled operations put in doubt", 3);
    for what in ["captures", "cancels", "refunds"] {
        expect_counted(&said, &format!("{what} imported"), 0);
    }
    assert_eq!(status_under(&world, "hold").await, "succeeded");
    let refunded = "select cast(amount_refunded as text) as text from payments \
                    where idempotency_key = 'paid'";
    assert_eq!(world.database.text(refunded).await, "4200");
    world.restart_server().await;
    eventually("the cancel is settled, too", || async {
        let payment = payment_under(&world, "void").await;
        (payment["status"] == json!("canceled")).then_some(())
    })
    .await;
    for (payment, what) in &asked {
        let again = || async { Some(follow_up(&world, payment, what, what).await) };
        let again = until_definite(again).await;
        assert!([200, 201].contains(&again.status), "{what}");
    }
    let paid = payment_under(&world, "paid").await;
    assert_eq!(paid["amount_refunded"], json!(4_200));
    assert_eq!(paid["in_doubt_since"], Value::Null);
    expect_equal(&world);
}
