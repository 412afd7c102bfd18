//! A database with payments in it is brought up to date, and an older program still writes to it.

use std::fs;

use oncepay::{
    payment::{OperationKind, PaymentStatus, Standing},
    store::{StoreUrl, migrate},
};

use crate::{
    store::fixture::{Fixture, on_both_stores, only, open_store},
    store::samples::{captured, left_in_doubt, standing},
};

on_both_stores! {
    payments_of_the_schema_before_follow_ups_are_carried_on,
    a_program_of_the_schema_before_follow_ups_still_writes,
}

/// The columns of an operation that came with captures, cancels and refunds.
const NEW: [&str; 9] = [
    "in_doubt_since",
    "in_doubt_reason",
    "amount",
    "provider_reference",
    "resends_barred",
    "absent_at",
    "failure_code",
    "failure_message",
    "stray_reversed_at",
];

async fn go_back_before_follow_ups(at: &Fixture) {
    let dialect = match at.url {
        StoreUrl::Postgres(_) => "postgres",
        StoreUrl::Sqlite { .. } => "sqlite",
    };
    let root = env!("CARGO_MANIFEST_DIR");
    // Their tables and columns, and what stands on these.
    for (name, version) in [
        ("2026-11-26-090100_operations_loose_end", "20261126090100"),
        ("2026-11-26-090000_second_look", "20261126090000"),
        ("2026-11-25-190000_follow_ups", "20261125190000"),
    ] {
        let file = format!("{root}/migrations/{dialect}/{name}/down.sql");
        let down = fs::read_to_string(file).unwrap();
        let forget = format!("delete from __diesel_schema_migrations where version = '{version}'");
        for statement in down.split(';').chain([forget.as_str()]) {
            if !statement.trim().is_empty() {
                at.sql(statement).await.unwrap();
            }
        }
    }
    for column in NEW {
        let missing = format!("select {column} from operations");
        assert!(at.sql(&missing).await.is_err(), "{column} is still there");
    }
}

async fn payments_of_the_schema_before_follow_ups_are_carried_on(mut at: Fixture) {
    let doubted = at.payment_after("doubted", left_in_doubt()).await;
    let paid = at.payment_after("paid", captured("pi_1")).await;
    let open = at.begin(at.intent("open")).await.unwrap();
    go_back_before_follow_ups(&at).await;

    let run = migrate(&at.url).await.unwrap();
    at.store = open_store(&at.url).await;

    assert_eq!(run.len(), 3, "{run:?}");
    let read = async |key_of: &Standing| {
        let found = at.store.operation_by_id(key_of.operation.id).await;
        found.unwrap().unwrap()
    };
    let carried = read(&doubted).await;
    assert_eq!(carried.operation.amount, 4_200);
    assert_eq!(
        carried.operation.in_doubt_since,
        doubted.payment.in_doubt_since
    );
    assert_eq!(
        only(at.store.in_doubt(10).await.unwrap()).operation,
        carried.operation
    );
    assert_eq!(read(&open).await.operation, open.operation);
    let settled = at.changed(&carried, captured("pi_2")).await;
    assert_eq!(settled.payment.amount_captured, 4_200);
    let stands = read(&paid).await;
    assert_eq!(stands.payment, paid.payment);
    assert_eq!(stands.operation.answer, paid.operation.answer);
    let refund = at.follow_up(&paid.payment, OperationKind::Refund, "r", 4_200);
    assert!(standing(at.follow(refund).await).applied);
    let again = at.changed(&paid, captured("pi_1")).await;
    assert_eq!(again.operation.stray_reference, None, "the charge it knows");
}

async fn a_program_of_the_schema_before_follow_ups_still_writes(at: Fixture) {
    let begun = at.begin(at.intent("k")).await.unwrap();
    // As such a program leaves the row: it knows nothing of the new columns.
    let forget = |column: &&str| match *column {
        "amount" => "amount = 0".to_owned(),
        "resends_barred" => "resends_barred = (1 = 0)".to_owned(),
        column => format!("{column} = null"),
    };
    let forgotten: Vec<_> = NEW.iter().map(forget).collect();
    let leave = "in_doubt = (1 = 1), lease_until = first_sent_at, next_recovery_at = first_sent_at";
    let leave = format!("update operations set {leave}, {}", forgotten.join(", "));
    at.sql(&leave).await.unwrap();

    let listed = only(at.store.in_doubt(10).await.unwrap());
    let doubts = only(at.store.doubts().await.unwrap());

    let since = begun.operation.first_sent_at;
    assert_eq!(listed.operation.in_doubt_since, Some(since));
    assert_eq!((doubts.count, doubts.oldest_since), (1, since));
    let settled = at.changed(&listed, captured("pi_1")).await;
    assert_eq!(settled.payment.status, PaymentStatus::Succeeded);
    assert_eq!(settled.payment.amount_captured, 4_200);
    assert_eq!(at.payment(begun.payment.id).await, settled.payment);
    assert_eq!(at.store.in_doubt(10).await.unwrap(), []);
}
