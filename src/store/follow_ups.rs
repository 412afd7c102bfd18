//! What a capture, cancel or refund makes of the payment that was locked for it: pure, and the same
//! for both databases.

use super::{
    decide::{Decision, scope_of},
    rows::{EventRow, OperationRow, PaymentRow},
};
use crate::payment::{
    Admitted, Begun, Inadmissible, NewFollowUp, Operation, Payment, PaymentId, Scope, Standing,
    Timestamp, admit,
};

/// What no two follow-ups of one transaction may share: each must see what the one before it
/// reserved of its payment.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    Key(Scope),
    Payment(PaymentId),
}

pub(super) fn subjects(new: &NewFollowUp) -> [Subject; 2] {
    let operation = &new.operation;
    [
        Subject::Key(scope_of(operation)),
        Subject::Payment(operation.payment_id),
    ]
}

/// What is to be done for one follow-up.
#[derive(Debug)]
pub(super) enum Plan {
    /// To write these rows, unless another takes the key meanwhile.
    Write(Box<Admitted>),
    /// To write nothing.
    Answer(Begun),
}

/// Decides one follow-up: by the operation that has its key already, or else by its payment and
/// those of the payment's operations that are not settled.
pub(super) fn plan(
    new: &NewFollowUp,
    under_key: Option<Standing>,
    payment: Option<&Payment>,
    unsettled: &[Operation],
    now: Timestamp,
) -> Plan {
    if let Some(standing) = under_key {
        return Plan::Answer(known(new, standing));
    }
    let admitted = match payment {
        Some(payment) => admit(payment, unsettled, new, now),
        None => Err(Inadmissible::NoSuchPayment),
    };
    match admitted {
        Ok(admitted) => Plan::Write(Box::new(admitted)),
        Err(inadmissible) => Plan::Answer(Begun::Inadmissible(inadmissible)),
    }
}

/// The answer when an operation has the key: who finds himself has won, and was not told so.
pub(super) fn known(new: &NewFollowUp, mut standing: Standing) -> Begun {
    let ours = &new.operation;
    standing.applied = standing.operation.id == ours.id && standing.operation.owner == ours.owner;
    Begun::Standing(Box::new(standing))
}

/// The answer when the rows were written.
pub(super) fn begun(admitted: &Admitted, now: Timestamp) -> Begun {
    Begun::Standing(Box::new(Standing {
        operation: admitted.operation.clone(),
        payment: admitted.payment.clone(),
        applied: true,
        now,
    }))
}

/// What is written beside the new operations themselves.
pub(super) fn decision<'a>(
    admitted: impl IntoIterator<Item = &'a Admitted>,
    now: Timestamp,
) -> Decision {
    let mut decision = Decision::default();
    for one in admitted {
        (decision.operations).extend(one.ended.as_ref().map(OperationRow::from));
        decision.payments.push(PaymentRow::from(&one.payment));
        let events = EventRow::latest(&one.payment, &one.events, now);
        decision.events.extend(events);
    }
    decision
}
