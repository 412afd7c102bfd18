//! `POST /payments/{id}/capture` and `/cancel`.

use futures_util::future::join_all;
use oncepay::sandbox::{CallClass, FaultKind, FaultRule};
use reqwest::{Method, header::CONTENT_TYPE};
use serde_json::{Value, json};

use super::asking::{
    asking, authorized, bare, impatient, once, quick, succeeded, the_charge, told,
};
use crate::harness::{API_KEY, Backend, World, eur, on_both_stores, send};

on_both_stores! {
    a_hold_is_captured_whole_or_in_part_and_the_answer_is_replayed
    a_hold_is_given_back
    rule_22_what_the_state_or_the_amount_does_not_allow_spends_no_key
    rule_20_a_key_of_one_operation_is_no_other_s
    rule_14_of_a_capture_and_a_cancel_at_once_exactly_one_wins
    the_same_key_at_once_is_one_operation
    rule_11_canceling_a_pending_payment_spends_its_key
    a_capture_that_was_not_sent_waits_for_its_client
    what_the_provider_did_and_did_not_say_settles_by_itself
}

fn path(payment: &str, action: &str) -> String {
    format!("{payment}/{action}")
}

async fn a_hold_is_captured_whole_or_in_part_and_the_answer_is_replayed(backend: Backend) {
    let world = World::start(backend).await;
    let whole = authorized(&world, "whole", 900).await;
    let first = send(bare(&world, &path(&whole, "capture"), "c-1"))
        .await
        .expect(200);
    assert!(!first.is_replayed());
    assert_eq!(first.header("content-type"), Some("application/json"));
    let payment = first.json();
    assert_eq!(
        (&payment["status"], &payment["amount_captured"]),
        (&json!("succeeded"), &json!(900))
    );
    assert_eq!(world.get(&whole).await.expect(200).body, first.body);
    assert_eq!(the_charge(&world).amount_captured, 900);

    // No body, an empty object and an amount that is null ask for the same.
    for body in [None, Some(json!({})), Some(json!({"amount": null}))] {
        let capture = path(&whole, "capture");
        let again = send(match body {
            None => bare(&world, &capture, "c-1").header(CONTENT_TYPE, "application/json"),
            Some(body) => asking(&world, &capture, "c-1", &body),
        });
        let again = again.await.expect(200);
        assert!(again.is_replayed() && again.body == first.body);
    }

    let part = authorized(&world, "part", 900).await;
    let capture = asking(
        &world,
        &path(&part, "capture"),
        "c-2",
        &json!({"amount": 400}),
    );
    let payment = send(capture).await.expect(200).json();
    assert_eq!(
        (&payment["status"], &payment["amount_captured"]),
        (&json!("succeeded"), &json!(400))
    );
    let captured = world.sandbox.stats().captured;
    assert_eq!(captured.values().sum::<i128>(), 1_300, "{captured:?}");
}

async fn a_hold_is_given_back(backend: Backend) {
    let world = World::start(backend).await;
    let payment = authorized(&world, "k", 900).await;
    assert_eq!(world.charges(), 1);
    let cancel = path(&payment, "cancel");
    let first = send(bare(&world, &cancel, "v")).await.expect(200);
    assert_eq!(first.json()["status"], "canceled");
    assert_eq!(world.charges(), 0);
    let again = send(asking(&world, &cancel, "v", &json!({})))
        .await
        .expect(200);
    assert!(again.is_replayed() && again.body == first.body);
    // The creation was settled before: its answer does not change.
    assert_eq!(
        world.get(&payment).await.expect(200).json()["status"],
        "canceled"
    );
}

async fn rule_22_what_the_state_or_the_amount_does_not_allow_spends_no_key(backend: Backend) {
    let world = World::start(backend).await;
    let done = succeeded(&world, "done", 900).await;
    for action in ["capture", "cancel"] {
        let answer = send(bare(&world, &path(&done, action), "k")).await;
        let problem = answer.expect_problem(409, "illegal_state");
        assert_eq!(problem["payment"]["status"], "succeeded");
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.starts_with("The payment is succeeded; only"),
            "{detail}"
        );
    }
    let held = authorized(&world, "held", 900).await;
    let capture = path(&held, "capture");
    let problem = send(asking(&world, &capture, "k", &json!({"amount": 901})))
        .await
        .expect_problem(422, "amount_exceeds_available");
    assert_eq!(problem["errors"][0]["pointer"], "/amount");
    let detail = problem["errors"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("at most 900"), "{detail}");
    assert!(told(&world, &held, "operation_begun").await.is_empty());

    send(asking(&world, &capture, "k", &json!({"amount": 900})))
        .await
        .expect(200);
}

