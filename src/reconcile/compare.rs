//! What differs between a payment of ours and what its provider shows of it: pure. Start reading at
//! [`compare`].

use std::fmt;

use crate::{
    payment::{Operation, OperationKind, OperationState, Payment, PaymentStatus, Timestamp},
    provider::{Record, RecordState},
};

/// One difference, in the words in which it is reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub kind: DifferenceKind,
    /// What we have, and what the provider has.
    pub ours: String,
    pub theirs: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DifferenceKind {
    /// The provider has a payment that carries our mark, and we have none of that id.
    NotRecorded,
    /// We have a payment that moved or holds money, and the provider has none.
    Missing,
    /// The provider has another object than the one that we know.
    OtherObject,
    /// More than one object of the payment holds or kept money.
    SeveralObjects,
    Status,
    Amount,
    Currency,
    Captured,
    Refunded,
    /// Nobody knows yet what became of the payment or of an operation on it.
    InDoubt,
}

impl DifferenceKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotRecorded => "not_recorded",
            Self::Missing => "missing",
            Self::OtherObject => "other_object",
            Self::SeveralObjects => "several_objects",
            Self::Status => "status",
            Self::Amount => "amount",
            Self::Currency => "currency",
            Self::Captured => "captured",
            Self::Refunded => "refunded",
            Self::InDoubt => "in_doubt",
        }
    }
}

/// A capture, cancel or refund that may have been carried out or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    pub kind: OperationKind,
    /// In minor units; 0 for a cancel.
    pub amount: i64,
}

impl Open {
    /// `None` for what is known: what is settled, and what was certainly not sent. A creation is known
    /// by its payment's status.
    pub fn of(operation: &Operation) -> Option<Self> {
        let is_open = operation.state == OperationState::Open;
        (is_open && operation.kind != OperationKind::Create).then_some(Self {
            kind: operation.kind,
            amount: operation.amount,
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    /// They differ, and one of the two is younger than an operation may take.
    UnderWay,
    Differs(Vec<Difference>),
}

/// Compares a payment, if there is one, and what is `open` on it, with every object of it that its
/// provider has; what is of a time after `settled_before` may still be under way.
pub fn compare(
    payment: Option<&Payment>,
    open: &[Open],
    records: &[Record],
    settled_before: Timestamp,
) -> Comparison {
    let differences = match payment {
        Some(payment) => of_payment(payment, open, records),
        None => records.iter().map(not_recorded).collect(),
    };
    let changed_at = payment.map(|payment| payment.updated_at);
    let mut times = records
        .iter()
        .map(|record| record.created_at)
        .chain(changed_at);
    match differences.is_empty() {
        true => Comparison::Equal,
        false if times.any(|time| time > settled_before) => Comparison::UnderWay,
        false => Comparison::Differs(differences),
    }
}

fn not_recorded(record: &Record) -> Difference {
    Difference {
        kind: DifferenceKind::NotRecorded,
        ours: String::new(),
        theirs: shown(record),
    }
}

fn of_payment(payment: &Payment, open: &[Open], records: &[Record]) -> Vec<Difference> {
    let known = payment.provider_reference.as_deref();
    let own = records
        .iter()
        .find(|record| Some(record.reference.as_str()) == known);
    let others: Vec<_> = (records.iter())
        .filter(|record| Some(record.reference.as_str()) != known && record.keeps_money())
        .collect();
    let mut found = Found(Vec::new());
    let all_shown = |records: &[&Record]| {
        let shown: Vec<_> = records.iter().map(|record| shown(record)).collect();
        shown.join(", ")
    };
    match (own, others.as_slice()) {
        (_, []) => {}
        (Some(own), others) => {
            let all: Vec<_> = std::iter::once(own).chain(others.iter().copied()).collect();
            found.add(
                DifferenceKind::SeveralObjects,
                own.reference.clone(),
                all_shown(&all),
            );
        }
        (None, [_, _, ..]) => {
            found.add(
                DifferenceKind::SeveralObjects,
                text(known),
                all_shown(&others),
            );
        }
        (None, [other]) if known.is_some() => {
            found.add(DifferenceKind::OtherObject, text(known), shown(other));
        }
        (None, [_]) => {}
    }
    match payment.status {
        PaymentStatus::Succeeded | PaymentStatus::Authorized => match own {
            Some(own) => found.amounts(payment, open, own),
            None if others.is_empty() => found.add(
                DifferenceKind::Missing,
                format!("{} {}", text(known), payment.status),
                String::new(),
            ),
            None => {}
        },
        PaymentStatus::Processing => {
            let objects: Vec<_> = records.iter().collect();
            found.add(
                DifferenceKind::InDoubt,
                payment.status.to_string(),
                all_shown(&objects),
            );
        }
        // Nobody was told that money moved, so none may be there.
        PaymentStatus::Pending | PaymentStatus::Failed | PaymentStatus::Canceled => {
            let keeping = own.filter(|own| own.keeps_money());
            if let Some(record) = keeping.or(others.first().copied()) {
                found.add(
                    DifferenceKind::Status,
                    payment.status.to_string(),
                    shown(record),
                );
            }
        }
    }
    found.0
}

struct Found(Vec<Difference>);

impl Found {
    fn add(&mut self, kind: DifferenceKind, ours: String, theirs: String) {
        self.0.push(Difference { kind, ours, theirs });
    }

    /// A payment that moved or holds money, and its own object.
    fn amounts(&mut self, payment: &Payment, open: &[Open], own: &Record) {
        let money = payment.money;
        if own.currency != money.currency().code() {
            let code = money.currency().code().to_owned();
            self.add(DifferenceKind::Currency, code, own.currency.clone());
        }
        self.number(DifferenceKind::Amount, money.minor(), own.amount);
        // What an open operation asked for may be there or not: that is what is in doubt.
        if !open.is_empty() {
            let asked: Vec<_> = open.iter().map(ToString::to_string).collect();
            let ours = format!(
                "captured {}, refunded {}, in doubt: {}",
                payment.amount_captured,
                payment.amount_refunded,
                asked.join(", ")
            );
            return self.add(DifferenceKind::InDoubt, ours, shown(own));
        }
        let as_it_should = match payment.status {
            PaymentStatus::Authorized => RecordState::Held,
            _ => RecordState::Captured,
        };
        if own.state != as_it_should {
            let theirs = own.state.as_str().to_owned();
            self.add(DifferenceKind::Status, payment.status.to_string(), theirs);
        }
        self.number(
            DifferenceKind::Captured,
            payment.amount_captured,
            own.captured,
        );
        self.number(
            DifferenceKind::Refunded,
            payment.amount_refunded,
            own.refunded,
        );
    }

    fn number(&mut self, kind: DifferenceKind, ours: i64, theirs: i64) {
        if ours != theirs {
            self.add(kind, ours.to_string(), theirs.to_string());
        }
    }
}

impl fmt::Display for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            OperationKind::Capture | OperationKind::Refund => {
                write!(f, "{} {}", self.kind.as_str(), self.amount)
            }
            OperationKind::Create | OperationKind::Cancel => f.write_str(self.kind.as_str()),
        }
    }
}

fn text(known: Option<&str>) -> String {
    known.unwrap_or_default().to_owned()
}

/// A record in a few words.
pub(super) fn shown(record: &Record) -> String {
    let Record {
        reference,
        state,
        amount,
        currency,
        ..
    } = record;
    format!("{reference} {} {amount} {currency}", state.as_str())
}

#[cfg(test)]
mod tests;
