//! What differs between a payment of ours and what its provider shows of it: pure. Start reading at
//! [`compare`].

use crate::{
    payment::{Payment, PaymentStatus, Timestamp},
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

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    /// They differ, and one of the two is younger than an operation may take.
    UnderWay,
    Differs(Vec<Difference>),
}

/// Compares a payment, if there is one, with every object of it that its provider has; what is of a
/// time after `settled_before` may still be under way.
pub fn compare(
    payment: Option<&Payment>,
    records: &[Record],
    settled_before: Timestamp,
) -> Comparison {
    let differences = match payment {
        Some(payment) => of_payment(payment, records),
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

fn of_payment(payment: &Payment, records: &[Record]) -> Vec<Difference> {
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
            Some(own) => found.amounts(payment, own),
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
    fn amounts(&mut self, payment: &Payment, own: &Record) {
        let money = payment.money;
        if own.currency != money.currency().code() {
            let code = money.currency().code().to_owned();
            self.add(DifferenceKind::Currency, code, own.currency.clone());
        }
        self.number(DifferenceKind::Amount, money.minor(), own.amount);
        // What an open operation asked for may be there or not: that is what is in doubt.
        if payment.capture_reserved > 0 || payment.refund_reserved > 0 {
            let ours = format!(
                "captured {}, refunded {}, under way {}",
                payment.amount_captured,
                payment.amount_refunded,
                payment.capture_reserved + payment.refund_reserved
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

fn text(known: Option<&str>) -> String {
    known.unwrap_or_default().to_owned()
}

fn shown(record: &Record) -> String {
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
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::payment::{Capture, CreatePayment, Id, IdempotencyKey, Mode, Money, Origin};

    const THEN: Timestamp = Timestamp::from_micros(1_000_000);

    fn payment(status: PaymentStatus) -> Payment {
        let request = CreatePayment {
            money: Money::new(4_200, "EUR".parse().unwrap()).unwrap(),
            payment_method: "pm_card_visa".into(),
            capture: Capture::Automatic,
            reference: None,
            description: None,
            metadata: BTreeMap::new(),
        };
        let origin = Origin {
            id: Id::from_uuid(uuid::Uuid::from_u128(1)),
            merchant_id: Id::from_uuid(uuid::Uuid::from_u128(2)),
            mode: Mode::Test,
            idempotency_key: IdempotencyKey::new("key").unwrap(),
            provider: "main".into(),
            created_at: THEN,
        };
        let moved = status == PaymentStatus::Succeeded;
        let holds = moved || status == PaymentStatus::Authorized;
        Payment {
            status,
            amount_captured: if moved { 4_200 } else { 0 },
            provider_reference: holds.then(|| "pi_1".to_owned()),
            ..Payment::new(request, origin)
        }
    }

    fn record(state: RecordState) -> Record {
        Record {
            reference: "pi_1".into(),
            created_at: THEN,
            state,
            amount: 4_200,
            currency: "EUR".into(),
            captured: if state == RecordState::Captured {
                4_200
            } else {
                0
            },
            refunded: 0,
            capture: Capture::Automatic,
            description: None,
            installation: None,
            payment_id: None,
            operation_id: None,
            origin: None,
            captured_by: None,
        }
    }

    fn kinds(payment: Option<&Payment>, records: &[Record]) -> Vec<&'static str> {
        match compare(payment, records, THEN) {
            Comparison::Equal => Vec::new(),
            Comparison::UnderWay => vec!["under_way"],
            Comparison::Differs(found) => found.iter().map(|one| one.kind.as_str()).collect(),
        }
    }

    #[test]
    fn what_should_be_so_is_no_difference() {
        use {PaymentStatus as P, RecordState as R};
        let given_back = Record {
            refunded: 4_200,
            ..record(R::Captured)
        };
        for (status, records) in [
            (P::Succeeded, vec![record(R::Captured)]),
            (P::Authorized, vec![record(R::Held)]),
            (P::Failed, vec![record(R::Refused)]),
            (P::Failed, vec![]),
            (P::Failed, vec![given_back.clone()]),
            (P::Canceled, vec![record(R::Voided)]),
            (P::Pending, vec![]),
        ] {
            assert_eq!(kinds(Some(&payment(status)), &records), [""; 0], "{status}");
        }
        let second = Record {
            reference: "pi_2".into(),
            ..given_back
        };
        let both = [record(R::Captured), second];
        assert_eq!(
            kinds(Some(&payment(P::Succeeded)), &both),
            [""; 0],
            "it was given back"
        );
    }

    #[test]
    fn a_status_that_contradicts_is_a_difference() {
        use {PaymentStatus as P, RecordState as R};
        for (status, state, expected) in [
            (P::Failed, R::Captured, vec!["status"]),
            (P::Failed, R::Held, vec!["status"]),
            (P::Canceled, R::Unfinished, vec!["status"]),
            (P::Pending, R::Captured, vec!["status"]),
            (P::Succeeded, R::Refused, vec!["status", "captured"]),
            (P::Authorized, R::Captured, vec!["status", "captured"]),
            (P::Authorized, R::Voided, vec!["status"]),
            (P::Processing, R::Captured, vec!["in_doubt"]),
        ] {
            let found = kinds(Some(&payment(status)), &[record(state)]);
            assert_eq!(found, expected, "{status} {state:?}");
        }
    }

    #[test]
    fn what_only_one_side_has_is_a_difference() {
        let charge = record(RecordState::Captured);
        assert_eq!(kinds(None, std::slice::from_ref(&charge)), ["not_recorded"]);
        assert_eq!(
            kinds(None, &[record(RecordState::Refused)]),
            ["not_recorded"]
        );
        assert_eq!(
            kinds(Some(&payment(PaymentStatus::Succeeded)), &[]),
            ["missing"]
        );
        assert_eq!(
            kinds(Some(&payment(PaymentStatus::Authorized)), &[]),
            ["missing"]
        );
        assert_eq!(
            kinds(Some(&payment(PaymentStatus::Processing)), &[]),
            ["in_doubt"]
        );
        let other = Record {
            reference: "pi_2".into(),
            ..charge
        };
        let paid = payment(PaymentStatus::Succeeded);
        assert_eq!(
            kinds(Some(&paid), std::slice::from_ref(&other)),
            ["other_object"]
        );
        let both = [record(RecordState::Captured), other];
        assert_eq!(kinds(Some(&paid), &both), ["several_objects"]);
    }

    #[test]
    fn each_amount_that_differs_is_a_difference() {
        type Change<'a> = &'a dyn Fn(&mut Record);
        let table: [(&str, Change<'_>); 4] = [
            ("amount", &|it| it.amount = 4_201),
            ("currency", &|it| it.currency = "USD".into()),
            ("captured", &|it| it.captured = 4_100),
            ("refunded", &|it| it.refunded = 100),
        ];
        for (kind, change) in table {
            let mut record = record(RecordState::Captured);
            change(&mut record);
            assert_eq!(
                kinds(Some(&payment(PaymentStatus::Succeeded)), &[record]),
                [kind]
            );
        }
    }

    #[test]
    fn what_an_open_operation_asked_for_is_in_doubt_and_what_is_fresh_under_way() {
        let mut refunding = payment(PaymentStatus::Succeeded);
        refunding.refund_reserved = 100;
        let charge = [record(RecordState::Captured)];
        assert_eq!(kinds(Some(&refunding), &charge), ["in_doubt"]);
        refunding.updated_at = Timestamp::from_micros(1_000_001);
        assert_eq!(kinds(Some(&refunding), &charge), ["under_way"]);
        let fresh = Record {
            created_at: Timestamp::from_micros(2_000_000),
            ..record(RecordState::Captured)
        };
        assert_eq!(kinds(None, &[fresh]), ["under_way"]);
    }
}
