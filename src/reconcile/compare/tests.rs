//! What is a difference, and what is none.

use std::collections::BTreeMap;

use super::*;
use crate::payment::{Capture, CreatePayment, Id, IdempotencyKey, Mode, Money, Origin};

const THEN: Timestamp = Timestamp::from_micros(1_000_000);

fn payment(status: PaymentStatus) -> Payment {
    let request = CreatePayment {
        money: Money::new(4_200, "EUR".parse().unwrap()).unwrap(),
        payment_method: "pm_card_visa".into(),
        capture: Capture::Automatic,
        reference: None,
        description: None,
        metadata: BTreeMap::new(),
    };
    let origin = Origin {
        id: Id::from_uuid(uuid::Uuid::from_u128(1)),
        merchant_id: Id::from_uuid(uuid::Uuid::from_u128(2)),
        mode: Mode::Test,
        idempotency_key: IdempotencyKey::new("key").unwrap(),
        provider: "main".into(),
        created_at: THEN,
    };
    let moved = status == PaymentStatus::Succeeded;
    let holds = moved || status == PaymentStatus::Authorized;
    Payment {
        status,
        amount_captured: if moved { 4_200 } else { 0 },
        provider_reference: holds.then(|| "pi_1".to_owned()),
        ..Payment::new(request, origin)
    }
}

fn record(state: RecordState) -> Record {
    Record {
        reference: "pi_1".into(),
        created_at: THEN,
        state,
        amount: 4_200,
        currency: "EUR".into(),
        captured: if state == RecordState::Captured {
            4_200
        } else {
            0
        },
        refunded: 0,
        capture: Capture::Automatic,
        description: None,
        installation: None,
        payment_id: None,
        operation_id: None,
        origin: None,
        captured_by: None,
    }
}

fn kinds(payment: Option<&Payment>, records: &[Record]) -> Vec<&'static str> {
    kinds_with(payment, &[], records)
}

fn kinds_with(payment: Option<&Payment>, open: &[Open], records: &[Record]) -> Vec<&'static str> {
    match compare(payment, open, records, THEN) {
        Comparison::Equal => Vec::new(),
        Comparison::UnderWay => vec!["under_way"],
        Comparison::Differs(found) => found.iter().map(|one| one.kind.as_str()).collect(),
    }
}

#[test]
fn what_should_be_so_is_no_difference() {
    use {PaymentStatus as P, RecordState as R};
    let given_back = Record {
        refunded: 4_200,
        ..record(R::Captured)
    };
    for (status, records) in [
        (P::Succeeded, vec![record(R::Captured)]),
        (P::Authorized, vec![record(R::Held)]),
        (P::Failed, vec![record(R::Refused)]),
        (P::Failed, vec![]),
        (P::Failed, vec![given_back.clone()]),
        (P::Canceled, vec![record(R::Voided)]),
        (P::Pending, vec![]),
    ] {
        assert_eq!(kinds(Some(&payment(status)), &records), [""; 0], "{status}");
    }
    let second = Record {
        reference: "pi_2".into(),
        ..given_back
    };
    let both = [record(R::Captured), second];
    assert_eq!(
        kinds(Some(&payment(P::Succeeded)), &both),
        [""; 0],
        "it was given back"
    );
}

#[test]
fn a_status_that_contradicts_is_a_difference() {
    use {PaymentStatus as P, RecordState as R};
    for (status, state, expected) in [
        (P::Failed, R::Captured, vec!["status"]),
        (P::Failed, R::Held, vec!["status"]),
        (P::Canceled, R::Unfinished, vec!["status"]),
        (P::Pending, R::Captured, vec!["status"]),
        (P::Succeeded, R::Refused, vec!["status", "captured"]),
        (P::Authorized, R::Captured, vec!["status", "captured"]),
        (P::Authorized, R::Voided, vec!["status"]),
        (P::Processing, R::Captured, vec!["in_doubt"]),
    ] {
        let found = kinds(Some(&payment(status)), &[record(state)]);
        assert_eq!(found, expected, "{status} {state:?}");
    }
}

#[test]
fn what_only_one_side_has_is_a_difference() {
    let charge = record(RecordState::Captured);
    assert_eq!(kinds(None, std::slice::from_ref(&charge)), ["not_recorded"]);
    assert_eq!(
        kinds(None, &[record(RecordState::Refused)]),
        ["not_recorded"]
    );
    assert_eq!(
        kinds(Some(&payment(PaymentStatus::Succeeded)), &[]),
        ["missing"]
    );
    assert_eq!(
        kinds(Some(&payment(PaymentStatus::Authorized)), &[]),
        ["missing"]
    );
    assert_eq!(
        kinds(Some(&payment(PaymentStatus::Processing)), &[]),
        ["in_doubt"]
    );
    let other = Record {
        reference: "pi_2".into(),
        ..charge
    };
    let paid = payment(PaymentStatus::Succeeded);
    assert_eq!(
        kinds(Some(&paid), std::slice::from_ref(&other)),
        ["other_object"]
    );
    let both = [record(RecordState::Captured), other];
    assert_eq!(kinds(Some(&paid), &both), ["several_objects"]);
}

#[test]
fn each_amount_that_differs_is_a_difference() {
    type Change<'a> = &'a dyn Fn(&mut Record);
    let table: [(&str, Change<'_>); 4] = [
        ("amount", &|it| it.amount = 4_201),
        ("currency", &|it| it.currency = "USD".into()),
        ("captured", &|it| it.captured = 4_100),
        ("refunded", &|it| it.refunded = 100),
    ];
    for (kind, change) in table {
        let mut record = record(RecordState::Captured);
        change(&mut record);
        assert_eq!(
            kinds(Some(&payment(PaymentStatus::Succeeded)), &[record]),
            [kind]
        );
    }
}

#[test]
fn what_an_open_operation_asked_for_is_in_doubt_whatever_the_provider_shows() {
    use {OperationKind as K, PaymentStatus as P, RecordState as R};
    for (status, kind, amount, states) in [
        (P::Authorized, K::Cancel, 0, [R::Held, R::Voided]),
        (P::Authorized, K::Capture, 4_200, [R::Held, R::Captured]),
        (P::Succeeded, K::Refund, 100, [R::Captured, R::Captured]),
    ] {
        let open = [Open { kind, amount }];
        for state in states {
            let found = kinds_with(Some(&payment(status)), &open, &[record(state)]);
            assert_eq!(found, ["in_doubt"], "{kind:?} {state:?}");
        }
    }
}

#[test]
fn what_was_certainly_not_sent_is_no_doubt_though_it_holds_an_amount_back() {
    let mut waiting = payment(PaymentStatus::Succeeded);
    waiting.refund_reserved = 100;
    let charge = [record(RecordState::Captured)];
    assert_eq!(kinds(Some(&waiting), &charge), [""; 0]);
}

#[test]
fn what_differs_and_is_fresh_is_under_way() {
    let mut refunding = payment(PaymentStatus::Succeeded);
    refunding.updated_at = Timestamp::from_micros(1_000_001);
    let open = [Open {
        kind: OperationKind::Refund,
        amount: 100,
    }];
    let charge = [record(RecordState::Captured)];
    assert_eq!(kinds_with(Some(&refunding), &open, &charge), ["under_way"]);
    let fresh = Record {
        created_at: Timestamp::from_micros(2_000_000),
        ..record(RecordState::Captured)
    };
    assert_eq!(kinds(None, &[fresh]), ["under_way"]);
}
