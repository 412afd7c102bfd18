//! What the database itself refuses, whoever asks.

use oncepay::payment::Standing;

use crate::{
    store::fixture::{Fixture, on_both_stores, only},
    store::samples::captured,
};

on_both_stores! {
    an_event_is_never_changed_or_deleted,
    a_merchant_is_never_deleted,
    amounts_stay_within_each_other,
    rule_14_what_is_reserved_counts_as_spent,
    rule_14_a_payment_has_one_open_capture_or_cancel,
    a_value_outside_its_list_is_refused,
}

async fn captured_payment(at: &Fixture) -> Standing {
    let begun = at.begin(at.intent("k")).await.unwrap();
    let settle = at.change(&begun, captured("pi_1"));
    only(at.store.change(vec![settle]).await).unwrap()
}

async fn refused(at: &Fixture, sql: &str, by: &str) {
    let refusal = at.sql(sql).await.expect_err(sql).to_lowercase();
    assert!(refusal.contains(by), "{sql}: {refusal}");
}

async fn an_event_is_never_changed_or_deleted(at: Fixture) {
    captured_payment(&at).await;

    refused(&at, "update payment_events set data = '{}'", "refused").await;
    refused(&at, "delete from payment_events", "refused").await;
    if matches!(at.url, oncepay::store::StoreUrl::Postgres(_)) {
        refused(&at, "truncate payment_events", "refused").await;
        refused(&at, "truncate merchants cascade", "refused").await;
    }
}

async fn a_merchant_is_never_deleted(at: Fixture) {
    refused(&at, "delete from merchants", "refused").await;

    at.sql("update merchants set disabled_at = 1")
        .await
        .unwrap();
}

async fn amounts_stay_within_each_other(at: Fixture) {
    captured_payment(&at).await;

    for bad in [
        "amount = 0, amount_captured = 0",
        "amount = 100000000",
        "amount_captured = 4201",
        "amount_captured = -1",
        "amount_refunded = 4201",
        "amount_refunded = -1",
    ] {
        refused(&at, &format!("update payments set {bad}"), "payments_").await;
    }
    let refund = "update payments set amount_refunded = 4200";
    at.sql(refund).await.unwrap();
}

async fn rule_14_what_is_reserved_counts_as_spent(at: Fixture) {
    captured_payment(&at).await;

    let half = "update payments set amount_refunded = 2200, refund_reserved = 2000";
    at.sql(half).await.unwrap();
    for bad in [
        "refund_reserved = 2001",
        "refund_reserved = -1",
        "amount_captured = 2200, capture_reserved = 2001",
        "capture_reserved = 1",
    ] {
        refused(&at, &format!("update payments set {bad}"), "payments_").await;
    }
}

async fn rule_14_a_payment_has_one_open_capture_or_cancel(at: Fixture) {
    let standing = captured_payment(&at).await;
    let columns = "payment_id, merchant_id, mode, fingerprint_version, fingerprint, request_id, \
        epoch, owner, lease_until, provider, account, api_version, provider_key, \
        provider_request, first_sent_at, in_doubt, amount_reserved, recovery_tries, \
        next_recovery_at, created_at";
    let another = |key: &str, kind: &str| {
        let id = at.environment.new_id::<oncepay::payment::OperationId>();
        let uuid = id.as_uuid().simple();
        format!(
            "insert into operations (id, idempotency_key, kind, state, {columns}) \
            select 'opn_{uuid}', '{key}', '{kind}', 'open', {columns} \
            from operations where id = '{}'",
            standing.operation.id
        )
    };

    at.sql(&another("c1", "capture")).await.unwrap();
    refused(&at, &another("c2", "cancel"), "unique").await;
    refused(&at, &another("c3", "capture"), "unique").await;
    at.sql(&another("r1", "refund")).await.unwrap();
    at.sql(&another("r2", "refund")).await.unwrap();
    refused(&at, &another("r2", "refund"), "unique").await;
}

async fn a_value_outside_its_list_is_refused(at: Fixture) {
    captured_payment(&at).await;

    for bad in [
        "payments set status = 'paid'",
        "payments set mode = 'dry'",
        "payments set capture = 'later'",
        "payments set currency = 'EURO'",
        "operations set state = 'done'",
        "operations set kind = 'charge'",
        "operations set state = 'open'",
        "operations set answer_status = null, answer_location = null, answer_body = null",
        "operations set idempotency_key = ''",
        "payments set idempotency_key = ''",
        "operations set epoch = -1",
    ] {
        refused(&at, &format!("update {bad}"), "check").await;
    }
}
