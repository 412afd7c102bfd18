//! Every kind of answer, as one table.

use serde_json::{Value, json};

use super::*;
use crate::{
    payment::{Approval, ApprovedAs, Capture, Decline, Id, Money, OperationKind},
    provider::Expected,
};

fn of_charge(answer: &Answer, call: &Call) -> Outcome {
    match of_attempt(answer, call) {
        Told::All(outcome) => outcome,
        Told::AskObject(known) => panic!("a create asks after no object: {known:?}"),
    }
}

const OPERATION: &str = "opn_00000000000000000000000003";

fn call(capture: Capture, first_attempt: bool) -> Call {
    let body = format!("amount=4200&payment_method=pm_secret&capture_method={capture}");
    Call {
        kind: OperationKind::Create,
        target: None,
        key: "key".into(),
        api_version: "2024-06-20".into(),
        request: body.into_bytes(),
        expected: Expected {
            operation_id: Id::from_uuid(uuid::Uuid::from_u128(3)),
            payment_id: Id::from_uuid(uuid::Uuid::from_u128(1)),
            money: Money::new(4_200, "EUR".parse().unwrap()).unwrap(),
            capture,
        },
        first_attempt,
        request_id: Id::from_uuid(uuid::Uuid::from_u128(9)),
    }
}

fn answer(status: u16, body: &Value) -> Answer {
    Answer {
        status,
        replayed: false,
        retry_after: None,
        body: Some(body.to_string().into_bytes()),
    }
}

fn replayed(status: u16, body: &Value) -> Answer {
    Answer {
        replayed: true,
        ..answer(status, body)
    }
}

fn unparsed(status: u16, body: Option<&[u8]>) -> Answer {
    Answer {
        body: body.map(Into::into),
        ..answer(status, &Value::Null)
    }
}

fn intent(status: &str) -> Value {
    json!({
        "id": "pi_1", "object": "payment_intent", "status": status, "amount": 4_200,
        "amount_received": if status == "succeeded" { 4_200 } else { 0 },
        "currency": "eur", "metadata": {"oncepay_operation": OPERATION},
    })
}

/// `intent(status)` with the members of `other` in place of its own.
fn intent_but(status: &str, other: Value) -> Value {
    merged(intent(status), other)
}

fn error(kind: &str, other: Value) -> Value {
    json!({"error": merged(json!({"type": kind}), other)})
}

fn merged(mut one: Value, other: Value) -> Value {
    if let (Some(one), Value::Object(other)) = (one.as_object_mut(), other) {
        one.extend(other);
    }
    one
}

/// An outcome in one line: kind, reason or code, and reference.
fn line(outcome: &Outcome) -> String {
    let (words, reference) = match outcome {
        Outcome::Approved(it) => (
            format!("approved {:?}", it.approved_as),
            Some(&it.reference),
        ),
        Outcome::Declined(it) => (format!("declined {}", it.code), it.reference.as_ref()),
        Outcome::NotSent(it) => (format!("not_sent {}", it.reason.as_str()), None),
        Outcome::InDoubt(it) => (
            format!("in_doubt {}", it.reason.as_str()),
            it.reference.as_ref(),
        ),
    };
    match reference {
        Some(reference) => format!("{words} {reference}"),
        None => words,
    }
}

fn check(capture: Capture, first_attempt: bool, table: &[(Answer, &str)]) {
    for (answer, expected) in table {
        let outcome = of_charge(answer, &call(capture, first_attempt));
        assert_eq!(line(&outcome), *expected, "{answer:?}");
        let text = format!("{outcome:?}");
        assert!(!text.contains("pm_secret"), "{text}");
    }
}

