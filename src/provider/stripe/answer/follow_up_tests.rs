//! What answers mean for captures, cancels and refunds, as tables.

use serde_json::{Value, json};

use super::*;
use crate::{
    payment::{Capture, Fingerprint, Id, IdempotencyKey, Mode, Money},
    provider::{Expected, Identity},
};

const KINDS: [OperationKind; 3] = [
    OperationKind::Capture,
    OperationKind::Cancel,
    OperationKind::Refund,
];

fn call(kind: OperationKind, first_attempt: bool) -> Call {
    Call {
        kind,
        target: Some("pi_1".into()),
        key: "key".into(),
        api_version: "2024-06-20".into(),
        request: b"amount=1100".to_vec(),
        expected: Expected {
            operation_id: Id::from_uuid(uuid::Uuid::from_u128(4)),
            payment_id: Id::from_uuid(uuid::Uuid::from_u128(1)),
            money: Money::new(1_100, "EUR".parse().unwrap()).unwrap(),
            capture: Capture::Manual,
            identity: Identity {
                merchant_id: Id::from_uuid(uuid::Uuid::from_u128(2)),
                mode: Mode::Test,
                payment_key: IdempotencyKey::new("order-17").unwrap(),
                key: IdempotencyKey::new("refund-1").unwrap(),
                fingerprint: Fingerprint {
                    version: 1,
                    digest: [0xa7; 32],
                },
            },
        },
        first_attempt,
        request_id: Id::from_uuid(uuid::Uuid::from_u128(9)),
    }
}

fn answer(status: u16, replayed: bool, body: &Value) -> Answer {
    Answer {
        status,
        replayed,
        retry_after: None,
        body: Some(body.to_string().into_bytes()),
    }
}

fn intent(status: &str, other: Value) -> Value {
    merged(
        json!({
            "id": "pi_1", "object": "payment_intent", "status": status, "amount": 4_200,
            "amount_received": 0, "currency": "eur",
            "metadata": {"oncepay_payment": "pay_00000000000000000000000001"},
        }),
        other,
    )
}

fn refund(status: &str, other: Value) -> Value {
    merged(
        json!({
            "id": "re_1", "object": "refund", "status": status, "amount": 1_100,
            "currency": "eur", "payment_intent": "pi_1",
            "metadata": {"oncepay_operation": "opn_00000000000000000000000004"},
        }),
        other,
    )
}

fn merged(mut one: Value, other: Value) -> Value {
    if let (Some(one), Value::Object(other)) = (one.as_object_mut(), other) {
        one.extend(other);
    }
    one
}

fn error(kind: &str, code: &str) -> Value {
    json!({"error": {"type": kind, "code": code, "payment_intent": intent("canceled", json!({}))}})
}

/// Kind, code or reason, reference, how the payment stands, and whether the object is to be asked.
fn line(told: &Told) -> String {
    let (outcome, asks) = match told {
        Told::All(outcome) => (outcome, ""),
        Told::AskObject(outcome) => (outcome, "ask, else "),
    };
    let words = match outcome {
        Outcome::Approved(it) => format!("approved {:?} {}", it.approved_as, it.reference),
        Outcome::Declined(it) => {
            let stands = it.stands.map(|stands| format!(" {stands:?}"));
            let door = if it.at_the_door { " at the door" } else { "" };
            format!("declined {}{door}{}", it.code, stands.unwrap_or_default())
        }
        Outcome::NotSent(it) => format!("not_sent {}", it.reason.as_str()),
        Outcome::InDoubt(it) => {
            let reference = it.reference.as_ref().map(|it| format!(" {it}"));
            format!(
                "in_doubt {}{}",
                it.reason.as_str(),
                reference.unwrap_or_default()
            )
        }
    };
    format!("{asks}{words}")
}

fn check(kind: OperationKind, first_attempt: bool, table: &[(Answer, &str)]) {
    for (answer, expected) in table {
        let told = of_attempt(answer, &call(kind, first_attempt));
        assert_eq!(line(&told), *expected, "{kind:?} {answer:?}");
    }
}

#[test]
fn rule_3_a_capture_is_approved_by_an_intent_that_received_what_was_asked() {
    let ok = |status: &str, other: Value| answer(200, false, &intent(status, other));
    let received = |amount: Value| json!({ "amount_received": amount });
    check(
        OperationKind::Capture,
        false,
        &[
            (
                ok("succeeded", received(json!(1_100))),
                "approved Captured pi_1",
            ),
            (
                ok("succeeded", received(json!(4_200))),
                "declined payment_captured Captured { amount: 4200 }",
            ),
            (
                ok("succeeded", received(json!(null))),
                "in_doubt mismatch pi_1",
            ),
            (
                ok("canceled", json!({})),
                "declined payment_canceled Voided",
            ),
            (
                ok("requires_payment_method", json!({})),
                "declined payment_canceled Voided",
            ),
            (ok("requires_capture", json!({})), "in_doubt unfinished"),
            (ok("processing", json!({})), "in_doubt unfinished pi_1"),
            (
                ok("canceled", json!({"id": "pi_2"})),
                "in_doubt mismatch pi_2",
            ),
            (
                ok("canceled", json!({"metadata": {}})),
                "in_doubt mismatch pi_1",
            ),
            (
                ok("canceled", json!({"currency": "usd"})),
                "in_doubt mismatch pi_1",
            ),
            (
                ok("canceled", json!({"object": "refund"})),
                "in_doubt mismatch pi_1",
            ),
            (answer(200, false, &json!([])), "in_doubt unreadable"),
        ],
    );
}

