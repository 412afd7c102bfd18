//! Intents and changes to try a store with.

use std::{collections::BTreeMap, time::Duration};

use oncepay::{
    payment::{
        Approval, ApprovedAs, Begun, Capture, Change, CreatePayment, Decline, Fingerprint,
        FollowUp, IdempotencyKey, LeftInDoubt, Mode, Money, NewFollowUp, NewOperation, Opening,
        Operation, OperationChange, OperationKind, Origin, Payment, PaymentId, ProviderRoute,
        Scope, Standing, Verdict,
    },
    store::PaymentQuery,
};

use crate::store::fixture::{Fixture, only};

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
            route: route(&format!("oncepay-{text}")),
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

    /// A capture, cancel or refund of a payment.
    pub(crate) fn follow_up(
        &self,
        payment: &Payment,
        kind: OperationKind,
        text: &str,
        amount: i64,
    ) -> NewFollowUp {
        let (environment, now) = (&self.environment, self.environment.now());
        let asked = FollowUp {
            kind,
            payment_id: payment.id,
            amount: Some(amount),
        };
        let operation = Operation::open(Opening {
            id: environment.new_id(),
            payment_id: payment.id,
            scope: Scope {
                merchant_id: payment.merchant_id,
                mode: payment.mode,
                key: key(text),
            },
            kind,
            fingerprint: Fingerprint::of(&asked.canonical()),
            request_id: environment.new_id(),
            owner: environment.new_owner(),
            route: route(&format!("oncepay-{text}")),
            amount,
            created_at: now,
        });
        NewFollowUp {
            operation,
            lease: LEASE,
        }
    }

    /// A payment after the first change of the operation that made it.
    pub(crate) async fn payment_after(&self, key: &str, change: Change) -> Standing {
        let begun = self.begin(self.intent(key)).await.unwrap();
        self.changed(&begun, change).await
    }

    /// What stands after a change by the driver of what stood.
    pub(crate) async fn changed(&self, standing: &Standing, change: Change) -> Standing {
        let change = self.change(standing, change);
        only(self.store.change(vec![change]).await).unwrap()
    }

    pub(crate) async fn follow(&self, new: NewFollowUp) -> Begun {
        only(self.store.begin_follow_ups(vec![new]).await).unwrap()
    }

    /// The payment as it is now.
    pub(crate) async fn payment(&self, id: PaymentId) -> Payment {
        let found = self.store.payment(self.merchant.id, Mode::Test, id).await;
        found.unwrap().unwrap()
    }

    /// Each event of a payment in its place.
    pub(crate) async fn history(&self, id: PaymentId) -> Vec<&'static str> {
        let events = self.store.events(self.merchant.id, Mode::Test, id).await;
        let events = events.unwrap().unwrap();
        for (place, event) in events.iter().enumerate() {
            assert_eq!(event.seq, i64::try_from(place + 1).unwrap());
        }
        events.iter().map(|one| one.event.name()).collect()
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

pub(crate) fn route(key: &str) -> ProviderRoute {
    ProviderRoute {
        provider: "sandbox".into(),
        account: "acct_1".into(),
        api_version: "2024-06-20".into(),
        key: key.into(),
        request: b"amount=4200&currency=eur".to_vec(),
    }
}

/// What began and stands.
#[track_caller]
pub(crate) fn standing(begun: Begun) -> Standing {
    match begun {
        Begun::Standing(standing) => *standing,
        other => panic!("not begun: {other:?}"),
    }
}

pub(crate) fn authorized(reference: &str) -> Change {
    approved(ApprovedAs::Authorized, reference)
}

pub(crate) fn refunded(reference: &str) -> Change {
    approved(ApprovedAs::Refunded, reference)
}

pub(crate) fn approved(approved_as: ApprovedAs, reference: &str) -> Change {
    Change::Settle(Verdict::Approved(Approval {
        approved_as,
        reference: reference.into(),
    }))
}

pub(crate) fn captured(reference: &str) -> Change {
    approved(ApprovedAs::Captured, reference)
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

/// The newest payments of the merchant, whatever they are.
pub(crate) fn query(at: &Fixture) -> PaymentQuery {
    PaymentQuery {
        merchant_id: at.merchant.id,
        mode: Mode::Test,
        limit: 100,
        cursor: None,
        status: None,
        currency: None,
        reference: None,
        idempotency_key: None,
        created_from: None,
        created_to: None,
    }
}