#[test]
fn rule_3_only_the_very_payment_in_its_final_state_is_an_approval() {
    check(
        Capture::Automatic,
        true,
        &[
            (answer(200, &intent("succeeded")), "approved Captured pi_1"),
            (
                replayed(200, &intent("succeeded")),
                "approved Captured pi_1",
            ),
            (
                answer(200, &intent("requires_capture")),
                "in_doubt mismatch pi_1",
            ),
            (
                answer(200, &intent_but("succeeded", json!({"amount": 4_201}))),
                "in_doubt mismatch pi_1",
            ),
            (
                answer(200, &intent_but("succeeded", json!({"amount": null}))),
                "in_doubt mismatch pi_1",
            ),
            (
                answer(
                    200,
                    &intent_but("succeeded", json!({"amount_received": 4_199})),
                ),
                "in_doubt mismatch pi_1",
            ),
            (
                answer(200, &intent_but("succeeded", json!({"currency": "usd"}))),
                "in_doubt mismatch pi_1",
            ),
            (
                answer(200, &intent_but("succeeded", json!({"metadata": {}}))),
                "in_doubt mismatch pi_1",
            ),
            (
                answer(200, &intent_but("succeeded", json!({"metadata": null}))),
                "in_doubt mismatch pi_1",
            ),
            (
                answer(
                    200,
                    &intent_but(
                        "succeeded",
                        json!({"metadata": {"oncepay_operation": "opn_other"}}),
                    ),
                ),
                "in_doubt mismatch pi_1",
            ),
            (
                answer(200, &intent_but("succeeded", json!({"object": "charge"}))),
                "in_doubt mismatch pi_1",
            ),
            (
                answer(200, &intent_but("canceled", json!({"metadata": {}}))),
                "in_doubt mismatch pi_1",
            ),
            (
                answer(200, &intent_but("succeeded", json!({"id": "../x"}))),
                "in_doubt unreadable",
            ),
        ],
    );
    check(
        Capture::Manual,
        true,
        &[
            (
                answer(200, &intent("requires_capture")),
                "approved Authorized pi_1",
            ),
            (answer(200, &intent("succeeded")), "in_doubt mismatch pi_1"),
        ],
    );
}

#[test]
fn rule_3_an_intent_without_money_declines_and_an_unfinished_one_stays_in_doubt() {
    let funds = json!({"type": "card_error", "code": "card_declined",
        "decline_code": "insufficient_funds", "message": "No funds."});
    let failed = json!({ "last_payment_error": funds });
    let given_up = json!({"cancellation_reason": "abandoned"});
    for first_attempt in [true, false] {
        check(
            Capture::Automatic,
            first_attempt,
            &[
                (
                    answer(200, &intent("requires_payment_method")),
                    "declined card_declined pi_1",
                ),
                (
                    answer(200, &intent_but("requires_payment_method", failed.clone())),
                    "declined insufficient_funds pi_1",
                ),
                (
                    answer(200, &intent("canceled")),
                    "declined payment_canceled pi_1",
                ),
                (
                    answer(200, &intent_but("canceled", given_up.clone())),
                    "declined authentication_required pi_1",
                ),
                (
                    answer(200, &intent("processing")),
                    "in_doubt unfinished pi_1",
                ),
                (
                    answer(200, &intent("requires_action")),
                    "in_doubt unfinished pi_1",
                ),
                (
                    answer(200, &intent("requires_confirmation")),
                    "in_doubt unfinished pi_1",
                ),
                (
                    answer(200, &intent("a state of next year")),
                    "in_doubt unfinished pi_1",
                ),
            ],
        );
    }
}

