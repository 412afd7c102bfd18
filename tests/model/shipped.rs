//! What a change makes of a row is decided by the shipped [`apply`]: the row becomes an operation and
//! its payment, and these a row again. Start reading at [`changed`].

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
};

use oncepay::payment::{
    self, Approval, ApprovedAs, Capture, Change, CreatePayment, Decline, Fingerprint,
    IdempotencyKey, LeftInDoubt, MerchantId, Mode, Money, NewFollowUp, Opening, Operation,
    OperationChange, OperationId, OperationKind, OperationState, Origin, Owner, Payment, PaymentId,
    PaymentStatus, ProviderRoute, RequestId, Scope, admit, apply,
};
use uuid::Uuid;

use super::row::{Asked, Charge, Effect, End, Row, TICK, Verdict, at, tick_of};

const PROVIDERS: [&str; 2] = ["first", "second"];

fn charge_of(reference: Option<&String>) -> Charge {
    reference.unwrap().parse().unwrap()
}

type Question = (Row, u8, Asked, u8, u8);

/// The operation and payment that rows are written into, and the answers that `apply` gave.
struct Shipped {
    operation: Operation,
    payment: Payment,
    known: HashMap<Question, Effect>,
}

thread_local! {
    static SHIPPED: RefCell<Shipped> = RefCell::new(Shipped::new());
}

/// What the shipped [`apply`] makes of the row when the driver of `epoch` asks at `now`.
///
/// It is pure, so each question is put to it once.
pub(super) fn changed(row: Row, epoch: u8, asked: Asked, lease: u8, now: u8) -> Effect {
    SHIPPED.with_borrow_mut(|shipped| {
        let question = (row, epoch, asked, lease, now);
        if let Some(effect) = shipped.known.get(&question) {
            return *effect;
        }
        shipped.write(&row);
        let change = OperationChange {
            operation_id: shipped.operation.id,
            epoch: i64::from(epoch),
            change: change_of(asked, lease, &shipped.operation),
            at: at(now),
        };
        let effect = apply(&shipped.operation, &shipped.payment, &change, at(now));
        let effect = match effect.unwrap() {
            payment::Effect::Written {
                operation, payment, ..
            } => Effect::Written(row_of(&operation, &payment).plain(now)),
            payment::Effect::AlreadyWritten => Effect::AlreadyWritten,
            payment::Effect::Refused => Effect::Refused,
        };
        shipped.known.insert(question, effect);
        effect
    })
}

/// The row after its client canceled the payment, if the shipped [`admit`] lets him.
pub(super) fn canceled(row: Row, now: u8) -> Option<Row> {
    SHIPPED.with_borrow_mut(|shipped| {
        shipped.write(&row);
        let (operation, payment) = (&shipped.operation, &shipped.payment);
        let mut cancel = Operation::open(Opening {
            kind: OperationKind::Cancel,
            amount: 0,
            ..opening(OperationId::from_uuid(Uuid::from_u128(9)))
        });
        cancel.owner = Owner([9; 16]);
        let new = NewFollowUp {
            operation: cancel,
            lease: TICK,
        };
        let admitted = admit(payment, std::slice::from_ref(operation), &new, at(now)).ok()?;
        let ended = admitted.ended?;
        Some(row_of(&ended, &admitted.payment).plain(now))
    })
}

/// Puts a question about the row's operation to a shipped function.
pub(super) fn ask<T>(row: &Row, question: impl FnOnce(&Operation) -> T) -> T {
    SHIPPED.with_borrow_mut(|shipped| {
        shipped.operation.first_sent_at = at(row.first_sent_at);
        shipped.operation.resends_barred = row.resends_barred;
        shipped.operation.absent_at = row.absent_at.map(at);
        shipped.operation.provider_reference = None;
        question(&shipped.operation)
    })
}

