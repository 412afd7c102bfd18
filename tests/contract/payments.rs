//! `POST /payments` and what comes of it.

use oncepay::sandbox::{ChargeFilter, FaultKind, FaultRule};
use serde_json::{Value, json};

use crate::harness::{Backend, World, eur, eventually, on_both_stores, send};

on_both_stores! {
    a_payment_has_every_member_of_the_contract_and_is_found_again
    a_manual_capture_is_authorized_and_holds_the_money
    a_decline_names_the_provider_s_reason_and_moves_nothing
    the_history_of_a_payment_is_numbered_and_tells_what_happened
    a_client_that_does_not_wait_gets_202_and_finds_the_payment_settled_later
}

async fn a_payment_has_every_member_of_the_contract_and_is_found_again(backend: Backend) {
    let world = World::start(backend).await;
    let request = json!({
        "amount": 4_200, "currency": "EUR", "payment_method": "pm_card_visa",
        "reference": "order-17", "description": "Two tickets", "metadata": {"seat": "12a", "row": "é"},
    });
    let answer = world.pay("k-17", &request).await.expect(201);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(
        answer
            .header("x-request-id")
            .is_some_and(|id| id.starts_with("req_"))
    );
    let payment = answer.json();
    let members: Vec<&str> = payment
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let mut expected = [
        "id",
        "object",
        "status",
        "amount",
        "currency",
        "amount_captured",
        "amount_refunded",
        "capture",
        "payment_method",
        "reference",
        "description",
        "metadata",
        "provider",
        "provider_reference",
        "failure",
        "idempotency_key",
        "in_doubt_since",
        "created_at",
        "updated_at",
    ];
    expected.sort_unstable();
    assert_eq!(members, expected);
    assert_eq!(payment["object"], "payment");
    assert_eq!(payment["status"], "succeeded");
    assert_eq!(payment["amount"], 4_200);
    assert_eq!(payment["amount_captured"], 4_200);
    assert_eq!(payment["amount_refunded"], 0);
    assert_eq!(payment["capture"], "automatic");
    assert_eq!(payment["reference"], "order-17");
    assert_eq!(payment["metadata"], json!({"seat": "12a", "row": "é"}));
    assert_eq!(payment["failure"], Value::Null);
    assert_eq!(payment["in_doubt_since"], Value::Null);
    assert_eq!(payment["idempotency_key"], "k-17");
    assert!(
        payment["provider_reference"]
            .as_str()
            .unwrap()
            .starts_with("pi_")
    );
    assert!(payment["created_at"].as_str().unwrap().ends_with('Z'));

    let path = answer.header("location").unwrap().to_owned();
    assert_eq!(world.get(&path).await.expect(200).body, answer.body);
    let id = payment["id"].as_str().unwrap();
    assert_eq!(
        world.charges_that(&ChargeFilter::metadata("oncepay_payment", id)),
        1
    );
}

async fn a_manual_capture_is_authorized_and_holds_the_money(backend: Backend) {
    let world = World::start(backend).await;
    let mut request = eur(900);
    request["capture"] = json!("manual");
    let payment = world.pay("k", &request).await.expect(201).json();
    assert_eq!(payment["status"], "authorized");
    assert_eq!(payment["amount_captured"], 0);
    assert_eq!(world.charges(), 1, "a hold counts");
}

async fn a_decline_names_the_provider_s_reason_and_moves_nothing(backend: Backend) {
    let world = World::start(backend).await;
    let mut request = eur(900);
    request["payment_method"] = json!("pm_card_chargeDeclinedInsufficientFunds");
    let problem = world
        .pay("k", &request)
        .await
        .expect_problem(402, "payment_declined");
    assert_eq!(problem["payment"]["status"], "failed");
    assert_eq!(problem["payment"]["failure"]["code"], "insufficient_funds");
    let path = format!("/payments/{}", problem["payment"]["id"].as_str().unwrap());
    assert_eq!(
        world.get(&path).await.expect(200).json()["status"],
        "failed"
    );
    assert_eq!(world.charges(), 0);
}