#[test]
fn rule_2_a_card_error_declines_whoever_sent_first() {
    let funds = json!({"code": "card_declined", "decline_code": "insufficient_funds"});
    let body = |status: &str| {
        let shown = json!({ "payment_intent": intent(status) });
        error("card_error", merged(funds.clone(), shown))
    };
    let foreign = intent_but("requires_payment_method", json!({"metadata": {}}));
    let foreign = error("card_error", json!({ "payment_intent": foreign }));
    for first_attempt in [true, false] {
        check(
            Capture::Automatic,
            first_attempt,
            &[
                (
                    answer(402, &error("card_error", funds.clone())),
                    "declined insufficient_funds",
                ),
                (
                    answer(402, &error("card_error", json!({"code": "expired_card"}))),
                    "declined expired_card",
                ),
                (
                    answer(402, &error("card_error", json!({"code": "no code\n"}))),
                    "declined card_declined",
                ),
                (
                    answer(402, &body("requires_payment_method")),
                    "declined insufficient_funds pi_1",
                ),
                (
                    replayed(402, &body("requires_payment_method")),
                    "declined insufficient_funds pi_1",
                ),
                (answer(402, &body("succeeded")), "in_doubt unfinished pi_1"),
                (
                    answer(402, &body("requires_capture")),
                    "in_doubt unfinished pi_1",
                ),
                (answer(402, &body("processing")), "in_doubt unfinished pi_1"),
                (
                    answer(402, &body("requires_action")),
                    "in_doubt unfinished pi_1",
                ),
                (answer(402, &foreign), "in_doubt mismatch pi_1"),
                (
                    answer(402, &error("invalid_request_error", json!({}))),
                    "in_doubt unreadable",
                ),
                (
                    answer(400, &error("card_error", funds.clone())),
                    "in_doubt unreadable",
                ),
                (
                    unparsed(402, Some(b"Payment Required")),
                    "in_doubt unreadable",
                ),
                (unparsed(402, None), "in_doubt unreadable"),
            ],
        );
    }
}

#[test]
fn rule_2_a_validation_error_declines_only_the_first_attempt_ever_sent() {
    let small = error("invalid_request_error", json!({"code": "amount_too_small"}));
    let missing = error("invalid_request_error", json!({"code": "resource_missing"}));
    let bare = error("invalid_request_error", json!({}));
    let made = json!({ "payment_intent": intent("processing") });
    let made = error("invalid_request_error", made);
    check(
        Capture::Automatic,
        true,
        &[
            (answer(400, &small), "declined amount_too_small"),
            (answer(404, &missing), "declined resource_missing"),
            (answer(400, &bare), "declined invalid_request"),
            (answer(404, &bare), "in_doubt unreadable"),
            (replayed(400, &small), "in_doubt unreadable"),
            (answer(400, &made), "in_doubt unfinished pi_1"),
            (
                answer(400, &error("api_error", json!({}))),
                "in_doubt unreadable",
            ),
            (
                answer(400, &error("unheard_of", json!({}))),
                "in_doubt unreadable",
            ),
            (answer(413, &small), "in_doubt unreadable"),
            (
                answer(424, &error("api_error", json!({}))),
                "in_doubt unreadable",
            ),
            (unparsed(400, Some(b"<html>")), "in_doubt unreadable"),
            (unparsed(404, Some(b"")), "in_doubt unreadable"),
        ],
    );
    check(
        Capture::Automatic,
        false,
        &[
            (answer(400, &small), "in_doubt unreadable"),
            (answer(404, &missing), "in_doubt unreadable"),
            (answer(400, &bare), "in_doubt unreadable"),
            (answer(400, &made), "in_doubt unfinished pi_1"),
        ],
    );
}

#[test]
fn rule_2_conflicts_over_the_key_and_over_the_state_are_in_doubt() {
    let coded = |kind: &str, code: &str| error(kind, json!({ "code": code }));
    let mut table = vec![
        (
            answer(400, &error("idempotency_error", json!({}))),
            "in_doubt key_mismatch",
        ),
        (
            answer(409, &coded("idempotency_error", "idempotency_key_in_use")),
            "in_doubt key_in_use",
        ),
        (
            answer(400, &coded("idempotency_error", "idempotency_key_in_use")),
            "in_doubt key_in_use",
        ),
        (
            answer(409, &error("invalid_request_error", json!({}))),
            "in_doubt key_in_use",
        ),
        (unparsed(409, Some(b"Conflict")), "in_doubt key_in_use"),
        (
            answer(429, &coded("invalid_request_error", "lock_timeout")),
            "in_doubt key_in_use",
        ),
    ];
    for code in STATE_CONFLICTS {
        let bare = coded("invalid_request_error", code);
        let shown = json!({"code": code, "payment_intent": intent("succeeded")});
        let shown = error("invalid_request_error", shown);
        table.push((answer(400, &bare), "in_doubt unfinished"));
        table.push((answer(400, &shown), "in_doubt unfinished pi_1"));
        table.push((answer(409, &shown), "in_doubt unfinished pi_1"));
    }
    for first_attempt in [true, false] {
        check(Capture::Automatic, first_attempt, &table);
    }
}

