//! `POST /payments/{id}/refunds`, and what is read of refunds.

use futures_util::future::join_all;
use oncepay::sandbox::{CallClass, FaultKind, FaultRule};
use reqwest::Method;
use serde_json::{Value, json};

use super::asking::{
    asking, authorized, bare, impatient, once, quick, succeeded, the_charge, told,
};
use crate::harness::{Backend, World, eventually, on_both_stores, send};

on_both_stores! {
    a_refund_is_made_found_again_listed_and_replayed
    rule_14_refunds_at_once_never_exceed_what_was_captured
    more_than_is_left_is_refused_with_the_limit
    the_same_key_at_once_is_one_refund
    a_client_that_does_not_wait_finds_the_refund_settled_later
    what_the_provider_did_and_did_not_say_settles_by_itself
    a_refund_is_its_merchant_s_alone
}

fn refunds(payment: &str) -> String {
    format!("{payment}/refunds")
}

async fn a_refund_is_made_found_again_listed_and_replayed(backend: Backend) {
    let world = World::start(backend).await;
    let payment = succeeded(&world, "k", 900).await;
    let part = asking(&world, &refunds(&payment), "r-1", &json!({"amount": 300}));
    let first = send(part).await.expect(201);
    assert!(!first.is_replayed());
    let refund = first.json();
    let mut members: Vec<&String> = refund.as_object().unwrap().keys().collect();
    members.sort_unstable();
    assert_eq!(
        members,
        [
            "amount",
            "created_at",
            "failure",
            "id",
            "object",
            "payment",
            "status"
        ]
    );
    assert_eq!(
        (&refund["object"], &refund["amount"]),
        (&json!("refund"), &json!(300))
    );
    assert_eq!(
        (&refund["status"], &refund["failure"]),
        (&json!("succeeded"), &Value::Null)
    );
    assert_eq!(
        payment,
        format!("/payments/{}", refund["payment"].as_str().unwrap())
    );
    let location = first.header("location").unwrap();
    assert_eq!(
        location,
        format!("/refunds/{}", refund["id"].as_str().unwrap())
    );
    assert_eq!(world.get(location).await.expect(200).body, first.body);

    let rest = send(bare(&world, &refunds(&payment), "r-2"))
        .await
        .expect(201);
    assert_eq!(rest.json()["amount"], 600);
    let list = world.get(&refunds(&payment)).await.expect(200).json();
    assert_eq!(
        list,
        json!({"data": [rest.json(), refund], "has_more": false})
    );
    let after = world.get(&payment).await.expect(200).json();
    assert_eq!(
        (&after["status"], &after["amount_refunded"]),
        (&json!("succeeded"), &json!(900))
    );
    let charge = the_charge(&world);
    assert_eq!((charge.amount_refunded, charge.refunds), (900, 2));

    let again = send(asking(
        &world,
        &refunds(&payment),
        "r-1",
        &json!({"amount": 300}),
    ));
    let again = again.await.expect(201);
    assert!(again.is_replayed() && again.body == first.body);
    assert_eq!(again.header("location"), first.header("location"));
}

async fn rule_14_refunds_at_once_never_exceed_what_was_captured(backend: Backend) {
    let world = World::start(backend).await;
    let payment = succeeded(&world, "k", 100).await;
    world.latency_ms(30.0).await;
    let (to, body) = (refunds(&payment), json!({"amount": 10}));
    let keys: Vec<_> = (0..50).map(|n| format!("r-{n}")).collect();
    let answers = join_all(keys.iter().map(|key| send(asking(&world, &to, key, &body)))).await;
    let (made, refused): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|answer| answer.status == 201);
    assert_eq!(made.len(), 10);
    for answer in refused {
        let problem = answer.expect_problem(422, "amount_exceeds_available");
        assert_eq!(problem["errors"][0]["pointer"], "/amount");
    }
    let after = world.get(&payment).await.expect(200).json();
    assert_eq!(after["amount_refunded"], 100);
    let charge = the_charge(&world);
    assert_eq!((charge.amount_refunded, charge.refunds), (100, 10));
    let list = world.get(&to).await.expect(200).json();
    assert_eq!(list["data"].as_array().unwrap().len(), 10);
}

async fn more_than_is_left_is_refused_with_the_limit(backend: Backend) {
    let world = World::start(backend).await;
    let payment = succeeded(&world, "k", 100).await;
    send(asking(
        &world,
        &refunds(&payment),
        "r-1",
        &json!({"amount": 40}),
    ))
    .await
    .expect(201);
    let problem = send(asking(
        &world,
        &refunds(&payment),
        "r-2",
        &json!({"amount": 61}),
    ))
    .await
    .expect_problem(422, "amount_exceeds_available");
    assert_eq!(
        problem["detail"],
        "61 was asked for, and 60 can still be refunded."
    );
    assert_eq!(problem["payment"]["amount_refunded"], 40);
    // The key is not spent.
    send(asking(
        &world,
        &refunds(&payment),
        "r-2",
        &json!({"amount": 60}),
    ))
    .await
    .expect(201);
    let problem = send(bare(&world, &refunds(&payment), "r-3"))
        .await
        .expect_problem(422, "amount_exceeds_available");
    assert_eq!(problem["detail"], "Nothing is left to be refunded.");

    let held = authorized(&world, "held", 100).await;
    let problem = send(bare(&world, &refunds(&held), "r-4")).await;
    drop(problem.expect_problem(409, "illegal_state"));
}