async fn the_history_of_a_payment_is_numbered_and_tells_what_happened(backend: Backend) {
    let world = World::start(backend).await;
    let answer = world.pay("k", &eur(4_200)).await.expect(201);
    let path = format!("{}/events", answer.header("location").unwrap());
    let events = world.get(&path).await.expect(200).json();
    assert_eq!(events["has_more"], false);
    let told: Vec<_> = events["data"].as_array().unwrap().iter().collect();
    assert_eq!(told.len(), 2);
    assert_eq!(
        (&told[0]["seq"], &told[0]["type"]),
        (&json!(1), &json!("created"))
    );
    assert_eq!(
        (&told[1]["seq"], &told[1]["type"]),
        (&json!(2), &json!("captured"))
    );
    assert_eq!(told[0]["data"]["amount"], 4_200);
    assert!(told[1]["created_at"].as_str() >= told[0]["created_at"].as_str());
}

async fn a_client_that_does_not_wait_gets_202_and_finds_the_payment_settled_later(
    backend: Backend,
) {
    let world = World::start(backend).await;
    world.latency_ms(700.0).await;
    for (key, prefer) in [("a", "respond-async"), ("b", "wait=0")] {
        let answer = send(world.paying(key, &eur(1)).header("prefer", prefer))
            .await
            .expect(202);
        assert!(answer.header("retry-after").is_some());
        assert_eq!(answer.json()["status"], "processing");
        let path = answer.header("location").unwrap().to_owned();
        eventually("it is settled", || async {
            (world.get(&path).await.json()["status"] == "succeeded").then_some(())
        })
        .await;
        let replay = world.pay(key, &eur(1)).await.expect(201);
        assert!(replay.is_replayed());
    }
    assert_eq!(world.charges(), 2);
}

on_both_stores! {
    rule_1_a_lost_answer_is_found_again_under_the_same_key
    rule_3_what_the_provider_has_not_finished_is_asked_after
    rule_3_an_approval_of_another_amount_is_not_believed
    rule_4_a_refused_connection_leaves_the_payment_pending_and_the_key_usable
}

async fn rule_1_a_lost_answer_is_found_again_under_the_same_key(backend: Backend) {
    let world = World::start(backend).await;
    world
        .inject(FaultRule::new(FaultKind::ResetAfter).times(1))
        .await;
    let payment = world.pay("k", &eur(4_200)).await.expect(201).json();
    assert_eq!(payment["status"], "succeeded");
    assert_eq!(world.charges(), 1);
    assert_eq!(world.sandbox.faults_fired(), [1]);
}

async fn rule_3_what_the_provider_has_not_finished_is_asked_after(backend: Backend) {
    let world = World::start(backend).await;
    let mut request = eur(4_200);
    request["payment_method"] = json!("pm_sandbox_processing");
    let payment = world.pay("processing", &request).await.expect(201).json();
    assert_eq!(payment["status"], "succeeded");
    assert_eq!(world.charges(), 1);

    request["payment_method"] = json!("pm_sandbox_requires_action");
    let problem = world
        .pay("action", &request)
        .await
        .expect_problem(402, "payment_declined");
    assert_eq!(
        problem["payment"]["failure"]["code"],
        "authentication_required"
    );
    assert_eq!(world.charges(), 1, "canceled at the provider");
}

async fn rule_3_an_approval_of_another_amount_is_not_believed(backend: Backend) {
    let world = World::start(backend).await;
    let mut request = eur(4_200);
    request["payment_method"] = json!("pm_sandbox_wrong_amount");
    let payment = world.pay("k", &request).await.expect(202).json();
    assert_eq!(payment["status"], "processing");
    assert!(payment["in_doubt_since"].is_string(), "{payment}");
    eventually("the log says who must look", || async {
        let log = world.server.output();
        log.contains("a person must look").then_some(())
    })
    .await;
}

async fn rule_4_a_refused_connection_leaves_the_payment_pending_and_the_key_usable(
    backend: Backend,
) {
    let world = World::start(backend).await;
    world
        .inject(FaultRule::new(FaultKind::RefuseConnection))
        .await;
    let answer = world.pay("k", &eur(4_200)).await;
    assert!(answer.header("retry-after").is_some());
    let problem = answer.expect_problem(503, "provider_unavailable");
    assert_eq!(problem["payment"]["status"], "pending");
    assert_eq!(world.charges(), 0);
    world.sandbox.clear_faults().await;

    let payment = world.pay("k", &eur(4_200)).await.expect(201);
    assert!(!payment.is_replayed());
    assert_eq!(payment.json()["id"], problem["payment"]["id"]);
    assert_eq!(world.charges(), 1);
}