fn change_of(asked: Asked, lease: u8, operation: &Operation) -> Change {
    let lease = TICK * u32::from(lease);
    let text = || "model".to_owned();
    match asked {
        Asked::TakeOver { owner } => Change::TakeOver {
            owner: Owner([owner; 16]),
            lease,
        },
        Asked::Recover { owner } => Change::Recover {
            owner: Owner([owner; 16]),
            lease,
        },
        Asked::Settle(verdict) => Change::Settle(verdict_of(verdict)),
        Asked::SettleAbsent => Change::SettleAbsent,
        Asked::LeaveInDoubt {
            bar_resends,
            absent,
        } => Change::LeaveInDoubt(LeftInDoubt {
            reason: text(),
            bar_resends,
            absent,
            ..LeftInDoubt::default()
        }),
        Asked::Release => Change::Release {
            reason: text(),
            expires_in: TICK,
        },
        Asked::FailOver { to } => Change::FailOver {
            route: ProviderRoute {
                provider: PROVIDERS[usize::from(to)].to_owned(),
                ..operation.route.clone()
            },
            lease,
            reason: text(),
        },
        Asked::Expire => Change::Expire,
        Asked::BeginResolving { owner } => Change::BeginResolving {
            owner: Owner([owner; 16]),
            lease,
        },
        Asked::ResolveFailed => Change::Resolve {
            verdict: payment::Verdict::Declined(decline("resolved_by_operator", false)),
            by: text(),
            why: text(),
            look_again_at: None,
        },
        Asked::ReverseStray(charge) => Change::ReverseStray {
            reference: charge.to_string(),
            reversed_as: text(),
        },
    }
}

fn verdict_of(verdict: Verdict) -> payment::Verdict {
    match verdict {
        Verdict::Approved(charge) => payment::Verdict::Approved(Approval {
            approved_as: ApprovedAs::Captured,
            reference: charge.to_string(),
        }),
        Verdict::Declined => payment::Verdict::Declined(decline("card_declined", false)),
        Verdict::AtTheDoor => payment::Verdict::Declined(decline("card_declined", true)),
    }
}

fn decline(code: &str, at_the_door: bool) -> Decline {
    Decline {
        code: code.to_owned(),
        message: "Refused.".to_owned(),
        reference: None,
        at_the_door,
        stands: None,
    }
}

fn row_of(operation: &Operation, payment: &Payment) -> Row {
    let settled = operation.state == OperationState::Settled;
    let end = || match (payment.status, &payment.failure) {
        (PaymentStatus::Succeeded, _) => {
            End::Succeeded(charge_of(operation.provider_reference.as_ref()))
        }
        (PaymentStatus::Canceled, _) => End::Canceled,
        (PaymentStatus::Failed, Some(failure)) => match failure.code.as_str() {
            "card_declined" => End::Declined,
            "not_executed" => End::NotExecuted,
            "payment_expired" => End::Expired,
            "resolved_by_operator" => End::ByOperator,
            code => panic!("an end that the model does not know: {code}"),
        },
        (status, _) => panic!("settled, and {status}"),
    };
    let place = PROVIDERS
        .iter()
        .position(|name| *name == operation.route.provider);
    let stray = operation.stray_reference.as_ref();
    Row {
        state: operation.state,
        epoch: u8::try_from(operation.epoch).unwrap(),
        owner: operation.owner.0[0],
        lease_until: tick_of(operation.lease_until),
        provider: u8::try_from(place.unwrap()).unwrap(),
        first_sent_at: tick_of(operation.first_sent_at),
        in_doubt: operation.in_doubt,
        resends_barred: operation.resends_barred,
        absent_at: operation.absent_at.map(tick_of),
        end: settled.then(end),
        stray: stray.map(|charge| {
            let given_back = operation.stray_reversed_at.is_some();
            (charge_of(Some(charge)), given_back)
        }),
    }
}