#[test]
fn rule_3_a_cancel_is_approved_by_a_canceled_intent() {
    let ok = |status: &str, other: Value| answer(200, false, &intent(status, other));
    check(
        OperationKind::Cancel,
        false,
        &[
            (ok("canceled", json!({})), "approved Voided pi_1"),
            (
                ok("succeeded", json!({"amount_received": 1_100})),
                "declined payment_captured Captured { amount: 1100 }",
            ),
            (ok("requires_capture", json!({})), "in_doubt unfinished"),
            (
                ok("requires_payment_method", json!({})),
                "in_doubt unfinished pi_1",
            ),
            (
                ok("canceled", json!({"id": "pi_2"})),
                "in_doubt mismatch pi_2",
            ),
        ],
    );
}

#[test]
fn rule_3_a_refund_is_approved_by_the_very_refund_when_it_succeeded() {
    let ok = |status: &str, other: Value| answer(200, false, &refund(status, other));
    check(
        OperationKind::Refund,
        false,
        &[
            (ok("succeeded", json!({})), "approved Refunded re_1"),
            (ok("pending", json!({})), "in_doubt unfinished re_1"),
            (ok("requires_action", json!({})), "in_doubt unfinished re_1"),
            (
                ok("a state of next year", json!({})),
                "in_doubt unfinished re_1",
            ),
            (ok("failed", json!({})), "declined refund_failed"),
            (ok("canceled", json!({})), "declined refund_canceled"),
            (
                ok("succeeded", json!({"amount": 1_101})),
                "in_doubt mismatch re_1",
            ),
            (
                ok("succeeded", json!({"currency": "usd"})),
                "in_doubt mismatch re_1",
            ),
            (
                ok("succeeded", json!({"metadata": {}})),
                "in_doubt mismatch re_1",
            ),
            (
                ok("failed", json!({"payment_intent": "pi_2"})),
                "in_doubt mismatch re_1",
            ),
            (
                ok("succeeded", json!({"id": "../x"})),
                "in_doubt unreadable",
            ),
            (
                answer(200, false, &intent("succeeded", json!({}))),
                "in_doubt mismatch pi_1",
            ),
        ],
    );
}

#[test]
fn rule_2_a_conflict_over_the_state_asks_the_object_and_a_validation_error_declines_only_at_first()
{
    let (invalid, card) = ("invalid_request_error", "card_error");
    for kind in KINDS {
        for first_attempt in [true, false] {
            for code in STATE_CONFLICTS {
                for replayed in [true, false] {
                    let refusal = answer(400, replayed, &error(invalid, code));
                    let expected = "ask, else in_doubt unfinished";
                    check(kind, first_attempt, &[(refusal, expected)]);
                }
            }
            check(
                kind,
                first_attempt,
                &[
                    (
                        answer(402, false, &error(card, "card_declined")),
                        "ask, else in_doubt unreadable",
                    ),
                    (
                        answer(400, true, &error(invalid, "amount_too_large")),
                        "ask, else in_doubt unreadable",
                    ),
                    (
                        answer(409, false, &error(invalid, "")),
                        "in_doubt key_in_use",
                    ),
                    (
                        answer(400, false, &error("idempotency_error", "")),
                        "in_doubt key_mismatch",
                    ),
                    (
                        answer(401, false, &error(invalid, "")),
                        "not_sent unauthorized",
                    ),
                    (
                        answer(429, false, &error(invalid, "")),
                        "not_sent rate_limited",
                    ),
                    (
                        answer(429, true, &error(invalid, "")),
                        "ask, else in_doubt unreadable",
                    ),
                    (
                        answer(500, false, &error("api_error", "")),
                        "in_doubt server_error",
                    ),
                    (
                        answer(500, true, &error("api_error", "")),
                        "in_doubt stored_server_error",
                    ),
                ],
            );
        }
        let too_large = || answer(400, false, &error(invalid, "amount_too_large"));
        check(
            kind,
            true,
            &[(too_large(), "declined amount_too_large at the door")],
        );
        check(
            kind,
            false,
            &[(too_large(), "ask, else in_doubt unreadable")],
        );
    }
}

#[test]
fn rule_2_a_refund_that_is_not_listed_is_declined_only_where_no_later_attempt_can_make_it() {
    let refusal =
        |code: &str, replayed| answer(400, replayed, &error("invalid_request_error", code));
    let declines = |answer: &Answer, kind, first_attempt| {
        refuses_refund(answer, &call(kind, first_attempt)).is_some()
    };
    let spent = refusal("charge_already_refunded", false);
    assert!(declines(&spent, OperationKind::Refund, false));
    assert!(!declines(&spent, OperationKind::Capture, false));
    let too_large = |replayed| refusal("amount_too_large", replayed);
    assert!(declines(&too_large(true), OperationKind::Refund, false));
    assert!(declines(&too_large(false), OperationKind::Refund, true));
    assert!(!declines(&too_large(false), OperationKind::Refund, false));
    let other = refusal("payment_intent_unexpected_state", true);
    assert!(!declines(&other, OperationKind::Refund, true));
}
