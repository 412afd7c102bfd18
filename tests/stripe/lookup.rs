//! Asking how an object stands, and canceling one that waits for the customer.

use oncepay::provider::Found;
use tokio::{join, time::Instant};

use super::server::Server;
use super::*;
use crate::harness::eventually;

/// Answers `script` on one connection, and gives the outcome and the first line and idempotency
/// key of each request.
async fn inspect(script: &[(&str, String)]) -> (Outcome, Vec<String>) {
    let server = Server::start().await;
    let provider = provider(&server.url, PATIENCE);
    let call = call(&provider);
    let (outcome, requests) = join!(provider.inspect(&call, "pi_1"), async {
        let mut peer = server.accept().await;
        let mut requests = Vec::new();
        for (head, body) in script {
            requests.push(summary(&peer.request().await));
            peer.answer(head, body).await;
        }
        requests
    });
    (outcome, requests)
}

fn summary(request: &str) -> String {
    let first = request.lines().next().unwrap();
    let first = first.trim_end_matches(" HTTP/1.1");
    let key = request
        .lines()
        .find_map(|line| line.strip_prefix("idempotency-key: "));
    match key {
        Some(key) => format!("{first} {key}"),
        None => first.to_owned(),
    }
}

const GET: &str = "GET /v1/payment_intents/pi_1";
const CANCEL: &str = "POST /v1/payment_intents/pi_1/cancel oncepay_1_cancel";
const REFUSAL: &str =
    r#"{"error":{"type":"invalid_request_error","code":"payment_intent_unexpected_state"}}"#;

#[tokio::test]
async fn rule_3_the_state_of_the_object_decides() {
    for (status, expected) in [
        ("succeeded", "approved pi_1"),
        ("requires_payment_method", "declined card_declined"),
        ("processing", "in_doubt unfinished"),
    ] {
        let (outcome, requests) = inspect(&[("200 OK", intent(status))]).await;
        assert_eq!(line(&outcome), expected);
        assert_eq!(requests, [GET]);
    }
}

#[tokio::test]
async fn rule_3_a_payment_that_waits_for_the_customer_is_canceled_and_then_declined() {
    let (outcome, requests) = inspect(&[
        ("200 OK", intent("requires_action")),
        ("200 OK", intent("canceled")),
    ])
    .await;

    assert_eq!(line(&outcome), "declined authentication_required");
    assert_eq!(requests, [GET, CANCEL]);
}

#[tokio::test]
async fn rule_3_a_cancellation_that_is_refused_leaves_the_verdict_to_the_object() {
    for (status, expected) in [
        ("succeeded", "approved pi_1"),
        ("canceled", "declined authentication_required"),
        ("requires_action", "in_doubt unfinished"),
    ] {
        let (outcome, requests) = inspect(&[
            ("200 OK", intent("requires_action")),
            ("400 Bad Request", REFUSAL.into()),
            ("200 OK", intent(status)),
        ])
        .await;
        assert_eq!(line(&outcome), expected);
        assert_eq!(requests, [GET, CANCEL, GET]);
    }
}

#[tokio::test]
async fn rule_3_a_cancellation_without_an_answer_is_not_a_decline() {
    let server = Server::start().await;
    let provider = provider(&server.url, PATIENCE);
    let call = call(&provider);

    let (outcome, ()) = join!(provider.inspect(&call, "pi_1"), async {
        let mut peer = server.accept().await;
        peer.request().await;
        peer.answer("200 OK", &intent("requires_action")).await;
        peer.request().await;
        peer.reset();
    });

    assert_eq!(line(&outcome), in_doubt(InDoubtReason::ConnectionLost));
}

/// Who looks until a deadline begins no question that could not end before it.
#[tokio::test]
async fn a_find_that_waits_for_the_customer_is_judged_within_the_time_of_its_page() {
    let server = Server::start().await;
    let attempt = Duration::from_secs(12);
    let provider = provider(&server.url, attempt);
    let call = call(&provider);
    let mut search = search();
    let begun = Instant::now();
    let (found, requests) = join!(provider.find(&call, &mut search), async {
        let mut peer = server.accept().await;
        peer.request().await;
        eventually("most of its time is over", || async {
            (begun.elapsed() > attempt * 7 / 10).then_some(())
        })
        .await;
        let intent = intent("requires_action");
        let page = format!(r#"{{"object":"list","has_more":false,"data":[{intent}]}}"#);
        peer.answer("200 OK", &page).await;
        // Has no answer.
        (summary(&peer.request().await), peer)
    });
    assert!(begun.elapsed() < attempt * 27 / 20);
    assert_eq!(requests.0, GET);
    // It was met, and is not taken for refused.
    assert_eq!(found, Found::More);
    assert!(search.has_met());
}

#[tokio::test]
async fn rule_9_a_look_up_that_fails_is_no_verdict() {
    let missing = r#"{"error":{"type":"invalid_request_error","code":"resource_missing"}}"#;
    let (outcome, _) = inspect(&[("404 Not Found", missing.into())]).await;

    let Outcome::InDoubt(in_doubt) = outcome else {
        panic!("absence is no verdict");
    };
    assert_eq!(in_doubt.reference.as_deref(), Some("pi_1"));

    let nowhere = provider("http://127.0.0.1:1", PATIENCE);
    let outcome = nowhere.inspect(&call(&nowhere), "pi_1").await;
    // The question was not asked; of the operation that says nothing.
    assert_eq!(line(&outcome), not_sent(NotSentReason::ConnectFailed));
}

#[tokio::test]
async fn a_reference_that_is_no_id_gets_into_no_path() {
    let nowhere = provider("http://127.0.0.1:1", PATIENCE);
    for reference in ["", "../refunds", "pi_1/cancel", "pi_1?x", "pi 1", "pi_é"] {
        let outcome = nowhere.inspect(&call(&nowhere), reference).await;
        assert_eq!(line(&outcome), in_doubt(InDoubtReason::Mismatch));
    }
}
