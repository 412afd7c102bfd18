use super::*;
use crate::payment::{
    Approval, ApprovedAs, Change, Effect, Mode, OperationChange, Verdict, apply,
    change::tests::{LEASE, NOW, captured, declined, new, release, rows},
};
use OperationKind::{Cancel, Capture, Create, Refund};

/// The creation and its payment after one change.
fn after(change: Change) -> (Operation, Payment) {
    let (operation, payment) = rows();
    let change = OperationChange {
        operation_id: operation.id,
        epoch: 1,
        change,
        at: NOW,
    };
    match apply(&operation, &payment, &change, NOW).unwrap() {
        Effect::Written {
            operation, payment, ..
        } => (*operation, *payment),
        other => panic!("not written: {other:?}"),
    }
}

fn held() -> Payment {
    let approved_as = ApprovedAs::Authorized;
    let reference = "pi_1".into();
    let approval = Approval {
        approved_as,
        reference,
    };
    after(Change::Settle(Verdict::Approved(approval))).1
}

fn paid() -> Payment {
    after(captured("pi_1")).1
}

fn canceled() -> Payment {
    let mut payment = held();
    payment.record(&PaymentEvent::Voided {}, NOW).unwrap();
    payment
}

fn verdict(payment: &Payment, unsettled: &[Operation], kind: OperationKind) -> &'static str {
    let amount = if kind == Cancel { 0 } else { 100 };
    match admit(payment, unsettled, &new(payment, kind, amount, 9), NOW) {
        Ok(Admitted { ended: None, .. }) => "begins",
        Ok(Admitted { ended: Some(_), .. }) => "ends",
        Err(Inadmissible::InProgress { .. }) => "progress",
        Err(Inadmissible::IllegalState { .. }) => "illegal",
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn the_table_of_what_may_begin_on_a_payment() {
    let processing = rows();
    let pending = after(release());
    let beside = |payment: &Payment, kind| {
        let admitted = admit(payment, &[], &new(payment, kind, 100, 1), NOW).unwrap();
        (admitted.operation, admitted.payment)
    };
    let capturing = beside(&held(), Capture);
    let refunding = beside(&paid(), Refund);
    let mut releasing = capturing.clone();
    releasing.0.state = OperationState::Released;
    let cases = [
        ("processing", processing.1, vec![processing.0]),
        ("pending", pending.1, vec![pending.0]),
        ("authorized", held(), vec![]),
        ("succeeded", paid(), vec![]),
        ("failed", after(declined()).1, vec![]),
        ("canceled", canceled(), vec![]),
        ("being captured", capturing.1, vec![capturing.0]),
        ("capture released", releasing.1, vec![releasing.0]),
        ("being refunded", refunding.1, vec![refunding.0]),
    ];
    let mut table = String::new();
    for (name, payment, unsettled) in &cases {
        let row = [Create, Capture, Cancel, Refund].map(|kind| verdict(payment, unsettled, kind));
        table += &format!(
            "{name:<18}{}\n",
            row.map(|one| format!("{one:<10}")).concat().trim_end()
        );
    }
    // Of a payment that is to be created, captured, canceled, refunded.
    let expected = "\
processing        progress  progress  progress  progress
pending           illegal   illegal   ends      illegal
authorized        illegal   begins    begins    illegal
succeeded         illegal   illegal   illegal   begins
failed            illegal   illegal   illegal   illegal
canceled          illegal   illegal   illegal   illegal
being captured    illegal   progress  progress  illegal
capture released  illegal   progress  progress  illegal
being refunded    illegal   illegal   illegal   begins
";
    assert_eq!(table, expected);
}

#[test]
fn rule_14_an_operation_holds_its_amount_back_and_times_it_by_the_stores_clock() {
    let payment = paid();
    let later = NOW.plus(Duration::from_secs(7));

    let admitted = admit(&payment, &[], &new(&payment, Refund, 1_000, 1), later).unwrap();

    let operation = &admitted.operation;
    assert_eq!(
        (operation.amount_reserved, admitted.payment.refund_reserved),
        (1_000, 1_000)
    );
    assert_eq!(operation.first_sent_at, later);
    assert_eq!(operation.lease_until, later.plus(LEASE));
    assert_eq!(operation.next_recovery_at, later.plus(LEASE));
    assert_eq!(admitted.payment.event_count, payment.event_count + 1);
    let [PaymentEvent::OperationBegun { kind, amount, .. }] = &admitted.events[..] else {
        panic!("{:?}", admitted.events);
    };
    assert_eq!((kind.as_str(), *amount), ("refund", 1_000));
    let cancel = admit(&held(), &[], &new(&held(), Cancel, 0, 1), NOW).unwrap();
    assert_eq!(cancel.operation.amount_reserved, 0);
}

#[test]
fn rule_14_what_others_hold_is_not_available() {
    let mut payment = paid();
    payment.amount_refunded = 1_000;
    payment.refund_reserved = 3_000;
    let ask = |amount| admit(&payment, &[], &new(&payment, Refund, amount, 1), NOW);

    assert!(ask(200).is_ok());
    for asked in [201, 4_200, 0, -1] {
        let Err(Inadmissible::AmountExceeds { available, .. }) = ask(asked) else {
            panic!("{asked} was let in");
        };
        assert_eq!(available, 200);
    }
}

#[test]
fn rule_22_another_operation_in_progress_is_named() {
    let payment = held();
    let cancel = admit(&payment, &[], &new(&payment, Cancel, 0, 1), NOW).unwrap();
    let capture = new(&cancel.payment, Capture, 1, 2);
    let refused = admit(&cancel.payment, &[cancel.operation], &capture, NOW).unwrap_err();
    assert_eq!(
        refused,
        Inadmissible::InProgress {
            open: Cancel,
            payment: Box::new(cancel.payment)
        }
    );
    assert!(refused.to_string().contains("a cancel"));
}

#[test]
fn rule_11_a_payment_that_was_never_sent_is_canceled_without_its_provider() {
    let (creation, payment) = after(release());

    let cancel = new(&payment, Cancel, 0, 1);
    let admitted = admit(&payment, std::slice::from_ref(&creation), &cancel, NOW).unwrap();

    let ended = admitted.ended.unwrap();
    assert_eq!(admitted.payment.status, PaymentStatus::Canceled);
    for operation in [&admitted.operation, &ended] {
        assert_eq!(operation.state, OperationState::Settled);
    }
    assert_eq!(ended.id, creation.id);
    assert_eq!(admitted.operation.answer.unwrap().status, 200);
    let answer = ended.answer.clone().unwrap();
    assert_eq!(answer.status, 402, "its key is spent");
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(body["payment"]["status"], "canceled");
    let names: Vec<_> = admitted.events.iter().map(PaymentEvent::name).collect();
    assert_eq!(names, ["operation_begun", "canceled"]);
    assert_eq!(admitted.payment.event_count, payment.event_count + 2);
    let late = OperationChange {
        operation_id: ended.id,
        epoch: 1,
        change: captured("pi_9"),
        at: NOW,
    };
    let Effect::Written { operation, .. } = apply(&ended, &admitted.payment, &late, NOW).unwrap()
    else {
        panic!("a charge was not noticed");
    };
    assert_eq!(
        operation.stray_reference.as_deref(),
        Some("pi_9"),
        "rule 12"
    );
}

#[test]
fn another_merchants_or_modes_payment_is_not_there() {
    let payment = paid();
    let mut live = new(&payment, Refund, 1, 1);
    live.operation.mode = Mode::Live;
    let mut foreign = new(&payment, Refund, 1, 1);
    foreign.operation.merchant_id = super::super::Id::from_uuid(uuid::Uuid::from_u128(77));
    for one in [live, foreign] {
        assert_eq!(
            admit(&payment, &[], &one, NOW),
            Err(Inadmissible::NoSuchPayment)
        );
    }
}
