//! Intents and changes to try a store with.

use std::{collections::BTreeMap, time::Duration};

use oncepay::payment::{
    Approval, ApprovedAs, Capture, Change, CreatePayment, Decline, Fingerprint, IdempotencyKey,
    LeftInDoubt, Mode, Money, NewOperation, Opening, Operation, OperationChange, OperationKind,
    Origin, Payment, ProviderRoute, Scope, Standing, Verdict,
};

use crate::store::fixture::Fixture;

pub(crate) const LEASE: Duration = Duration::from_secs(60);

pub(crate) fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::new(text).unwrap()
}

pub(crate) fn request() -> CreatePayment {
    CreatePayment {
        money: Money::new(4_200, "EUR".parse().unwrap()).unwrap(),
        payment_method: "pm_card_visa".into(),
        capture: Capture::Automatic,
        reference: Some("order-17".into()),
        description: None,
        metadata: BTreeMap::from([("table".into(), "7".into())]),
    }
}

impl Fixture {
    /// An intent to create a payment of 42 euros under `key`.
    pub(crate) fn intent(&self, key: &str) -> NewOperation {
        self.intent_of(key, request())
    }

    pub(crate) fn intent_of(&self, key: &str, request: CreatePayment) -> NewOperation {
        self.intent_in(Mode::Test, key, request)
    }

    pub(crate) fn intent_in(&self, mode: Mode, text: &str, request: CreatePayment) -> NewOperation {
        let (environment, now) = (&self.environment, self.environment.now());
        let fingerprint = Fingerprint::of(&request.canonical());
        let payment = Payment::new(
            request,
            Origin {
                id: environment.new_id(),
                merchant_id: self.merchant.id,
                mode,
                idempotency_key: key(text),
                provider: "sandbox".into(),
                created_at: now,
            },
        );
        let operation = Operation::open(Opening {
            id: environment.new_id(),
            payment_id: payment.id,
            scope: Scope {
                merchant_id: self.merchant.id,
                mode,
                key: key(text),
            },
            kind: OperationKind::Create,
            fingerprint,
            request_id: environment.new_id(),
            owner: environment.new_owner(),
            route: ProviderRoute {
                provider: "sandbox".into(),
                account: "acct_1".into(),
                api_version: "2024-06-20".into(),
                key: format!("oncepay-{text}"),
                request: b"amount=4200&currency=eur".to_vec(),
            },
            amount: payment.money.minor(),
            created_at: now,
        });
        NewOperation {
            operation,
            payment,
            lease: LEASE,
        }
    }

    /// A change of what stands, by the driver of its epoch.
    pub(crate) fn change(&self, standing: &Standing, change: Change) -> OperationChange {
        OperationChange {
            operation_id: standing.operation.id,
            epoch: standing.operation.epoch,
            change,
            at: self.environment.now(),
        }
    }

    pub(crate) fn take_over(&self, standing: &Standing) -> OperationChange {
        let owner = self.environment.new_owner();
        self.change(
            standing,
            Change::TakeOver {
                owner,
                lease: LEASE,
            },
        )
    }
}

pub(crate) fn captured(reference: &str) -> Change {
    Change::Settle(Verdict::Approved(Approval {
        approved_as: ApprovedAs::Captured,
        reference: reference.into(),
    }))
}

pub(crate) fn declined() -> Change {
    Change::Settle(Verdict::Declined(Decline {
        code: "insufficient_funds".into(),
        message: "The card has not enough money.".into(),
        reference: None,
        at_the_door: false,
        stands: None,
    }))
}

pub(crate) fn released() -> Change {
    let reason = "connection refused".into();
    Change::Release {
        reason,
        expires_in: Duration::from_secs(86_400),
    }
}

pub(crate) fn left_in_doubt() -> Change {
    let reason = "no answer".into();
    Change::LeaveInDoubt(LeftInDoubt {
        reason,
        ..LeftInDoubt::default()
    })
}
