//! What a batch of changes makes of the rows that were locked for it: pure, and the same for both
//! databases.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    batch::Written,
    rows::{EventRow, OperationRow, PaymentRow},
};
use crate::payment::{
    Effect, IdempotencyKey, MerchantId, Mode, NewOperation, Operation, OperationChange,
    OperationId, Payment, PaymentId, Standing, Timestamp, apply,
};

/// The rows that a batch of changes writes, ordered by id, and what it answers.
#[derive(Debug, Default)]
pub(super) struct Decision {
    pub(super) operations: Vec<OperationRow>,
    pub(super) payments: Vec<PaymentRow>,
    pub(super) events: Vec<EventRow>,
    pub(super) answers: Written,
}

/// The rows that were locked, and the store's clock after that.
#[derive(Debug)]
pub(super) struct Locked {
    pub(super) operations: BTreeMap<OperationId, Operation>,
    pub(super) payments: BTreeMap<PaymentId, Payment>,
    pub(super) now: Timestamp,
}

/// Decides each change over what the changes before it made of the rows.
pub(super) fn decide(changes: &[OperationChange], mut locked: Locked) -> Decision {
    let mut decision = Decision::default();
    let mut written = BTreeMap::new();
    for change in changes {
        let answer = decide_one(change, &mut locked, &mut decision.events);
        if let Ok((standing, true)) = &answer {
            written.insert(change.operation_id, standing.operation.payment_id);
        }
        decision.answers.push(answer.map(|(standing, _)| standing));
    }
    let payments: BTreeSet<_> = written.values().collect();
    decision.operations = (written.keys())
        .filter_map(|id| locked.operations.get(id).map(OperationRow::from))
        .collect();
    decision.payments = (payments.into_iter())
        .filter_map(|id| locked.payments.get(id).map(PaymentRow::from))
        .collect();
    decision
        .events
        .sort_by(|a, b| (&a.payment_id, a.seq).cmp(&(&b.payment_id, b.seq)));
    decision
}

/// What stands after `change`, and whether its rows are new.
fn decide_one(
    change: &OperationChange,
    locked: &mut Locked,
    events: &mut Vec<EventRow>,
) -> Result<(Standing, bool), String> {
    let id = change.operation_id;
    let operation =
        (locked.operations.get_mut(&id)).ok_or(format!("there is no operation {id}"))?;
    let payment = (locked.payments.get_mut(&operation.payment_id))
        .ok_or(format!("operation {id} has no payment"))?;
    let effect = apply(operation, payment, change, locked.now)
        .map_err(|illegal| format!("operation {id} contradicts its payment: {illegal}"))?;
    let (applied, new) = match effect {
        Effect::Written {
            operation: after,
            payment: paid,
            events: told,
        } => {
            *operation = *after;
            *payment = *paid;
            events.extend(EventRow::latest(payment, &told, change.at));
            (true, true)
        }
        Effect::AlreadyWritten => (true, false),
        Effect::Refused => (false, false),
    };
    let standing = Standing {
        operation: operation.clone(),
        payment: payment.clone(),
        applied,
        now: locked.now,
    };
    Ok((standing, new))
}

/// The rows of an intent, as the caller gives them; the times of the lease are the store's to set.
pub(super) fn rows_of(intent: &NewOperation) -> (OperationRow, PaymentRow, EventRow) {
    let payment = &intent.payment;
    let created = EventRow::of(payment.id, 1, &payment.created_event(), payment.created_at);
    ((&intent.operation).into(), payment.into(), created)
}

/// The lease of an intent, in microseconds.
pub(super) fn lease_micros(intent: &NewOperation) -> i64 {
    i64::try_from(intent.lease.as_micros()).unwrap_or(i64::MAX / 2)
}

/// What no two intents of one transaction may share.
pub(super) fn begun_subject(intent: &NewOperation) -> (MerchantId, Mode, IdempotencyKey) {
    let operation = &intent.operation;
    (
        operation.merchant_id,
        operation.mode,
        operation.idempotency_key.clone(),
    )
}
