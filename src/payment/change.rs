//! What a driver may do to an operation, and what it makes of the payment: one pure function.

use std::time::Duration;

use super::{
    Answer, Approval, ApprovedAs, IllegalEvent, Operation, OperationId, OperationState, Owner,
    Payment, PaymentEvent, Timestamp, Verdict,
};

/// A change of an operation by the driver of an epoch.
#[derive(Clone, Debug)]
pub struct OperationChange {
    pub operation_id: OperationId,
    /// The epoch that the driver saw or holds: the fence.
    pub epoch: i64,
    pub change: Change,
    /// The driver's wall clock, for the payment's `updated_at`.
    pub at: Timestamp,
}

#[derive(Clone, Debug)]
pub enum Change {
    /// Becomes the driver of an operation whose lease ran out, or that was released.
    TakeOver { owner: Owner, lease: Duration },
    /// Records a definite answer of the provider. Not fenced: it is true whoever brings it.
    Settle(Verdict),
    /// Stops driving without a definite answer: the provider may have acted. The lease ends at once,
    /// so that the next driver need not wait for it to run out.
    LeaveInDoubt { reason: String },
    /// Gives the key back to the client, since certainly nothing was sent.
    Release { reason: String },
}

/// What a change makes of the rows that were locked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The rows become these, and the event (if any) is recorded under the payment's new
    /// `event_count`.
    Written {
        operation: Box<Operation>,
        payment: Box<Payment>,
        event: Option<PaymentEvent>,
    },
    /// The change already stands: it was written before, and its answer was lost.
    AlreadyWritten,
    /// The fence or the state forbids the change; what stands, stands.
    Refused,
}

/// Decides `change` over the locked rows; `now` is the store's clock.
///
/// Writing the same change twice is the same as writing it once.
///
/// # Errors
/// [`IllegalEvent`] when the payment's state machine forbids what the operation's state allowed:
/// the rows contradict each other, and a person must look.
pub fn apply(
    operation: &Operation,
    payment: &Payment,
    change: &OperationChange,
    now: Timestamp,
) -> Result<Effect, IllegalEvent> {
    let fenced = operation.epoch == change.epoch;
    match &change.change {
        Change::TakeOver { owner, lease } => {
            take_over(operation, payment, change, (*owner, *lease), now)
        }
        Change::Settle(verdict) => settle(operation, payment, verdict, change.at),
        Change::LeaveInDoubt { reason } => {
            if !fenced || operation.state != OperationState::Open {
                return Ok(Effect::Refused);
            }
            if operation.in_doubt && !operation.is_leased(now) {
                return Ok(Effect::AlreadyWritten);
            }
            let left = Operation {
                in_doubt: true,
                lease_until: now,
                next_recovery_at: now,
                ..operation.clone()
            };
            in_doubt(left, payment, reason, change.at)
        }
        Change::Release { reason } => match operation.state {
            OperationState::Released if fenced => Ok(Effect::AlreadyWritten),
            OperationState::Open if fenced && !operation.in_doubt => {
                let event = PaymentEvent::Released {
                    reason: reason.clone(),
                };
                let operation = Operation {
                    state: OperationState::Released,
                    lease_until: now,
                    ..operation.clone()
                };
                written(operation, payment, event, change.at)
            }
            _ => Ok(Effect::Refused),
        },
    }
}

