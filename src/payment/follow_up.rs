//! Captures, cancels and refunds: operations on a payment that stands already. Start reading at
//! [`admit`], which decides whether one may begin.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use super::{
    Answer, Canonical, IllegalEvent, Operation, OperationKind, OperationState, Payment,
    PaymentEvent, PaymentId, PaymentStatus, Timestamp,
};

/// A request for a capture, cancel or refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowUp {
    pub kind: OperationKind,
    pub payment_id: PaymentId,
    /// In minor units; `None` asks for all that is left.
    pub amount: Option<i64>,
}

impl FollowUp {
    /// The payment in the path and the fields that were given, for the fingerprint.
    pub fn canonical(&self) -> Canonical {
        let mut fields: BTreeMap<&'static str, Value> = BTreeMap::new();
        if let Some(amount) = self.amount {
            fields.insert("amount", json!(amount));
        }
        Canonical::new(self.kind, &[self.payment_id.to_string()], &fields)
    }
}

/// A capture, cancel or refund to be recorded before anything is sent.
///
/// The store sets the times of the operation as it does for a [`super::NewOperation`].
#[derive(Clone, Debug)]
pub struct NewFollowUp {
    pub operation: Operation,
    pub lease: Duration,
}

/// What became of a [`NewFollowUp`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// The operation that has the key now; `applied` tells whether it is this one.
    Standing(Box<super::Standing>),
    /// Nothing was recorded.
    Inadmissible(Inadmissible),
}

/// Why an operation may not begin; nothing is recorded, and the key is not spent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Inadmissible {
    #[error("there is no such payment")]
    NoSuchPayment,
    /// Another operation of the payment is open.
    #[error("another operation of the payment, a {open}, is in progress", open = open.as_str())]
    InProgress {
        open: OperationKind,
        payment: Box<Payment>,
    },
    #[error("a payment that is {} cannot be {}", payment.status, participle(*kind))]
    IllegalState {
        kind: OperationKind,
        payment: Box<Payment>,
    },
    #[error("{asked} was asked for, and {available} is available")]
    AmountExceeds {
        asked: i64,
        available: i64,
        payment: Box<Payment>,
    },
}

fn participle(kind: OperationKind) -> &'static str {
    match kind {
        OperationKind::Create => "created",
        OperationKind::Capture => "captured",
        OperationKind::Cancel => "canceled",
        OperationKind::Refund => "refunded",
    }
}

/// The rows of an operation that begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    pub operation: Operation,
    pub payment: Payment,
    /// In the order of their happening; the payment's `event_count` includes them.
    pub events: Vec<PaymentEvent>,
    /// The operation that made the payment, when this one ends it: a payment that was never sent is
    /// canceled without asking the provider.
    pub ended: Option<Operation>,
}

/// Decides whether `new` may begin on the locked payment, of which `unsettled` are all operations
/// that are open or released; `now` is the store's clock.
///
/// # Errors
/// [`Inadmissible`] says why not.
pub fn admit(
    payment: &Payment,
    unsettled: &[Operation],
    new: &NewFollowUp,
    now: Timestamp,
) -> Result<Admitted, Inadmissible> {
    let mut operation = new.operation.clone();
    operation.lease_until = now.plus(new.lease);
    operation.next_recovery_at = now.plus(new.lease);
    operation.first_sent_at = now;
    let kind = operation.kind;
    if (payment.merchant_id, payment.mode) != (operation.merchant_id, operation.mode) {
        return Err(Inadmissible::NoSuchPayment);
    }
    let illegal = || Inadmissible::IllegalState {
        kind,
        payment: Box::new(payment.clone()),
    };
    let creation = (unsettled.iter()).find(|other| other.kind == OperationKind::Create);
    if let Some(creation) = creation {
        return match (creation.state, kind) {
            (OperationState::Released, OperationKind::Cancel) => {
                cancel_unsent(payment, creation, operation).map_err(|_illegal| illegal())
            }
            (OperationState::Open, _) => Err(in_progress(creation, payment)),
            _ => Err(illegal()),
        };
    }
    let needed = match kind {
        OperationKind::Capture | OperationKind::Cancel => PaymentStatus::Authorized,
        OperationKind::Refund => PaymentStatus::Succeeded,
        OperationKind::Create => return Err(illegal()),
    };
    if payment.status != needed {
        return Err(illegal());
    }
    let ends_the_hold =
        |kind: OperationKind| matches!(kind, OperationKind::Capture | OperationKind::Cancel);
    if let Some(open) = unsettled.iter().find(|other| ends_the_hold(other.kind))
        && ends_the_hold(kind)
    {
        return Err(in_progress(open, payment));
    }
    reserve(payment, operation)
}

fn in_progress(open: &Operation, payment: &Payment) -> Inadmissible {
    Inadmissible::InProgress {
        open: open.kind,
        payment: Box::new(payment.clone()),
    }
}

/// Holds the amount back until the operation is settled.
fn reserve(payment: &Payment, mut operation: Operation) -> Result<Admitted, Inadmissible> {
    let (kind, asked) = (operation.kind, operation.amount);
    let available = payment.available(kind);
    let mut after = payment.clone();
    if let Some(reserved) = after.reserved_mut(kind) {
        if asked < 1 || asked > available {
            return Err(Inadmissible::AmountExceeds {
                asked,
                available,
                payment: Box::new(payment.clone()),
            });
        }
        *reserved += asked;
        operation.amount_reserved = asked;
    }
    let begun = begun(&operation);
    let recorded = after.record(&begun, operation.created_at);
    recorded.map_err(|_illegal| Inadmissible::IllegalState {
        kind,
        payment: Box::new(payment.clone()),
    })?;
    Ok(Admitted {
        operation,
        payment: after,
        events: vec![begun],
        ended: None,
    })
}

/// Cancels a payment that was certainly never sent: both operations are settled by it.
fn cancel_unsent(
    payment: &Payment,
    creation: &Operation,
    mut cancel: Operation,
) -> Result<Admitted, IllegalEvent> {
    let mut after = payment.clone();
    let events = vec![begun(&cancel), PaymentEvent::Canceled {}];
    for event in &events {
        after.record(event, cancel.created_at)?;
    }
    let mut ended = creation.clone();
    for operation in [&mut cancel, &mut ended] {
        operation.state = OperationState::Settled;
        operation.answer = Some(Answer::of(operation, &after));
    }
    Ok(Admitted {
        operation: cancel,
        payment: after,
        events,
        ended: Some(ended),
    })
}

fn begun(operation: &Operation) -> PaymentEvent {
    PaymentEvent::OperationBegun {
        operation: operation.id.to_string(),
        kind: operation.kind.as_str().to_owned(),
        amount: operation.amount,
    }
}

#[cfg(test)]
mod tests;
