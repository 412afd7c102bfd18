//! Captures, cancels and refunds from their beginning to their end.

use super::*;
use crate::payment::{NewFollowUp, Stands, admit};

/// A payment that the provider holds the money of, or that was captured whole.
pub(super) fn payment_as(approved_as: ApprovedAs) -> Payment {
    after(&rows(), 1, approved(approved_as, "pi_1")).1
}

pub(super) fn approved(approved_as: ApprovedAs, reference: &str) -> Change {
    Change::Settle(Verdict::Approved(Approval {
        approved_as,
        reference: reference.into(),
    }))
}

/// A follow-up that is to begin; each `number` is another one.
pub(in crate::payment) fn new(
    payment: &Payment,
    kind: OperationKind,
    amount: i64,
    number: u128,
) -> NewFollowUp {
    let template = rows().0;
    let operation = Operation::open(Opening {
        id: Id::from_uuid(Uuid::from_u128(100 + number)),
        payment_id: payment.id,
        scope: Scope {
            merchant_id: payment.merchant_id,
            mode: payment.mode,
            key: IdempotencyKey::new(&format!("follow-up-{number}")).unwrap(),
        },
        kind,
        fingerprint: template.fingerprint,
        request_id: template.request_id,
        owner: OWNER,
        route: template.route,
        amount,
        created_at: NOW,
    });
    NewFollowUp {
        operation,
        lease: LEASE,
    }
}

fn begun(payment: &Payment, kind: OperationKind, amount: i64) -> (Operation, Payment) {
    let admitted = admit(payment, &[], &new(payment, kind, amount, 1), NOW).unwrap();
    (admitted.operation, admitted.payment)
}

fn amounts(payment: &Payment) -> [i64; 4] {
    [
        payment.amount_captured,
        payment.capture_reserved,
        payment.amount_refunded,
        payment.refund_reserved,
    ]
}

fn stood(stands: Stands) -> Change {
    Change::Settle(Verdict::Declined(Decline {
        code: "changed_elsewhere".into(),
        message: "It had changed without us.".into(),
        reference: None,
        at_the_door: false,
        stands: Some(stands),
    }))
}

#[test]
fn rule_14_a_capture_turns_what_it_held_into_what_was_captured() {
    let held = payment_as(ApprovedAs::Authorized);
    let capture = begun(&held, OperationKind::Capture, 3_000);
    assert_eq!(amounts(&capture.1), [0, 3_000, 0, 0]);

    let captured = after(&capture, 1, approved(ApprovedAs::Captured, "pi_1"));

    assert_eq!(amounts(&captured.1), [3_000, 0, 0, 0]);
    assert_eq!(captured.1.status, PaymentStatus::Succeeded);
    assert_eq!(captured.0.amount_reserved, 0);
    assert_eq!(captured.0.answer.as_ref().unwrap().status, 200);
    let again = approved(ApprovedAs::Captured, "pi_1");
    assert_eq!(effect(&captured, 1, again), Effect::AlreadyWritten);
}

#[test]
fn rule_14_a_refund_turns_what_it_held_into_what_was_refunded() {
    let paid = payment_as(ApprovedAs::Captured);
    let refund = begun(&paid, OperationKind::Refund, 1_200);
    assert_eq!(amounts(&refund.1), [4_200, 0, 0, 1_200]);

    let refunded = after(&refund, 1, approved(ApprovedAs::Refunded, "re_1"));

    assert_eq!(amounts(&refunded.1), [4_200, 0, 1_200, 0]);
    assert_eq!(refunded.1.status, PaymentStatus::Succeeded);
    assert_eq!(refunded.1.provider_reference.as_deref(), Some("pi_1"));
    let answer = refunded.0.answer.as_ref().unwrap();
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(answer.status, 201);
    assert_eq!(
        (&body["object"], &body["amount"]),
        (&"refund".into(), &1_200.into())
    );
    assert_eq!(body["status"], "succeeded");
    let again = approved(ApprovedAs::Refunded, "re_1");
    assert_eq!(effect(&refunded, 1, again), Effect::AlreadyWritten);
}

#[test]
fn a_cancel_gives_the_hold_back() {
    let held = payment_as(ApprovedAs::Authorized);
    let cancel = begun(&held, OperationKind::Cancel, 0);
    let canceled = after(&cancel, 1, approved(ApprovedAs::Voided, "pi_1"));
    assert_eq!(canceled.1.status, PaymentStatus::Canceled);
    assert_eq!(canceled.0.answer.unwrap().status, 200);
}

#[test]
fn rule_14_what_is_refused_absent_or_expired_is_free_again() {
    for (kind, as_it_was) in [
        (OperationKind::Capture, payment_as(ApprovedAs::Authorized)),
        (OperationKind::Refund, payment_as(ApprovedAs::Captured)),
    ] {
        let open = begun(&as_it_was, kind, 1_000);
        let released = after(&open, 1, release());
        assert_eq!(
            amounts(&released.1),
            amounts(&open.1),
            "its client may come back"
        );
        let ends = [
            after(&open, 1, declined()),
            after(&open, 1, Change::SettleAbsent),
            after(&released, 1, Change::Expire),
        ];
        for (operation, payment) in ends {
            assert_eq!(amounts(&payment), amounts(&as_it_was));
            assert_eq!(
                payment.status, as_it_was.status,
                "only the operation failed"
            );
            assert_eq!(payment.failure, None);
            assert!(operation.failure.is_some());
            assert_eq!(operation.answer.unwrap().status, 402);
        }
    }
}

