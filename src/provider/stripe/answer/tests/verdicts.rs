//! What settles: approvals and declines.

use super::*;

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
