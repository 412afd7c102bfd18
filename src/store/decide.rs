//! What a batch of changes makes of the rows that were locked for it: pure, and the same for both
//! databases.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    Claim,
    batch::Written,
    rows::{EventRow, OperationRow, PaymentRow, Unreadable},
};
use crate::payment::{
    Change, Effect, NewOperation, Operation, OperationChange, OperationId, Payment, PaymentId,
    Scope, Standing, Timestamp, apply,
};

/// How long recovery leaves an operation alone that it cannot read.
pub(super) const PUT_OFF: Duration = Duration::from_secs(600);

const CANNOT_BE_RECOVERED: &str =
    "alarm: an operation cannot be recovered, and is left alone for 10 min";

/// The rows that a batch of changes writes, ordered by id, and what it answers.
#[derive(Debug, Default)]
pub(super) struct Decision {
    pub(super) operations: Vec<OperationRow>,
    pub(super) payments: Vec<PaymentRow>,
    pub(super) events: Vec<EventRow>,
    pub(super) answers: Written,
}

impl Decision {
    /// What was recovered by a batch of recoveries.
    pub(super) fn claimed(self) -> Vec<Standing> {
        let answers = self.answers.into_iter().flatten();
        answers.filter(|standing| standing.applied).collect()
    }
}

/// The rows that were locked, and the store's clock after that.
#[derive(Debug)]
pub(super) struct Locked {
    operations: BTreeMap<OperationId, Operation>,
    payments: BTreeMap<PaymentId, Payment>,
    /// Rows that this program does not understand, by id.
    unreadable: BTreeMap<String, Unreadable>,
    now: Timestamp,
}

impl Locked {
    pub(super) fn new(
        operations: impl IntoIterator<Item = OperationRow>,
        payments: impl IntoIterator<Item = PaymentRow>,
        now: Timestamp,
    ) -> Self {
        let mut locked = Self {
            operations: BTreeMap::new(),
            payments: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            now,
        };
        for row in operations {
            let id = row.id.clone();
            match Operation::try_from(row) {
                Ok(operation) => drop(locked.operations.insert(operation.id, operation)),
                Err(error) => drop(locked.unreadable.insert(id, error)),
            }
        }
        for row in payments {
            let id = row.id.clone();
            match Payment::try_from(row) {
                Ok(payment) => drop(locked.payments.insert(payment.id, payment)),
                Err(error) => drop(locked.unreadable.insert(id, error)),
            }
        }
        locked
    }

    /// The changes by which `claim` recovers each of the operations.
    fn recoveries(&self, claim: &Claim) -> Vec<OperationChange> {
        let mut due: Vec<_> = self.operations.values().collect();
        due.sort_by_key(|operation| operation.next_recovery_at);
        let recover = |operation: &Operation| OperationChange {
            operation_id: operation.id,
            epoch: operation.epoch,
            change: Change::Recover {
                owner: claim.owner,
                lease: claim.lease,
            },
            at: claim.at,
        };
        due.into_iter().map(recover).collect()
    }
}

/// Recovers the operations that are due. What cannot be is for a person to look at, and given by its
/// id: unless its turn is put off, it is the first to be claimed again, and others never are.
pub(super) fn recover(
    claim: &Claim,
    due: Vec<OperationRow>,
    payments: Vec<PaymentRow>,
    now: Timestamp,
) -> (Decision, Vec<String>) {
    let mut put_off: BTreeSet<_> = due.iter().map(|row| row.id.clone()).collect();
    let locked = Locked::new(due, payments, now);
    for (id, error) in &locked.unreadable {
        if put_off.contains(id) {
            tracing::error!(operation = id, %error, "{CANNOT_BE_RECOVERED}");
        }
    }
    let changes = locked.recoveries(claim);
    let decision = decide(&changes, locked);
    for (change, answer) in changes.iter().zip(&decision.answers) {
        let id = change.operation_id.to_string();
        match answer {
            Ok(_) => drop(put_off.remove(&id)),
            Err(error) => tracing::error!(operation = id, %error, "{CANNOT_BE_RECOVERED}"),
        }
    }
    (decision, put_off.into_iter().collect())
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
    let unreadable = |id: String| locked.unreadable.get(&id).map(Unreadable::to_string);
    let operation = (locked.operations.get_mut(&id)).ok_or_else(|| {
        unreadable(id.to_string()).unwrap_or_else(|| format!("there is no operation {id}"))
    })?;
    let payment = (locked.payments.get_mut(&operation.payment_id)).ok_or_else(|| {
        let reason = unreadable(operation.payment_id.to_string());
        reason.unwrap_or_else(|| format!("operation {id} has no payment"))
    })?;
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
pub(super) fn begun_subjects(intent: &NewOperation) -> [Scope; 1] {
    [scope_of(&intent.operation)]
}

/// What no two changes of one transaction may share.
pub(super) fn changed_subjects(change: &OperationChange) -> [OperationId; 1] {
    [change.operation_id]
}

/// What no two claims of one transaction may share: nothing, since each is alone.
pub(super) fn claimed_subjects(_: &Claim) -> [OperationId; 0] {
    []
}

pub(super) fn scope_of(operation: &Operation) -> Scope {
    Scope {
        merchant_id: operation.merchant_id,
        mode: operation.mode,
        key: operation.idempotency_key.clone(),
    }
}