async fn rule_20_a_key_of_one_operation_is_no_other_s(backend: Backend) {
    let world = World::start(backend).await;
    let (one, two) = (
        authorized(&world, "k-1", 900).await,
        authorized(&world, "k-2", 900).await,
    );
    send(bare(&world, &path(&one, "capture"), "c"))
        .await
        .expect(200);
    for (to, key, body) in [
        (path(&one, "cancel"), "c", json!({})),
        (path(&two, "capture"), "c", json!({})),
        (path(&one, "refunds"), "c", json!({})),
        (path(&one, "capture"), "c", json!({"amount": 900})),
        (path(&two, "capture"), "k-1", json!({})),
        (path(&two, "capture"), "k-2", json!({})),
        ("/payments".to_owned(), "c", eur(900)),
    ] {
        let answer = send(asking(&world, &to, key, &body)).await;
        drop(answer.expect_problem(422, "idempotency_key_reused"));
    }
    assert_eq!(
        world.get(&two).await.expect(200).json()["status"],
        "authorized"
    );
}

async fn rule_14_of_a_capture_and_a_cancel_at_once_exactly_one_wins(backend: Backend) {
    let world = World::start(backend).await;
    world.latency_ms(30.0).await;
    for round in 0..8 {
        let payment = authorized(&world, &format!("k-{round}"), 900).await;
        let (capture, cancel) = (path(&payment, "capture"), path(&payment, "cancel"));
        let (capture_key, cancel_key) = (format!("c-{round}"), format!("v-{round}"));
        let (captured, canceled) = tokio::join!(
            send(bare(&world, &capture, &capture_key)),
            send(bare(&world, &cancel, &cancel_key)),
        );
        let (won, lost) = match captured.status {
            200 => (captured.json(), canceled),
            _ => (canceled.expect(200).json(), captured),
        };
        let code = lost.json()["code"].as_str().unwrap().to_owned();
        assert!(
            ["operation_in_progress", "illegal_state"].contains(&code.as_str()),
            "{code}"
        );
        drop(lost.expect_problem(409, &code));
        assert_eq!(world.get(&payment).await.json()["status"], won["status"]);
    }
    let (stats, charges) = (world.sandbox.stats(), world.charges());
    let captured = stats.captured.values().sum::<i128>();
    assert_eq!(
        captured,
        900 * charges as i128,
        "what is held no more was captured"
    );
}

async fn the_same_key_at_once_is_one_operation(backend: Backend) {
    let world = World::start(backend).await;
    world.latency_ms(100.0).await;
    let payment = authorized(&world, "k", 900).await;
    let capture = path(&payment, "capture");
    let answers = join_all((0..20).map(|_| send(bare(&world, &capture, "c")))).await;
    let first = answers[0].clone().expect(200);
    assert!(
        answers
            .iter()
            .all(|answer| answer.status == 200 && answer.body == first.body)
    );
    assert_eq!(
        answers
            .iter()
            .filter(|answer| !answer.is_replayed())
            .count(),
        1
    );
    assert_eq!(told(&world, &payment, "operation_begun").await.len(), 1);
    assert_eq!(world.sandbox.stats().requests["capture"], 1);
}

async fn rule_11_canceling_a_pending_payment_spends_its_key(backend: Backend) {
    let world = World::start(backend).await;
    world
        .inject(FaultRule::new(FaultKind::RefuseConnection))
        .await;
    let problem = world
        .pay("k", &eur(900))
        .await
        .expect_problem(503, "provider_unavailable");
    let payment = format!("/payments/{}", problem["payment"]["id"].as_str().unwrap());
    let capture = send(bare(&world, &path(&payment, "capture"), "c")).await;
    drop(capture.expect_problem(409, "illegal_state"));
    let canceled = send(bare(&world, &path(&payment, "cancel"), "v"))
        .await
        .expect(200);
    assert_eq!(canceled.json()["status"], "canceled");
    world.sandbox.clear_faults().await;

    let spent = world.pay("k", &eur(900)).await;
    assert!(spent.is_replayed());
    let problem = spent.expect_problem(402, "payment_declined");
    assert_eq!(problem["payment"]["status"], "canceled");
    assert!(
        send(bare(&world, &path(&payment, "cancel"), "v"))
            .await
            .expect(200)
            .is_replayed()
    );
    assert_eq!(world.charges(), 0);
}

