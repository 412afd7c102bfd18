//! Rebuilding the rows of an operation from what its provider shows of it: pure.

use std::time::Duration;

use crate::{
    payment::{
        Approval, ApprovedAs, Capture, CreatePayment, Currency, Fingerprint, FollowUp, Id,
        IdempotencyKey, Money, NewFollowUp, NewOperation, Opening, Operation, OperationKind,
        Origin, Owner, Payment, ProviderRoute, RequestId, Scope, Timestamp, Verdict,
    },
    provider::{Books, Draft, MadeBy, Record, RecordOrigin, RecordState, provider_key},
};

/// What every imported operation is given.
#[derive(Clone, Copy)]
pub(super) struct Stamp {
    pub(super) owner: Owner,
    pub(super) request_id: RequestId,
    pub(super) now: Timestamp,
}

/// A payment and the operation that made it, and whether nothing of the request is missing.
pub(super) struct Creation {
    pub(super) new: NewOperation,
    pub(super) is_whole: bool,
}

/// The payment of `record`; `None` if its amount is none of ours.
pub(super) fn creation(
    books: &dyn Books,
    record: &Record,
    origin: &RecordOrigin,
    stamp: Stamp,
) -> Option<Creation> {
    let payment_id = record.payment_id?;
    let made_by = &origin.made_by;
    let request = CreatePayment {
        money: Money::new(record.amount, Currency::from_record(&record.currency).ok()?).ok()?,
        payment_method: (origin.request.payment_method.clone()).unwrap_or_else(|| "unknown".into()),
        capture: record.capture,
        reference: origin.request.reference.clone(),
        description: record.description.clone(),
        metadata: origin.request.metadata.clone(),
    };
    let is_whole = made_by.fingerprint.matches(&request.canonical()) == Ok(true);
    let created_at = payment_id.made_at().unwrap_or(record.created_at);
    let mut payment = Payment::new(
        request,
        Origin {
            id: payment_id,
            merchant_id: origin.merchant_id,
            mode: origin.mode,
            idempotency_key: made_by.idempotency_key.clone(),
            provider: books.profile().name.clone(),
            created_at,
        },
    );
    payment.in_doubt_since = Some(stamp.now);
    let amount = payment.money.minor();
    let kind = OperationKind::Create;
    let operation = operation(books, &payment, made_by, (kind, amount), stamp);
    let operation = Operation {
        provider_reference: Some(record.reference.clone()),
        created_at,
        ..operation
    };
    Some(Creation {
        new: NewOperation {
            operation,
            payment,
            lease: Duration::ZERO,
        },
        is_whole,
    })
}

/// A capture, cancel or refund of a payment that stands, whose object at the provider is `reference`.
pub(super) fn follow_up(
    books: &dyn Books,
    payment: &Payment,
    made_by: &MadeBy,
    (kind, amount): (OperationKind, i64),
    reference: &str,
    stamp: Stamp,
) -> NewFollowUp {
    let operation = operation(books, payment, made_by, (kind, amount), stamp);
    NewFollowUp {
        operation: Operation {
            provider_reference: Some(reference.to_owned()),
            ..operation
        },
        lease: Duration::ZERO,
    }
}

/// An operation that may have been carried out, and that is never sent again.
fn operation(
    books: &dyn Books,
    payment: &Payment,
    made_by: &MadeBy,
    (kind, amount): (OperationKind, i64),
    stamp: Stamp,
) -> Operation {
    let draft = Draft {
        operation_id: made_by.operation_id,
        kind,
        idempotency_key: &made_by.idempotency_key,
        fingerprint: made_by.fingerprint,
        money: match kind {
            OperationKind::Create | OperationKind::Cancel => payment.money,
            OperationKind::Capture | OperationKind::Refund => payment.money.part(amount),
        },
    };
    let opened = Operation::open(Opening {
        id: made_by.operation_id,
        payment_id: payment.id,
        scope: Scope {
            merchant_id: payment.merchant_id,
            mode: payment.mode,
            key: made_by.idempotency_key.clone(),
        },
        kind,
        fingerprint: made_by.fingerprint,
        request_id: stamp.request_id,
        owner: stamp.owner,
        route: route(books, payment, draft),
        amount,
        created_at: stamp.now,
    });
    Operation {
        in_doubt: true,
        in_doubt_since: Some(stamp.now),
        resends_barred: true,
        ..opened
    }
}

/// The way to the provider that shows an operation, for what was asked of another.
pub(super) fn route_of(
    books: &dyn Books,
    payment: &Payment,
    operation: &Operation,
) -> ProviderRoute {
    let draft = Draft {
        operation_id: operation.id,
        kind: operation.kind,
        idempotency_key: &operation.idempotency_key,
        fingerprint: operation.fingerprint,
        money: payment.money,
    };
    route(books, payment, draft)
}

fn route(books: &dyn Books, payment: &Payment, draft: Draft<'_>) -> ProviderRoute {
    let profile = books.profile();
    ProviderRoute {
        provider: profile.name.clone(),
        account: profile.account.clone(),
        api_version: profile.api_version.clone(),
        key: provider_key(
            payment.merchant_id,
            payment.mode,
            draft.idempotency_key,
            draft.kind,
            &profile.name,
        ),
        request: books.prepare(payment, draft),
    }
}

/// The verdict on a creation where the object's present state no longer tells it: a hold that has
/// ended since must have been one.
pub(super) fn verdict_of(record: &Record) -> Option<Verdict> {
    let was_held = matches!(record.state, RecordState::Captured | RecordState::Voided);
    (record.capture == Capture::Manual && was_held).then(|| {
        Verdict::Approved(Approval {
            approved_as: ApprovedAs::Authorized,
            reference: record.reference.clone(),
        })
    })
}

/// Who ended a hold where the provider does not tell: a key that no client is likely to choose, and
/// the same however often it is asked for.
pub(super) fn unnamed(payment: &Payment, kind: OperationKind, amount: i64) -> Option<MadeBy> {
    let key = format!("oncepay-restored-{}-{}", kind.as_str(), payment.id);
    let asked = FollowUp {
        kind,
        payment_id: payment.id,
        amount: (kind != OperationKind::Cancel).then_some(amount),
    };
    Some(MadeBy {
        // Derived as well, so that another run finds it again.
        operation_id: Id::from_uuid(flipped(payment.id.as_uuid())),
        idempotency_key: IdempotencyKey::new(&key).ok()?,
        fingerprint: Fingerprint::of(&asked.canonical()),
    })
}

/// Another id of the same time: the random part upside down, the version and variant as they are.
fn flipped(id: uuid::Uuid) -> uuid::Uuid {
    const RANDOM: u128 = 0x0fff_3fff_ffff_ffff_ffff;
    uuid::Uuid::from_u128(id.as_u128() ^ RANDOM)
}