#[test]
fn rule_1_a_follow_up_in_doubt_leaves_its_payment_as_it_is() {
    let paid = payment_as(ApprovedAs::Captured);
    let refund = begun(&paid, OperationKind::Refund, 1_000);
    let doubt = Change::LeaveInDoubt(LeftInDoubt {
        reason: "timeout".into(),
        ..LeftInDoubt::default()
    });

    let left = after(&refund, 1, doubt);

    assert!(left.0.in_doubt && left.0.in_doubt_since.is_some());
    assert_eq!((left.1.status, left.1.in_doubt_since), (paid.status, None));
    assert_eq!(amounts(&left.1), [4_200, 0, 0, 1_000]);
    assert_eq!(effect(&left, 1, release()), Effect::Refused);
    let taken = after(&left, 1, take_over(OTHER));
    let refunded = after(&taken, 1, approved(ApprovedAs::Refunded, "re_1"));
    assert_eq!(
        amounts(&refunded.1),
        [4_200, 0, 1_000, 0],
        "true from any epoch"
    );
}

#[test]
fn rule_7_a_follow_up_goes_nowhere_but_to_its_payments_provider() {
    let paid = payment_as(ApprovedAs::Captured);
    let refund = begun(&paid, OperationKind::Refund, 1_000);
    let elsewhere = Change::FailOver {
        route: ProviderRoute {
            provider: "second".into(),
            ..refund.0.route.clone()
        },
        lease: LEASE,
        reason: "connect_failed".into(),
    };
    assert_eq!(effect(&refund, 1, elsewhere), Effect::Refused);
}

#[test]
fn what_changed_at_the_provider_without_us_is_taken_over() {
    let held = payment_as(ApprovedAs::Authorized);
    let capture = begun(&held, OperationKind::Capture, 4_200);
    let cancel = begun(&held, OperationKind::Cancel, 0);

    let voided = after(&capture, 1, stood(Stands::Voided));
    let captured = after(&cancel, 1, stood(Stands::Captured { amount: 3_000 }));
    let too_much = after(&cancel, 1, stood(Stands::Captured { amount: 99_999 }));

    assert_eq!(voided.1.status, PaymentStatus::Canceled);
    assert_eq!(amounts(&voided.1), [0; 4]);
    assert_eq!(captured.1.status, PaymentStatus::Succeeded);
    assert_eq!(amounts(&captured.1), [3_000, 0, 0, 0]);
    assert_eq!(
        amounts(&too_much.1),
        [4_200, 0, 0, 0],
        "never more than there is"
    );
    for (operation, _) in [&voided, &captured] {
        assert_eq!(operation.answer.as_ref().unwrap().status, 402);
    }
    let again = stood(Stands::Captured { amount: 3_000 });
    assert_eq!(effect(&captured, 1, again), Effect::AlreadyWritten);
}

#[test]
fn rule_12_what_was_carried_out_after_its_refusal_is_told_and_answers_nobody_anew() {
    let paid = payment_as(ApprovedAs::Captured);
    let failed = after(&begun(&paid, OperationKind::Refund, 1_000), 1, declined());

    let stray = after(&failed, 1, approved(ApprovedAs::Refunded, "re_1"));

    assert_eq!(stray.0.answer, failed.0.answer);
    assert_eq!(stray.0.stray_reference.as_deref(), Some("re_1"));
    assert!(
        stray.0.stray_reversed_at.is_some(),
        "nobody gives a refund back"
    );
    assert_eq!(amounts(&stray.1), [4_200, 0, 0, 0]);
    assert_eq!(stray.1.event_count, failed.1.event_count + 1);
    let again = approved(ApprovedAs::Refunded, "re_1");
    assert_eq!(effect(&stray, 1, again), Effect::AlreadyWritten);
}

#[test]
fn rule_12_another_success_of_a_refund_that_succeeded_changes_nothing() {
    let paid = payment_as(ApprovedAs::Captured);
    let refund = begun(&paid, OperationKind::Refund, 1_000);
    let refunded = after(&refund, 1, approved(ApprovedAs::Refunded, "re_1"));
    let other = approved(ApprovedAs::Refunded, "re_2");
    assert_eq!(effect(&refunded, 1, other), Effect::Refused);
    assert_eq!(effect(&refunded, 1, declined()), Effect::Refused);
}

#[test]
fn an_approval_that_its_kind_cannot_have_is_a_contradiction() {
    use ApprovedAs as A;
    let held = payment_as(A::Authorized);
    let paid = payment_as(A::Captured);
    for (payment, kind, wrong) in [
        (
            &held,
            OperationKind::Capture,
            [A::Authorized, A::Voided, A::Refunded],
        ),
        (
            &held,
            OperationKind::Cancel,
            [A::Authorized, A::Captured, A::Refunded],
        ),
        (
            &paid,
            OperationKind::Refund,
            [A::Authorized, A::Captured, A::Voided],
        ),
    ] {
        let amount = if kind == OperationKind::Cancel { 0 } else { 1 };
        let (operation, payment) = begun(payment, kind, amount);
        for approved_as in wrong {
            let change = by(1, approved(approved_as, "x"));
            assert!(
                apply(&operation, &payment, &change, NOW).is_err(),
                "{kind:?} {approved_as:?}"
            );
        }
    }
}
