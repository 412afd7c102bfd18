//! What an answer to a question means.

use super::*;

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
fn rule_3_a_mismatch_that_was_canceled_ends_as_declined() {
    let other = |more: Value| merged(json!({"amount": 4_201}), more);
    let table = [
        (other(json!({})), "declined payment_canceled pi_1"),
        (
            other(json!({"amount_received": 1})),
            "in_doubt mismatch pi_1",
        ),
        (
            other(json!({"amount_received": null})),
            "in_doubt mismatch pi_1",
        ),
        (other(json!({"metadata": {}})), "in_doubt mismatch pi_1"),
        (other(json!({"object": "charge"})), "in_doubt mismatch pi_1"),
    ];
    for (other, expected) in table {
        let answer = answer(200, &intent_but("canceled", other));
        let outcome = of_lookup(&answer, &call(Capture::Automatic, true), "pi_1");
        assert_eq!(line(&outcome), expected, "{answer:?}");
    }
}

/// Its row was lost, and the one that stands has other ids.
#[test]
fn rule_6_what_was_made_for_the_same_request_under_the_same_key_is_ours() {
    let marks = |key: &str, fingerprint: &str| {
        json!({"metadata": {
            "oncepay_operation": "opn_00000000000000000000000009",
            "oncepay_payment": "pay_00000000000000000000000009",
            "oncepay_merchant": "mer_00000000000000000000000002",
            "oncepay_mode": "test",
            "oncepay_key": key,
            "oncepay_fingerprint": fingerprint,
        }})
    };
    let (same, other) = (
        format!("1:{}", "a7".repeat(32)),
        format!("1:{}", "a8".repeat(32)),
    );
    for (marks, expected) in [
        (marks("order-17", &same), "approved Captured pi_1"),
        (marks("order-17", &other), "in_doubt mismatch pi_1"),
        (marks("order-18", &same), "in_doubt mismatch pi_1"),
    ] {
        let shown = answer(200, &intent_but("succeeded", marks.clone()));
        let outcome = of_lookup(&shown, &call(Capture::Automatic, true), "pi_1");
        assert_eq!(line(&outcome), expected, "{marks}");
    }
}

#[test]
fn rule_3_a_hold_that_somebody_has_captured_was_authorized() {
    for (method, expected) in [
        ("manual", "approved Authorized pi_1"),
        ("automatic", "in_doubt mismatch pi_1"),
    ] {
        let shown = intent_but("succeeded", json!({"capture_method": method}));
        let outcome = of_lookup(&answer(200, &shown), &call(Capture::Manual, true), "pi_1");
        assert_eq!(line(&outcome), expected, "{method}");
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
