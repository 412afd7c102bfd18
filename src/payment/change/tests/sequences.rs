//! Whatever is done in whatever order, amounts stay within each other, and a change that is written
//! twice is written once.

use proptest::{prelude::*, sample::select};

use super::{
    follow_ups::{approved, new},
    *,
};
use crate::payment::{Stands, admit};

/// What may come next: for one of the operations, or to begin another.
#[derive(Clone, Debug)]
enum Step {
    Change {
        operation: usize,
        epoch_back: i64,
        change: Change,
    },
    Begin {
        kind: OperationKind,
        amount: i64,
    },
    Wait {
        seconds: u64,
    },
}

fn an_owner() -> impl Strategy<Value = Owner> {
    any::<u8>().prop_map(|byte| Owner([byte; 16]))
}

fn a_verdict() -> impl Strategy<Value = Verdict> {
    use ApprovedAs as A;
    let kinds = select(vec![A::Authorized, A::Captured, A::Voided, A::Refunded]);
    let approved = (kinds, 1..4).prop_map(|(kind, n)| approved(kind, &format!("ref_{n}")));
    let stands = prop_oneof![
        Just(None),
        Just(Some(Stands::Voided)),
        (0..6_000_i64).prop_map(|amount| Some(Stands::Captured { amount })),
    ];
    let declined = (stands, any::<bool>()).prop_map(|(stands, at_the_door)| {
        Change::Settle(Verdict::Declined(Decline {
            code: "refused".into(),
            message: "Refused.".into(),
            reference: None,
            at_the_door,
            stands,
        }))
    });
    let verdict = |change| match change {
        Change::Settle(verdict) => verdict,
        other => panic!("no verdict: {other:?}"),
    };
    prop_oneof![2 => approved, 1 => declined].prop_map(verdict)
}

fn a_change() -> impl Strategy<Value = Change> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let left =
        (flags, 0..100_u64).prop_map(|((known, bar_resends, absent, by_client), again_in)| {
            Change::LeaveInDoubt(LeftInDoubt {
                reason: "timeout".into(),
                reference: known.then(|| "ref_1".into()),
                bar_resends,
                absent,
                again_in: Duration::from_secs(again_in),
                by_client,
            })
        });
    let fail_over = any::<bool>().prop_map(|second| Change::FailOver {
        route: ProviderRoute {
            provider: if second { "second" } else { "sandbox" }.into(),
            ..rows().0.route
        },
        lease: LEASE,
        reason: "connect_failed".into(),
    });
    let resolve = (a_verdict(), any::<bool>()).prop_map(|(verdict, looks_again)| Change::Resolve {
        verdict,
        by: "ada".into(),
        why: "seen".into(),
        look_again_at: looks_again.then_some(NOW),
    });
    let reverse = (1..4).prop_map(|n| Change::ReverseStray {
        reference: format!("ref_{n}"),
        reversed_as: "re_9".into(),
    });
    let take_turn = an_owner().prop_map(|owner| Change::TakeTurn {
        owner,
        again_in: LEASE,
    });
    let restore = (an_owner(), any::<bool>()).prop_map(|(owner, is_found)| Change::Restore {
        owner,
        found: is_found.then(|| FoundAt {
            route: rows().0.route,
            reference: "ref_1".into(),
        }),
    });
    let lease = LEASE;
    prop_oneof![
        4 => a_verdict().prop_map(Change::Settle),
        2 => an_owner().prop_map(move |owner| Change::TakeOver { owner, lease }),
        1 => an_owner().prop_map(move |owner| Change::Recover { owner, lease }),
        1 => an_owner().prop_map(move |owner| Change::BeginResolving { owner, lease }),
        1 => an_owner().prop_map(move |owner| Change::Renew { owner, lease }),
        1 => Just(Change::SettleAbsent),
        2 => left,
        2 => Just(release()),
        1 => Just(Change::Expire),
        1 => fail_over,
        1 => resolve,
        1 => reverse,
        1 => take_turn,
        1 => Just(Change::LookedAgain),
        1 => restore,
    ]
}

