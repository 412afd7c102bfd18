mod ends;
mod follow_ups;
mod leases;
mod restores;
mod sequences;

pub(in crate::payment) use follow_ups::new;

use std::collections::BTreeMap;

use uuid::Uuid;

use super::*;
use crate::payment::{
    Approval, ApprovedAs, Capture, CreatePayment, Decline, Fingerprint, Id, IdempotencyKey, Mode,
    Money, Opening, OperationKind, Origin, PaymentStatus, ProviderRoute, Scope,
};

pub(in crate::payment) const NOW: Timestamp = Timestamp::from_micros(1_000_000_000);
pub(in crate::payment) const LEASE: Duration = Duration::from_secs(60);
pub(in crate::payment) const OWNER: Owner = Owner([1; 16]);
pub(in crate::payment) const OTHER: Owner = Owner([2; 16]);

pub(in crate::payment) fn rows() -> (Operation, Payment) {
    let request = CreatePayment {
        money: Money::new(4_200, "EUR".parse().unwrap()).unwrap(),
        payment_method: "pm_card_visa".into(),
        capture: Capture::Automatic,
        reference: None,
        description: None,
        metadata: BTreeMap::new(),
    };
    let canonical = request.canonical();
    let origin = Origin {
        id: Id::from_uuid(Uuid::from_u128(1)),
        merchant_id: Id::from_uuid(Uuid::from_u128(2)),
        mode: Mode::Test,
        idempotency_key: IdempotencyKey::new("order-17").unwrap(),
        provider: "sandbox".into(),
        created_at: NOW,
    };
    let payment = Payment::new(request, origin);
    let operation = Operation {
        lease_until: NOW.plus(LEASE),
        ..Operation::open(Opening {
            id: Id::from_uuid(Uuid::from_u128(3)),
            payment_id: payment.id,
            scope: Scope {
                merchant_id: payment.merchant_id,
                mode: payment.mode,
                key: payment.idempotency_key.clone(),
            },
            kind: OperationKind::Create,
            fingerprint: Fingerprint::of(&canonical),
            request_id: Id::from_uuid(Uuid::from_u128(4)),
            owner: OWNER,
            route: ProviderRoute {
                provider: "sandbox".into(),
                account: "a".into(),
                api_version: "v".into(),
                key: "k".into(),
                request: b"amount=4200".to_vec(),
            },
            amount: 4_200,
            created_at: NOW,
        })
    };
    (operation, payment)
}

fn by(epoch: i64, change: Change) -> OperationChange {
    OperationChange {
        operation_id: Id::from_uuid(Uuid::from_u128(3)),
        epoch,
        change,
        at: NOW,
    }
}

pub(in crate::payment) fn captured(reference: &str) -> Change {
    let reference = reference.to_owned();
    Change::Settle(Verdict::Approved(Approval {
        approved_as: ApprovedAs::Captured,
        reference,
    }))
}

pub(in crate::payment) fn declined() -> Change {
    Change::Settle(Verdict::Declined(Decline {
        code: "insufficient_funds".into(),
        message: "Your card has insufficient funds.".into(),
        reference: Some("pi_1".into()),
        at_the_door: false,
        stands: None,
    }))
}

pub(in crate::payment) fn release() -> Change {
    Change::Release {
        reason: "connect_failed".into(),
        expires_in: Duration::from_secs(86_400),
    }
}

pub(in crate::payment) fn take_over(owner: Owner) -> Change {
    Change::TakeOver {
        owner,
        lease: LEASE,
    }
}

/// The rows after a change that must be written.
#[track_caller]
fn after(
    (operation, payment): &(Operation, Payment),
    epoch: i64,
    change: Change,
) -> (Operation, Payment) {
    after_at((operation, payment), epoch, change, NOW)
}

#[track_caller]
fn after_at(
    (operation, payment): (&Operation, &Payment),
    epoch: i64,
    change: Change,
    now: Timestamp,
) -> (Operation, Payment) {
    match apply(operation, payment, &by(epoch, change), now).unwrap() {
        Effect::Written {
            operation, payment, ..
        } => (*operation, *payment),
        other => panic!("not written: {other:?}"),
    }
}

#[track_caller]
fn effect((operation, payment): &(Operation, Payment), epoch: i64, change: Change) -> Effect {
    apply(operation, payment, &by(epoch, change), NOW).unwrap()
}

#[test]
fn rule_21_a_settled_operation_carries_the_whole_answer() {
    let (operation, payment) = after(&rows(), 1, captured("pi_1"));
    let answer = operation.answer.unwrap();
    assert_eq!(
        (answer.status, answer.location),
        (201, Some(format!("/payments/{}", payment.id)))
    );
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(body["status"], "succeeded");
    assert_eq!(body["amount_captured"], 4_200);

    let (operation, _) = after(&rows(), 1, declined());
    let answer = operation.answer.unwrap();
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(answer.status, 402);
    assert_eq!(body["code"], "payment_declined");
    assert_eq!(body["instance"], operation.request_id.to_string());
    assert_eq!(body["payment"]["failure"]["code"], "insufficient_funds");
}