impl Shipped {
    fn new() -> Self {
        let opening = opening(OperationId::from_uuid(Uuid::from_u128(1)));
        let request = CreatePayment {
            money: Money::new(4_200, "EUR".parse().unwrap()).unwrap(),
            payment_method: "pm".into(),
            capture: Capture::Automatic,
            reference: None,
            description: None,
            metadata: BTreeMap::new(),
        };
        let origin = Origin {
            id: opening.payment_id,
            merchant_id: opening.scope.merchant_id,
            mode: opening.scope.mode,
            idempotency_key: opening.scope.key.clone(),
            provider: PROVIDERS[0].into(),
            created_at: at(0),
        };
        Self {
            operation: Operation::open(opening),
            payment: Payment::new(request, origin),
            known: HashMap::new(),
        }
    }

    /// Writes the row into the operation and the payment, all of it and nothing else.
    fn write(&mut self, row: &Row) {
        let (operation, payment) = (&mut self.operation, &mut self.payment);
        let provider = PROVIDERS[usize::from(row.provider)];
        let charge = match row.end {
            Some(End::Succeeded(charge)) => Some(charge.to_string()),
            _ => None,
        };
        let code = match row.end {
            Some(End::Declined) => Some("card_declined"),
            Some(End::NotExecuted) => Some("not_executed"),
            Some(End::Expired) => Some("payment_expired"),
            Some(End::ByOperator) => Some("resolved_by_operator"),
            _ => None,
        };
        let failure = code.map(|code| payment::Failure {
            code: code.to_owned(),
            message: "Refused.".to_owned(),
        });
        operation.state = row.state;
        operation.epoch = i64::from(row.epoch);
        operation.owner = Owner([row.owner; 16]);
        operation.lease_until = at(row.lease_until);
        operation.route.provider = provider.to_owned();
        operation.first_sent_at = at(row.first_sent_at);
        operation.in_doubt = row.in_doubt;
        operation.in_doubt_since = row.in_doubt.then(|| at(0));
        operation.in_doubt_reason = row.in_doubt.then(|| "model".to_owned());
        operation.resends_barred = row.resends_barred;
        operation.absent_at = row.absent_at.map(at);
        operation.provider_reference.clone_from(&charge);
        operation.failure.clone_from(&failure);
        operation.stray_reference = row.stray.map(|(charge, _)| charge.to_string());
        operation.stray_reversed_at = row.stray.and_then(|(_, back)| back.then(|| at(0)));
        payment.status = match (row.state, row.end) {
            (OperationState::Open, _) => PaymentStatus::Processing,
            (OperationState::Released, _) => PaymentStatus::Pending,
            (OperationState::Settled, Some(End::Succeeded(_))) => PaymentStatus::Succeeded,
            (OperationState::Settled, Some(End::Canceled)) => PaymentStatus::Canceled,
            (OperationState::Settled, _) => PaymentStatus::Failed,
        };
        payment.amount_captured = if charge.is_some() { 4_200 } else { 0 };
        payment.provider_reference = charge;
        payment.failure = failure;
    }
}

fn opening(id: OperationId) -> Opening {
    let request = Fingerprint::of(
        &payment::FollowUp {
            kind: OperationKind::Create,
            payment_id: PaymentId::from_uuid(Uuid::from_u128(2)),
            amount: None,
        }
        .canonical(),
    );
    Opening {
        id,
        payment_id: PaymentId::from_uuid(Uuid::from_u128(2)),
        scope: Scope {
            merchant_id: MerchantId::from_uuid(Uuid::from_u128(3)),
            mode: Mode::Test,
            key: IdempotencyKey::new("key").unwrap(),
        },
        kind: OperationKind::Create,
        fingerprint: request,
        request_id: RequestId::from_uuid(Uuid::from_u128(4)),
        owner: Owner([0; 16]),
        route: ProviderRoute {
            provider: PROVIDERS[0].to_owned(),
            account: "account".to_owned(),
            api_version: "version".to_owned(),
            key: "key".to_owned(),
            request: Vec::new(),
        },
        amount: 4_200,
        created_at: at(0),
    }
}