fn a_step() -> impl Strategy<Value = Step> {
    use OperationKind as K;
    // Mostly by the driver of the latest epoch.
    let epoch_back = prop_oneof![6 => Just(0), 1 => -1..3_i64];
    let change =
        (0..6_usize, epoch_back, a_change()).prop_map(|(operation, epoch_back, change)| {
            Step::Change {
                operation,
                epoch_back,
                change,
            }
        });
    let kind = select(vec![K::Capture, K::Cancel, K::Refund, K::Refund]);
    let amount = prop_oneof![Just(4_200_i64), 0..5_000_i64];
    prop_oneof![
        5 => change,
        2 => (kind, amount).prop_map(|(kind, amount)| Step::Begin { kind, amount }),
        1 => (1..120_u64).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

struct World {
    operations: Vec<Operation>,
    payment: Payment,
    now: Timestamp,
    event_count: i64,
}

impl World {
    /// The payment stands; `creates` says how it was asked for.
    fn new(first: Option<Change>) -> Self {
        let (operation, payment) = match first {
            Some(change) => after(&rows(), 1, change),
            None => rows(),
        };
        Self {
            event_count: payment.event_count,
            operations: vec![operation],
            payment,
            now: NOW,
        }
    }

    fn unsettled(&self) -> Vec<Operation> {
        let is_unsettled = |one: &&Operation| one.state != OperationState::Settled;
        self.operations
            .iter()
            .filter(is_unsettled)
            .cloned()
            .collect()
    }

    fn begin(&mut self, kind: OperationKind, amount: i64) {
        let number = self.operations.len() as u128;
        let new = new(&self.payment, kind, amount, number);
        let Ok(admitted) = admit(&self.payment, &self.unsettled(), &new, self.now) else {
            return;
        };
        if let Some(ended) = admitted.ended {
            let creation = self.operations.iter_mut().find(|one| one.id == ended.id);
            *creation.unwrap() = ended;
        }
        self.event_count += i64::try_from(admitted.events.len()).unwrap();
        self.operations.push(admitted.operation);
        self.payment = admitted.payment;
    }

    fn change(&mut self, place: usize, epoch_back: i64, change: Change) {
        let place = place % self.operations.len();
        let operation = &self.operations[place];
        let change = OperationChange {
            operation_id: operation.id,
            epoch: operation.epoch - epoch_back,
            change,
            at: self.now,
        };
        // What the rows contradict is refused whole.
        let Ok(effect) = apply(operation, &self.payment, &change, self.now) else {
            return;
        };
        let Effect::Written {
            operation,
            payment,
            events,
        } = effect
        else {
            return;
        };
        let again = apply(&operation, &payment, &change, self.now);
        assert_eq!(again, Ok(Effect::AlreadyWritten), "{change:?}");
        self.event_count += i64::try_from(events.len()).unwrap();
        self.operations[place] = *operation;
        self.payment = *payment;
    }

    fn check(&self) {
        let payment = &self.payment;
        let amount = payment.money.minor();
        let [captured, refunded] = [payment.amount_captured, payment.amount_refunded];
        let [to_capture, to_refund] = [payment.capture_reserved, payment.refund_reserved];
        assert!(to_capture >= 0 && to_refund >= 0 && refunded >= 0);
        assert!(captured + to_capture <= amount, "{payment:?}");
        assert!(refunded + to_refund <= captured, "{payment:?}");
        let held = |kind| -> i64 {
            let of_kind = self.operations.iter().filter(|one| one.kind == kind);
            of_kind.map(|one| one.amount_reserved).sum()
        };
        assert_eq!(held(OperationKind::Capture), to_capture);
        assert_eq!(held(OperationKind::Refund), to_refund);
        let ends_the_hold =
            |one: &&Operation| matches!(one.kind, OperationKind::Capture | OperationKind::Cancel);
        let unsettled = self.unsettled();
        assert!(unsettled.iter().filter(ends_the_hold).count() <= 1);
        assert_eq!(payment.event_count, self.event_count);
        for operation in &self.operations {
            let is_settled = operation.state == OperationState::Settled;
            assert_eq!(operation.answer.is_some(), is_settled);
            assert!(!is_settled || (operation.amount_reserved == 0 && !operation.in_doubt));
            assert!(is_settled || operation.failure.is_none());
            assert_eq!(operation.in_doubt, operation.in_doubt_since.is_some());
        }
    }
}

fn a_beginning() -> impl Strategy<Value = Option<Change>> {
    prop_oneof![
        Just(None),
        Just(Some(approved(ApprovedAs::Authorized, "ref_1"))),
        Just(Some(approved(ApprovedAs::Captured, "ref_1"))),
        Just(Some(release())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn rule_14_no_sequence_of_changes_moves_more_than_there_is(
        first in a_beginning(),
        steps in proptest::collection::vec(a_step(), 1..40),
    ) {
        let mut world = World::new(first);
        for step in steps {
            match step {
                Step::Change { operation, epoch_back, change } => {
                    world.change(operation, epoch_back, change);
                }
                Step::Begin { kind, amount } => world.begin(kind, amount),
                Step::Wait { seconds } => {
                    world.now = world.now.plus(Duration::from_secs(seconds));
                }
            }
            world.check();
        }
    }
}