#[test]
fn settling_twice_is_settling_once() {
    let settled = after(&rows(), 1, captured("pi_1"));
    assert_eq!(
        effect(&settled, 1, captured("pi_1")),
        Effect::AlreadyWritten
    );
    let failed = after(&rows(), 1, declined());
    assert_eq!(effect(&failed, 1, declined()), Effect::AlreadyWritten);
}

#[test]
fn rule_12_a_definite_answer_is_true_from_any_epoch() {
    let expired = NOW.plus(LEASE);
    let (operation, payment) = rows();
    let taken = after_at((&operation, &payment), 1, take_over(OTHER), expired);
    assert_eq!(taken.0.epoch, 2);
    let (_, payment) = after(&taken, 1, captured("pi_1"));
    assert_eq!(payment.status, PaymentStatus::Succeeded);
}

#[test]
fn rule_12_the_fence_guards_everything_that_is_not_definite() {
    let doubt = Change::LeaveInDoubt(LeftInDoubt {
        reason: "timeout".into(),
        ..LeftInDoubt::default()
    });
    let rows = rows();
    assert_eq!(effect(&rows, 2, release()), Effect::Refused);
    assert_eq!(effect(&rows, 0, doubt.clone()), Effect::Refused);
    let settled = after(&rows, 1, captured("pi_1"));
    assert_eq!(effect(&settled, 1, release()), Effect::Refused);
    assert_eq!(effect(&settled, 1, doubt), Effect::Refused);
}

#[test]
fn rule_12_money_that_moved_after_the_end_is_a_stray_charge_and_no_new_answer() {
    let failed = after(&rows(), 1, declined());
    let stray = after(&failed, 1, captured("pi_2"));
    assert_eq!(stray.0.answer, failed.0.answer);
    assert_eq!(stray.0.stray_reference.as_deref(), Some("pi_2"));
    assert_eq!(stray.1.status, PaymentStatus::Failed);
    assert_eq!(stray.1.event_count, failed.1.event_count + 1);
    assert_eq!(
        effect(&stray, 1, captured("pi_2")),
        Effect::AlreadyWritten,
        "reported once"
    );
}

#[test]
fn rule_10_only_a_release_makes_it_pending_and_only_the_client_takes_it_up_again() {
    let released = after(&rows(), 1, release());
    assert_eq!(released.0.state, OperationState::Released);
    assert_eq!(released.1.status, PaymentStatus::Pending);
    assert_eq!(effect(&released, 1, release()), Effect::AlreadyWritten);

    let later = NOW.plus(Duration::from_secs(3_600));
    let taken = after_at((&released.0, &released.1), 1, take_over(OTHER), later);
    assert_eq!(taken.1.status, PaymentStatus::Processing);
    assert_eq!(
        (taken.0.epoch, taken.0.first_sent_at),
        (2, later),
        "never sent before"
    );
    assert!(!taken.0.in_doubt);
    assert_eq!(
        effect(&taken, 1, take_over(OTHER)),
        Effect::AlreadyWritten,
        "written before"
    );
    assert_eq!(
        effect(&taken, 1, take_over(OWNER)),
        Effect::Refused,
        "another was faster"
    );
}

#[test]
fn rule_1_who_takes_over_an_expired_lease_starts_in_doubt_and_cannot_release() {
    let (operation, payment) = rows();
    assert_eq!(
        effect(&rows(), 1, take_over(OTHER)),
        Effect::Refused,
        "the lease lives"
    );
    let taken = after_at((&operation, &payment), 1, take_over(OTHER), NOW.plus(LEASE));
    assert!(taken.0.in_doubt && taken.1.in_doubt_since.is_some());
    assert_eq!(
        taken.0.first_sent_at, operation.first_sent_at,
        "the provider's memory goes on"
    );
    assert_eq!(effect(&taken, 2, release()), Effect::Refused);
}

#[test]
fn a_driver_that_leaves_in_doubt_gives_its_lease_back_and_marks_the_payment() {
    let doubt = Change::LeaveInDoubt(LeftInDoubt {
        reason: "timeout".into(),
        ..LeftInDoubt::default()
    });
    let left = after(&rows(), 1, doubt.clone());
    assert_eq!(left.1.status, PaymentStatus::Processing);
    assert_eq!(left.1.in_doubt_since, Some(NOW));
    assert!(!left.0.is_leased(NOW));
    assert_eq!(effect(&left, 1, doubt), Effect::AlreadyWritten);
    let taken = after(&left, 1, take_over(OTHER));
    assert_eq!(
        taken.1.event_count, left.1.event_count,
        "in doubt since before"
    );
    let settled = after(&taken, 2, captured("pi_1"));
    assert_eq!(settled.1.in_doubt_since, None);
}
