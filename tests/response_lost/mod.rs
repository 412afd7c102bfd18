//! What happens if the response never arrives?

use futures_util::future::join_all;
use oncepay::sandbox::{CallClass, FaultKind, FaultPlan, FaultRule};
use serde_json::json;

use crate::downstream_fails::{
    charges_of, follow_up, forgetful_world, hasty_world, held, order, payment_under, quick_world,
    settled_by_itself, until_definite,
};
use crate::harness::{Backend, client, eventually, on_both_stores, send};

on_both_stores! {
    a_charge_whose_answer_is_lost_is_found_without_its_client
    rule_5_a_stored_error_is_looked_up_and_not_sent_again
    rule_9_what_the_provider_never_made_fails_once_it_would_have_to_be_there_and_not_earlier
    rule_9_after_the_retention_a_charge_is_found_by_the_list_and_never_sent_again
    rule_9_a_look_that_failed_does_not_keep_a_cancel_or_capture_in_doubt_for_ever
    rule_9_a_charge_is_found_between_others_that_make_a_page_of_the_list_long
    rule_3_a_payment_that_needs_its_customer_is_canceled_and_declined
}

async fn a_charge_whose_answer_is_lost_is_found_without_its_client(backend: Backend) {
    let world = hasty_world(backend).await;
    world.inject(FaultRule::new(FaultKind::HangAfter)).await;
    let lost = world.pay("k", &order("k")).await.expect(202).json();
    assert_eq!(lost["status"], "processing");
    world.sandbox.clear_faults().await;
    let settled = settled_by_itself(&world, "k").await;
    assert_eq!(settled["status"], "succeeded");
    assert_eq!(settled["in_doubt_since"], json!(null));
    assert_eq!(charges_of(&world, "k"), 1);
    let replayed = world.pay("k", &order("k")).await.expect(201);
    assert!(replayed.is_replayed());
}

async fn rule_5_a_stored_error_is_looked_up_and_not_sent_again(backend: Backend) {
    let world = quick_world(backend).await;
    world.inject(FaultRule::new(FaultKind::ErrorAfter)).await;
    world.pay("k", &order("k")).await.expect(201);
    let stats = world.sandbox.stats();
    assert_eq!(stats.requests_by_key_max, 2, "the attempt, and its replay");
    assert_eq!(charges_of(&world, "k"), 1);
}

/// The provider's memory is set to 4 s here, and the wait for an absence to 2 s.
async fn rule_9_what_the_provider_never_made_fails_once_it_would_have_to_be_there_and_not_earlier(
    backend: Backend,
) {
    let world = forgetful_world(backend, 4, 2_500, 4_000).await;
    world.inject(FaultRule::new(FaultKind::ErrorStored)).await;
    let begun = tokio::time::Instant::now();
    world.pay("k", &order("k")).await.expect(202);
    let settled = settled_by_itself(&world, "k").await;
    assert!(begun.elapsed().as_secs() >= 6, "not before 4 s + 2 s");
    assert_eq!(settled["status"], "failed");
    assert_eq!(settled["failure"]["code"], "not_executed");
    assert_eq!(charges_of(&world, "k"), 0);
    assert_eq!(world.sandbox.stats().requests_by_key_max, 2);
    world
        .pay("k", &order("k"))
        .await
        .expect_problem(402, "payment_declined");
}

async fn rule_9_after_the_retention_a_charge_is_found_by_the_list_and_never_sent_again(
    backend: Backend,
) {
    let world = forgetful_world(backend, 4, 2_000, 3_000).await;
    let hang = FaultRule::new(FaultKind::HangAfter);
    let dark = FaultRule::new(FaultKind::Unavailable).on(&[CallClass::Lookup]);
    world.inject(FaultPlan::rules([hang, dark])).await;
    world.pay("k", &order("k")).await.expect(202);
    let sent = eventually("sending is over", || async {
        let before = world.sandbox.stats().requests_by_key_max;
        let looks = world.sandbox.stats().requests.clone();
        let looked = looks
            .iter()
            .any(|(what, count)| what.contains("list") && *count > 0);
        looked.then_some(before)
    })
    .await;
    world.inject(FaultRule::new(FaultKind::ForgetKeys)).await;
    let settled = settled_by_itself(&world, "k").await;
    assert_eq!(settled["status"], "succeeded");
    assert_eq!(charges_of(&world, "k"), 1);
    assert_eq!(
        world.sandbox.stats().requests_by_key_max,
        sent,
        "no blind re-send"
    );
}

/// The hold is there before, so that it shows nothing of the operation until that is carried out.
async fn rule_9_a_look_that_failed_does_not_keep_a_cancel_or_capture_in_doubt_for_ever(
    backend: Backend,
) {
    let world = forgetful_world(backend, 4, 2_500, 4_000).await;
    for what in ["cancel", "capture"] {
        let paid = world.pay(what, &held(what)).await.expect(201).json();
        let id = paid["id"].as_str().unwrap();
        let class = [CallClass::Cancel, CallClass::Capture];
        let stored = FaultRule::new(FaultKind::ErrorStored).on(&class);
        let dark = FaultRule::new(FaultKind::ErrorBefore).on(&[CallClass::Lookup]);
        world.inject(FaultPlan::rules([stored, dark])).await;
        let key = format!("{what}-it");
        follow_up(&world, id, what, &key).await.expect(202);
        eventually("a look has failed", || async {
            (world.sandbox.faults_fired()[1] > 0).then_some(())
        })
        .await;
        world.sandbox.clear_faults().await;
        let answer = until_definite(async || Some(follow_up(&world, id, what, &key).await)).await;
        answer.expect(402);
        assert_eq!(payment_under(&world, what).await["status"], "authorized");
        // The way is free again.
        let again = format!("{what}-again");
        follow_up(&world, id, what, &again).await.expect(200);
    }
}

/// Others use the account, too, and say a lot about each payment.
async fn rule_9_a_charge_is_found_between_others_that_make_a_page_of_the_list_long(
    backend: Backend,
) {
    // A page of two megabytes takes a busy machine a while.
    let world = forgetful_world(backend, 4, 4_000, 7_000).await;
    let (http, url) = (client(), format!("http://{}", world.sandbox.address()));
    let mut form = vec![
        ("amount".to_owned(), "4200".to_owned()),
        ("currency".to_owned(), "eur".to_owned()),
        ("payment_method".to_owned(), "pm_card_visa".to_owned()),
        ("confirm".to_owned(), "true".to_owned()),
    ];
    form.extend((0..40).map(|n| (format!("metadata[about_{n}]"), "x".repeat(500))));
    let others = (0..100).map(|_| {
        let request = http.post(format!("{url}/v1/payment_intents"));
        send(request.bearer_auth("sandbox_secret").form(&form))
    });
    for other in join_all(others).await {
        other.expect(200);
    }
    world.inject(FaultRule::new(FaultKind::HangAfter)).await;
    world.pay("k", &order("k")).await.expect(202);
    let settled = settled_by_itself(&world, "k").await;
    assert_eq!(settled["status"], "succeeded");
    assert_eq!(charges_of(&world, "k"), 1);
}

async fn rule_3_a_payment_that_needs_its_customer_is_canceled_and_declined(backend: Backend) {
    let world = quick_world(backend).await;
    let mut body = order("k");
    body["payment_method"] = json!("pm_sandbox_requires_action");
    let declined = world.pay("k", &body).await.expect(402).json();
    assert_eq!(declined["payment"]["status"], "failed");
    assert_eq!(charges_of(&world, "k"), 0);
    assert_eq!(
        payment_under(&world, "k").await["failure"]["code"],
        "authentication_required"
    );
}
