//! What does not settle, and what was not sent.

use super::*;

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