async fn the_same_key_at_once_is_one_refund(backend: Backend) {
    let world = World::start(backend).await;
    let payment = succeeded(&world, "k", 100).await;
    world.latency_ms(100.0).await;
    let (to, body) = (refunds(&payment), json!({"amount": 10}));
    let answers = join_all((0..20).map(|_| send(asking(&world, &to, "r", &body)))).await;
    let first = answers[0].clone().expect(201);
    assert!(
        answers
            .iter()
            .all(|answer| answer.status == 201 && answer.body == first.body)
    );
    assert_eq!(
        answers
            .iter()
            .filter(|answer| !answer.is_replayed())
            .count(),
        1
    );
    assert_eq!(the_charge(&world).amount_refunded, 10);
    assert_eq!(told(&world, &payment, "refunded").await.len(), 1);
}

async fn a_client_that_does_not_wait_finds_the_refund_settled_later(backend: Backend) {
    let world = World::start(backend).await;
    let payment = succeeded(&world, "k", 100).await;
    world.latency_ms(700.0).await;
    let refund = bare(&world, &refunds(&payment), "r").header("prefer", "respond-async");
    let answer = send(refund).await.expect(202);
    assert!(answer.header("retry-after").is_some());
    assert_eq!(
        (&answer.json()["object"], &answer.json()["status"]),
        (&json!("refund"), &json!("processing"))
    );
    let path = answer.header("location").unwrap().to_owned();
    eventually("the refund is settled", || async {
        (world.get(&path).await.expect(200).json()["status"] == "succeeded").then_some(())
    })
    .await;
    assert!(
        send(bare(&world, &refunds(&payment), "r"))
            .await
            .expect(201)
            .is_replayed()
    );
    assert_eq!(the_charge(&world).refunds, 1);
}

async fn what_the_provider_did_and_did_not_say_settles_by_itself(backend: Backend) {
    let world = impatient(backend, quick()).await;
    let payment = succeeded(&world, "k", 900).await;
    let kinds = [
        FaultKind::ErrorAfter,
        FaultKind::HangAfter,
        FaultKind::ResetAfter,
    ];
    for (kind, total) in kinds.into_iter().zip([100, 200, 300]) {
        world
            .inject(FaultRule::new(kind).on(&[CallClass::Refund]).times(4))
            .await;
        let (key, body) = (format!("r-{total}"), json!({"amount": 100}));
        let answer = send(asking(&world, &refunds(&payment), &key, &body)).await;
        assert!([201, 202].contains(&answer.status), "{kind:?}: {answer:?}");
        once(&world, &payment, "amount_refunded", json!(total)).await;
        world.sandbox.clear_faults().await;
        let replay = send(asking(&world, &refunds(&payment), &key, &body))
            .await
            .expect(201);
        assert_eq!(replay.json()["status"], "succeeded");
        assert_eq!(the_charge(&world).amount_refunded, total, "{kind:?}");
    }
    assert_eq!(the_charge(&world).refunds, 3);
}

async fn a_refund_is_its_merchant_s_alone(backend: Backend) {
    let world = World::start(backend).await;
    let payment = succeeded(&world, "k", 900).await;
    let answer = send(bare(&world, &refunds(&payment), "r"))
        .await
        .expect(201);
    let refund = answer.header("location").unwrap().to_owned();
    let stranger = world.new_merchant("stranger");
    for path in [&refund, &refunds(&payment)] {
        let theirs = world.request(Method::GET, path).bearer_auth(&stranger);
        drop(send(theirs).await.expect_problem(404, "not_found"));
    }
    // The id of another thing, and of another kind of operation.
    let held = authorized(&world, "held", 900).await;
    send(bare(&world, &format!("{held}/capture"), "c"))
        .await
        .expect(200);
    let begun = told(&world, &held, "operation_begun").await;
    let capture = begun[0]["data"]["operation"].as_str().unwrap();
    let as_refund = capture.replace("opn_", "/refunds/ref_");
    for path in [
        as_refund.as_str(),
        "/refunds/nonsense",
        "/refunds/ref_01h455vb4pex5vsknk084sn02q",
    ] {
        drop(world.get(path).await.expect_problem(404, "not_found"));
    }
    let none = world.get(&refunds(&held)).await.expect(200).json();
    assert_eq!(none, json!({"data": [], "has_more": false}));
}