#[test]
fn rule_4_only_the_provider_s_own_refusal_at_the_door_is_evidence_that_nothing_happened() {
    let own = error("invalid_request_error", json!({}));
    let made = json!({ "payment_intent": intent("processing") });
    let made = error("invalid_request_error", made);
    check(
        Capture::Automatic,
        false,
        &[
            (answer(401, &own), "not_sent unauthorized"),
            (answer(403, &own), "not_sent unauthorized"),
            (
                answer(401, &error("authentication_error", json!({}))),
                "not_sent unauthorized",
            ),
            (answer(429, &own), "not_sent rate_limited"),
            (
                answer(429, &error("rate_limit_error", json!({}))),
                "not_sent rate_limited",
            ),
            (replayed(429, &own), "in_doubt unreadable"),
            (replayed(401, &own), "in_doubt unreadable"),
            (answer(429, &made), "in_doubt unfinished pi_1"),
            (unparsed(401, Some(b"Unauthorized")), "in_doubt unreadable"),
            (
                unparsed(403, Some(b"<html>blocked</html>")),
                "in_doubt unreadable",
            ),
            (unparsed(429, Some(b"{}")), "in_doubt unreadable"),
            (unparsed(429, None), "in_doubt unreadable"),
            (
                answer(429, &json!({"error": "slow down"})),
                "in_doubt unreadable",
            ),
            (
                answer(429, &error("proxy", json!({}))),
                "in_doubt unreadable",
            ),
            (answer(503, &own), "in_doubt server_error"),
            (
                unparsed(503, Some(b"no healthy upstream")),
                "in_doubt server_error",
            ),
        ],
    );
    let limited = Answer {
        retry_after: Some(Duration::from_secs(7)),
        ..answer(429, &own)
    };
    let Outcome::NotSent(not_sent) = of_charge(&limited, &call(Capture::Automatic, true)) else {
        panic!("a 429 of the provider is no attempt");
    };
    assert_eq!(not_sent.retry_after, Some(Duration::from_secs(7)));
    assert_eq!(not_sent.detail, "HTTP 429 invalid_request_error");
}

#[test]
fn rule_5_a_stored_server_error_is_told_from_a_fresh_one() {
    let own = error("api_error", json!({}));
    let shown = error(
        "api_error",
        json!({ "payment_intent": intent("processing") }),
    );
    check(
        Capture::Automatic,
        true,
        &[
            (answer(500, &own), "in_doubt server_error"),
            (answer(502, &own), "in_doubt server_error"),
            (unparsed(500, None), "in_doubt server_error"),
            (answer(500, &shown), "in_doubt server_error pi_1"),
            (replayed(500, &own), "in_doubt stored_server_error"),
            (replayed(500, &shown), "in_doubt stored_server_error pi_1"),
        ],
    );
}

#[test]
fn what_is_not_understood_is_in_doubt() {
    let truncated = &intent("succeeded").to_string().into_bytes()[..40];
    check(
        Capture::Automatic,
        true,
        &[
            (unparsed(200, Some(b"")), "in_doubt unreadable"),
            (
                unparsed(200, Some(b"<html>welcome</html>")),
                "in_doubt unreadable",
            ),
            (unparsed(200, Some(truncated)), "in_doubt unreadable"),
            (unparsed(200, Some(b"[]")), "in_doubt unreadable"),
            (unparsed(200, Some(b"{}")), "in_doubt unreadable"),
            (unparsed(200, None), "in_doubt unreadable"),
            (answer(204, &Value::Null), "in_doubt unreadable"),
            (answer(302, &intent("succeeded")), "in_doubt unreadable"),
            (answer(304, &intent("succeeded")), "in_doubt unreadable"),
            (answer(101, &intent("succeeded")), "in_doubt unreadable"),
            (answer(600, &intent("succeeded")), "in_doubt unreadable"),
        ],
    );
}