fn take_over(
    operation: &Operation,
    payment: &Payment,
    change: &OperationChange,
    (owner, lease): (Owner, Duration),
    now: Timestamp,
) -> Result<Effect, IllegalEvent> {
    if operation.owner == owner && operation.epoch == change.epoch + 1 {
        return Ok(Effect::AlreadyWritten);
    }
    if operation.epoch != change.epoch {
        return Ok(Effect::Refused);
    }
    let taken = Operation {
        state: OperationState::Open,
        epoch: operation.epoch + 1,
        owner,
        lease_until: now.plus(lease),
        next_recovery_at: now.plus(lease),
        ..operation.clone()
    };
    match operation.state {
        OperationState::Released => {
            // Nothing was ever sent, so the provider's memory of the key starts now.
            let taken = Operation {
                first_sent_at: now,
                ..taken
            };
            written(taken, payment, PaymentEvent::Resumed {}, change.at)
        }
        OperationState::Open if !operation.is_leased(now) => {
            // The former driver may have sent it a moment before it was lost.
            let taken = Operation {
                in_doubt: true,
                ..taken
            };
            in_doubt(taken, payment, "the driver before was lost", change.at)
        }
        OperationState::Open | OperationState::Settled => Ok(Effect::Refused),
    }
}

fn settle(
    operation: &Operation,
    payment: &Payment,
    verdict: &Verdict,
    at: Timestamp,
) -> Result<Effect, IllegalEvent> {
    if operation.state == OperationState::Settled {
        return settle_again(operation, payment, verdict, at);
    }
    let mut payment = payment.clone();
    let event = match verdict {
        Verdict::Approved(approval) => {
            let event = approved(approval, payment.money.minor());
            payment.record(&event, at)?;
            event
        }
        Verdict::Declined(decline) => payment.declined(decline, at)?,
    };
    let answer = Answer::of(operation, &payment);
    let operation = Operation {
        state: OperationState::Settled,
        in_doubt: false,
        answer: Some(answer),
        ..operation.clone()
    };
    Ok(Effect::Written {
        operation: Box::new(operation),
        payment: Box::new(payment),
        event: Some(event),
    })
}

/// A definite answer for what is settled already: usually the same one again. An approval of what
/// ended without a charge never changes the client's answer, but it is money that moved.
fn settle_again(
    operation: &Operation,
    payment: &Payment,
    verdict: &Verdict,
    at: Timestamp,
) -> Result<Effect, IllegalEvent> {
    let Verdict::Approved(Approval { reference, .. }) = verdict else {
        let same = payment.failure.is_some();
        return Ok(if same {
            Effect::AlreadyWritten
        } else {
            Effect::Refused
        });
    };
    if payment.provider_reference.as_ref() == Some(reference) && payment.failure.is_none() {
        return Ok(Effect::AlreadyWritten);
    }
    let event = PaymentEvent::StrayCharge {
        provider_reference: reference.clone(),
    };
    let known = operation.stray_reference.as_ref() == Some(reference);
    if known || payment.status.apply(&event).is_err() {
        return Ok(Effect::Refused);
    }
    let operation = Operation {
        stray_reference: Some(reference.clone()),
        ..operation.clone()
    };
    written(operation, payment, event, at)
}

fn approved(approval: &Approval, amount: i64) -> PaymentEvent {
    let provider_reference = approval.reference.clone();
    match approval.approved_as {
        ApprovedAs::Authorized => PaymentEvent::Authorized {
            amount,
            provider_reference,
        },
        ApprovedAs::Captured => PaymentEvent::Captured {
            amount,
            provider_reference,
        },
    }
}

/// Marks the payment as in doubt, unless it is since an earlier driver.
fn in_doubt(
    operation: Operation,
    payment: &Payment,
    reason: &str,
    at: Timestamp,
) -> Result<Effect, IllegalEvent> {
    if payment.in_doubt_since.is_none() {
        let event = PaymentEvent::BecameInDoubt {
            reason: reason.to_owned(),
        };
        return written(operation, payment, event, at);
    }
    Ok(Effect::Written {
        operation: Box::new(operation),
        payment: Box::new(payment.clone()),
        event: None,
    })
}

fn written(
    operation: Operation,
    payment: &Payment,
    event: PaymentEvent,
    at: Timestamp,
) -> Result<Effect, IllegalEvent> {
    let mut payment = payment.clone();
    payment.record(&event, at)?;
    Ok(Effect::Written {
        operation: Box::new(operation),
        payment: Box::new(payment),
        event: Some(event),
    })
}

#[cfg(test)]
mod tests;
