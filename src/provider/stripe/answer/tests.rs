//! Every kind of answer, as one table.

mod doubts;
mod look_ups;
mod verdicts;

use serde_json::{Value, json};

use super::*;
use crate::{
    payment::{
        Approval, ApprovedAs, Capture, Decline, Fingerprint, Id, IdempotencyKey, Mode, Money,
        OperationKind,
    },
    provider::{Expected, Identity},
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
            identity: Identity {
                merchant_id: Id::from_uuid(uuid::Uuid::from_u128(2)),
                mode: Mode::Test,
                payment_key: IdempotencyKey::new("order-17").unwrap(),
                key: IdempotencyKey::new("order-17").unwrap(),
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