#[test]
fn rule_9_a_look_up_that_finds_nothing_is_no_verdict() {
    let funds = error("card_error", json!({"code": "card_declined"}));
    let missing = error("invalid_request_error", json!({"code": "resource_missing"}));
    let own = error("invalid_request_error", json!({}));
    let other = intent_but("succeeded", json!({"id": "pi_2"}));
    let table = [
        (answer(200, &intent("succeeded")), "approved Captured pi_1"),
        (
            answer(200, &intent("requires_payment_method")),
            "declined card_declined pi_1",
        ),
        (
            answer(200, &intent("canceled")),
            "declined payment_canceled pi_1",
        ),
        (
            answer(200, &intent("processing")),
            "in_doubt unfinished pi_1",
        ),
        (
            answer(200, &intent("requires_action")),
            "in_doubt unfinished pi_1",
        ),
        (answer(200, &other), "in_doubt mismatch pi_1"),
        (
            answer(200, &intent_but("succeeded", json!({"metadata": {}}))),
            "in_doubt mismatch pi_1",
        ),
        (unparsed(200, Some(b"?")), "in_doubt unreadable pi_1"),
        (answer(404, &missing), "in_doubt unfinished pi_1"),
        (unparsed(404, Some(b"?")), "in_doubt unreadable pi_1"),
        (answer(400, &own), "in_doubt unfinished pi_1"),
        // Of the question, not of the operation.
        (answer(401, &own), "not_sent unauthorized"),
        (unparsed(401, Some(b"?")), "in_doubt unreadable pi_1"),
        (answer(402, &funds), "in_doubt unfinished pi_1"),
        (answer(409, &own), "in_doubt unfinished pi_1"),
        (answer(429, &own), "not_sent rate_limited"),
        (answer(500, &own), "in_doubt server_error pi_1"),
        (replayed(500, &own), "in_doubt server_error pi_1"),
        (answer(302, &own), "in_doubt unreadable pi_1"),
    ];
    for (answer, expected) in table {
        let outcome = of_lookup(&answer, &call(Capture::Automatic, true), "pi_1");
        assert_eq!(line(&outcome), expected, "{answer:?}");
    }
}

#[test]
fn rule_3_only_our_own_intent_that_waits_for_the_customer_may_be_canceled() {
    let waits = |answer: &Answer| awaits_customer(answer, &call(Capture::Automatic, true), "pi_1");
    assert!(waits(&answer(200, &intent("requires_action"))));
    assert!(waits(&answer(200, &intent("requires_confirmation"))));
    for no in [
        answer(200, &intent("succeeded")),
        answer(200, &intent("processing")),
        answer(200, &intent_but("requires_action", json!({"id": "pi_2"}))),
        answer(200, &intent_but("requires_action", json!({"metadata": {}}))),
        answer(500, &intent("requires_action")),
    ] {
        assert!(!waits(&no), "{no:?}");
    }
}

#[test]
fn a_decline_says_what_the_provider_said_but_never_the_means_of_payment() {
    let body = |message: &str| error("invalid_request_error", json!({ "message": message }));
    let outcome = |message: &str| {
        of_charge(
            &answer(400, &body(message)),
            &call(Capture::Automatic, true),
        )
    };
    let declined = |message: &str| {
        Outcome::Declined(Decline {
            code: "invalid_request".into(),
            message: message.into(),
            reference: None,
            at_the_door: true,
            stands: None,
        })
    };
    assert_eq!(
        outcome("No such PaymentMethod: 'pm_secret'"),
        declined("No such PaymentMethod: '…'")
    );
    assert_eq!(
        outcome("You sent 4242424242424242."),
        declined("The provider refused the request.")
    );
    assert_eq!(outcome("two\r\nlines\u{1b}[2J"), declined("two  lines [2J"));
}

#[test]
fn an_approval_names_the_provider_s_object() {
    let outcome = of_charge(
        &answer(200, &intent("succeeded")),
        &call(Capture::Automatic, false),
    );
    let approval = Approval {
        approved_as: ApprovedAs::Captured,
        reference: "pi_1".into(),
    };
    assert_eq!(outcome, Outcome::Approved(approval));
}