async fn a_capture_that_was_not_sent_waits_for_its_client(backend: Backend) {
    let world = World::start(backend).await;
    let payment = authorized(&world, "k", 900).await;
    world
        .inject(FaultRule::new(FaultKind::RefuseConnection))
        .await;
    let answer = send(bare(&world, &path(&payment, "capture"), "c")).await;
    assert!(answer.header("retry-after").is_some());
    let problem = answer.expect_problem(503, "provider_unavailable");
    assert_eq!(problem["payment"]["status"], "authorized");
    let cancel = send(bare(&world, &path(&payment, "cancel"), "v")).await;
    let problem = cancel.expect_problem(409, "operation_in_progress");
    assert!(
        problem["detail"].as_str().unwrap().contains("a capture"),
        "{problem}"
    );
    world.sandbox.clear_faults().await;

    let captured = send(bare(&world, &path(&payment, "capture"), "c"))
        .await
        .expect(200);
    assert!(!captured.is_replayed());
    assert_eq!(captured.json()["status"], "succeeded");
    assert_eq!(the_charge(&world).amount_captured, 900);
}

async fn what_the_provider_did_and_did_not_say_settles_by_itself(backend: Backend) {
    let world = impatient(backend, quick()).await;
    for (round, kind) in [
        FaultKind::ErrorAfter,
        FaultKind::HangAfter,
        FaultKind::ResetAfter,
    ]
    .into_iter()
    .enumerate()
    {
        for (action, class, status) in [
            ("capture", CallClass::Capture, "succeeded"),
            ("cancel", CallClass::Cancel, "canceled"),
        ] {
            let payment = authorized(&world, &format!("k-{round}-{action}"), 900).await;
            let before = world.sandbox.stats();
            world
                .inject(FaultRule::new(kind).on(&[class]).times(4))
                .await;
            let key = format!("o-{round}-{action}");
            let answer = send(bare(&world, &path(&payment, action), &key)).await;
            assert!(
                [200, 202].contains(&answer.status),
                "{kind:?} {action}: {answer:?}"
            );
            once(&world, &payment, "status", json!(status)).await;
            world.sandbox.clear_faults().await;
            let replay = send(bare(&world, &path(&payment, action), &key))
                .await
                .expect(200);
            assert_eq!(replay.json()["status"], status);
            let after = world.sandbox.stats();
            assert_eq!(after.executed, before.executed + 1, "{kind:?} {action}");
        }
    }
    assert_eq!(world.charges(), 3);
}

/// What is refused here never gets as far as a store.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_not_as_it_should_be_is_refused_by_name() {
    let world = World::start(Backend::Sqlite).await;
    let payment = authorized(&world, "k", 900).await;
    let (capture, cancel) = (path(&payment, "capture"), path(&payment, "cancel"));
    for (to, body, pointers) in [
        (&capture, json!({"amount": 0}), &["/amount"][..]),
        (&capture, json!({"amount": 100_000_000}), &["/amount"]),
        (
            &capture,
            json!({"amount": "9", "reason": "x"}),
            &["/amount", "/reason"],
        ),
        (&capture, json!({"amount": 1.5}), &["/amount"]),
        (&cancel, json!({"amount": 900}), &["/amount"]),
    ] {
        let problem = send(asking(&world, to, "c", &body)).await;
        let problem = problem.expect_problem(422, "validation_failed");
        let errors = problem["errors"].as_array().unwrap();
        let named: Vec<&Value> = errors.iter().map(|error| &error["pointer"]).collect();
        assert_eq!(named, pointers, "{problem}");
    }
    let card = json!({"note": "4242424242424242"});
    let answer = send(asking(&world, &capture, "c", &card)).await;
    drop(answer.expect_problem(422, "card_number_refused"));
    let answer = send(asking(&world, &capture, "c", &json!([]))).await;
    drop(answer.expect_problem(400, "malformed_request"));
    let text = bare(&world, &capture, "c").body("{\"amount\":1}");
    drop(
        send(text)
            .await
            .expect_problem(415, "unsupported_media_type"),
    );
    let keyless = world.request(Method::POST, &capture).bearer_auth(API_KEY);
    drop(
        send(keyless)
            .await
            .expect_problem(400, "idempotency_key_missing"),
    );
    let unknown = "/payments/pay_01h455vb4pex5vsknk084sn02q";
    let stranger = world.new_merchant("stranger");
    for action in ["capture", "cancel", "refunds"] {
        for payment in [unknown, "/payments/nonsense"] {
            let answer = send(bare(&world, &path(payment, action), "c")).await;
            drop(answer.expect_problem(404, "not_found"));
        }
        let theirs = world
            .request(Method::POST, &path(&payment, action))
            .bearer_auth(&stranger)
            .header("idempotency-key", "c");
        drop(send(theirs).await.expect_problem(404, "not_found"));
    }
    send(bare(&world, &capture, "c")).await.expect(200);
}
