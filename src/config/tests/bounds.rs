//! Values that are out of bounds, alone or beside another.

use super::*;

#[test]
fn a_value_out_of_bounds_is_named_with_its_limit() {
    for (name, value, setting, limit) in [
        (
            "ONCEPAY_DATABASE_POOL_MAX",
            "0",
            "database_pool_max",
            "1 to 200",
        ),
        ("ONCEPAY_HTTP_WORKERS", "257", "http_workers", "1 to 256"),
        (
            "ONCEPAY_LIMITS__IN_FLIGHT_MAX",
            "0",
            "limits.in_flight_max",
            "1 to 1000000",
        ),
        (
            "ONCEPAY_LIMITS__BODY_BYTES_MAX",
            "9",
            "limits.body_bytes_max",
            "1024 to 1048576",
        ),
        (
            "ONCEPAY_LIMITS__DEADLINE_MS",
            "0",
            "limits.deadline_ms",
            "100 to 300000",
        ),
        (
            "ONCEPAY_LIMITS__SHUTDOWN_TIMEOUT_S",
            "601",
            "limits.shutdown_timeout_s",
            "0 to 600",
        ),
        (
            "ONCEPAY_LIMITS__BATCH_ROWS_MAX",
            "5000",
            "limits.batch_rows_max",
            "1 to 4096",
        ),
        (
            "ONCEPAY_LIMITS__DUPLICATES_MAX",
            "0",
            "limits.duplicates_max",
            "1 to 65536",
        ),
        (
            "ONCEPAY_LIMITS__QUEUE_WAIT_MS",
            "9",
            "limits.queue_wait_ms",
            "10 to 60000",
        ),
        (
            "ONCEPAY_LIMITS__QUEUE_ROWS_MAX",
            "0",
            "limits.queue_rows_max",
            "1 to 1000000",
        ),
        (
            "ONCEPAY_LIMITS__CONNECTIONS_MAX",
            "0",
            "limits.connections_max",
            "1 to 1000000",
        ),
        (
            "ONCEPAY_LIMITS__HEAD_TIMEOUT_MS",
            "99",
            "limits.head_timeout_ms",
            "100 to 60000",
        ),
        (
            "ONCEPAY_LIMITS__BODY_TIMEOUT_MS",
            "60001",
            "limits.body_timeout_ms",
            "100 to 60000",
        ),
        (
            "ONCEPAY_LIMITS__SEND_TIMEOUT_MS",
            "99",
            "limits.send_timeout_ms",
            "100 to 60000",
        ),
        (
            "ONCEPAY_LIMITS__KEEP_ALIVE_S",
            "0",
            "limits.keep_alive_s",
            "1 to 3600",
        ),
        (
            "ONCEPAY_LIMITS__PROVIDER_CALLS_MAX",
            "0",
            "limits.provider_calls_max",
            "1 to 65536",
        ),
        (
            "ONCEPAY_LIMITS__PROVIDER_CALLS_MIN",
            "0",
            "limits.provider_calls_min",
            "1 to 65536",
        ),
        (
            "ONCEPAY_LIMITS__PENDING_TTL_S",
            "0",
            "limits.pending_ttl_s",
            "1 to 2592000",
        ),
        (
            "ONCEPAY_BREAKER__FAILURE_RATE_PERCENT",
            "101",
            "breaker.failure_rate_percent",
            "1 to 100",
        ),
        (
            "ONCEPAY_BREAKER__OPEN_MAX_S",
            "9",
            "breaker.open_max_s",
            "10 to 3600",
        ),
        (
            // The built-in sandbox's attempts take up to 10 s.
            "ONCEPAY_BREAKER__HALF_OPEN_MAX_S",
            "10",
            "breaker.half_open_max_s",
            "11 to 600",
        ),
        (
            "ONCEPAY_RETRY__BUDGET_PERCENT",
            "101",
            "retry.budget_percent",
            "0 to 100",
        ),
    ] {
        let text = refusal(&[(name, value)], "");
        assert_eq!(text, format!("{setting} is {value}, but must be {limit}"));
    }
}

/// Rule 13.
#[test]
fn rule_13_a_lease_outlasts_deadline_and_attempt_and_commit() {
    assert!(load(&[("ONCEPAY_LIMITS__LEASE_S", "45")], "").is_ok());
    let short = refusal(&[("ONCEPAY_LIMITS__LEASE_S", "44")], "");
    assert!(
        short.starts_with("limits.lease_s is 44, but must be 45 to 3600"),
        "{short}"
    );
    let slow = TWO.replace("retired = true", "attempt_timeout_ms = 20000");
    let short = refusal(&[("ONCEPAY_LIMITS__LEASE_S", "54")], &slow);
    assert!(short.contains("must be 55 to 3600"), "{short}");
}

#[test]
fn an_attempt_fits_into_the_deadline_and_connecting_into_the_attempt() {
    let slow = TWO.replace("retired = true", "attempt_timeout_ms = 20001");
    let text = refusal(&[], &slow);
    assert_eq!(
        text,
        "providers[1].attempt_timeout_ms is 20001, but must be 10 to 20000"
    );
    let quick = TWO.replace("retired = true", "attempt_timeout_ms = 500");
    let config = load(&[], &quick).unwrap();
    assert_eq!(config.providers[1].connect_timeout().as_millis(), 250);
    assert_eq!(config.providers[0].connect_timeout().as_millis(), 2_000);
    let text = refusal(&[], &quick.replace("500", "500\nconnect_timeout_ms = 500"));
    assert!(
        text.contains("connect_timeout_ms is 500, but must be 1 to 499"),
        "{text}"
    );
}
