//! Recovery's claims: what is due, by whom, and never twice.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use oncepay::{
    payment::{Change, LeftInDoubt, OperationState, Standing},
    store::Claim,
};

use crate::{
    store::fixture::{Fixture, eventually, on_both_stores, open_store},
    store::samples::{LEASE, captured, left_in_doubt, released},
};

on_both_stores! {
    rule_13_two_claimers_never_get_the_same_operation,
    rule_13_what_is_leased_not_due_released_or_settled_is_not_claimed,
    rule_13_a_lost_drivers_operation_is_claimed_in_doubt,
    rule_13_only_known_providers_and_the_longest_due_first,
    rule_13_what_can_only_be_found_is_claimed_apart,
    rule_13_one_unreadable_operation_does_not_stop_the_others,
}

impl Fixture {
    pub(crate) fn claim(&self, limit: u32) -> Claim {
        Claim {
            owner: self.environment.new_owner(),
            lease: LEASE,
            limit,
            providers: vec!["another".into(), "sandbox".into()],
            to_be_found: false,
            at: self.environment.now(),
        }
    }

    pub(crate) async fn claimed(&self, limit: u32) -> Vec<Standing> {
        self.store.claim(self.claim(limit)).await.unwrap()
    }
}

async fn rule_13_two_claimers_never_get_the_same_operation(at: Fixture) {
    const ALL: usize = 60;
    for n in 0..ALL {
        at.payment_after(&format!("k{n}"), left_in_doubt()).await;
    }
    let stores = [Arc::clone(&at.store), open_store(&at.url).await];
    let tasks: Vec<_> = (0..12)
        .map(|n| {
            let (store, claim) = (Arc::clone(&stores[n % 2]), at.claim(7));
            tokio::spawn(async move {
                let mut mine: Vec<Standing> = Vec::new();
                // Until nothing is due any more, though others may have hidden it for a moment.
                for _ in 0..ALL {
                    mine.extend(store.claim(claim.clone()).await.unwrap());
                }
                (claim.owner, mine)
            })
        })
        .collect();

    let mut seen = BTreeSet::new();
    for task in tasks {
        let (owner, mine) = task.await.unwrap();
        for one in mine {
            assert!(one.applied && one.operation.is_leased(one.now));
            assert_eq!(one.operation.owner.0, owner.0);
            assert_eq!((one.operation.epoch, one.operation.recovery_tries), (2, 1));
            assert_eq!(one.operation.lease_until, one.now.plus(LEASE));
            // Written before it is driven: who dies at it is not asked again at once.
            assert_eq!(one.operation.next_recovery_at, one.operation.lease_until);
            assert!(seen.insert(one.operation.id), "claimed twice");
        }
    }

    assert_eq!(seen.len(), ALL);
}

async fn rule_13_what_is_leased_not_due_released_or_settled_is_not_claimed(at: Fixture) {
    at.begin(at.intent("leased")).await.unwrap();
    let later = Change::LeaveInDoubt(LeftInDoubt {
        reason: "timeout".into(),
        again_in: Duration::from_secs(60),
        ..LeftInDoubt::default()
    });
    let not_due = at.payment_after("not-due", later).await;
    let pending = at.payment_after("released", released()).await;
    at.payment_after("settled", captured("pi_1")).await;

    assert_eq!(at.claimed(10).await, []);

    assert!(!not_due.operation.is_leased(not_due.now));
    let found = at.store.operation_by_id(pending.operation.id).await;
    let found = found.unwrap().unwrap();
    assert_eq!(found.operation, pending.operation);
    assert_eq!(found.operation.state, OperationState::Released);
}

async fn rule_13_a_lost_drivers_operation_is_claimed_in_doubt(at: Fixture) {
    let mut intent = at.intent("k");
    intent.lease = Duration::from_millis(200);
    let begun = at.begin(intent).await.unwrap();

    let claimed = eventually(async || {
        let claimed = at.claimed(10).await.pop();
        assert!(
            claimed
                .iter()
                .all(|one| one.now >= begun.operation.lease_until)
        );
        claimed
    });
    let claimed = claimed.await;

    assert!(claimed.operation.in_doubt && claimed.operation.in_doubt_since.is_some());
    assert_eq!(claimed.operation.recovery_tries, 1);
    assert_eq!(
        claimed.operation.first_sent_at,
        begun.operation.first_sent_at
    );
    let history = at.history(begun.payment.id).await;
    assert_eq!(history, ["created", "became_in_doubt"]);
    assert_eq!(at.claimed(10).await, [], "it has a driver now");
    let settled = at.changed(&claimed, captured("pi_1")).await;
    assert!(settled.applied);
}

async fn rule_13_only_known_providers_and_the_longest_due_first(at: Fixture) {
    let mut due = Vec::new();
    for n in 0..4 {
        let left = at.payment_after(&format!("k{n}"), left_in_doubt()).await;
        due.push(left.operation.id);
    }
    let mut foreign = at.intent("foreign");
    foreign.operation.route.provider = "gone".into();
    let foreign = at.begin(foreign).await.unwrap();
    at.changed(&foreign, left_in_doubt()).await;

    let (first, rest) = (at.claimed(1).await, at.claimed(10).await);

    let ids: Vec<_> = first
        .iter()
        .chain(&rest)
        .map(|one| one.operation.id)
        .collect();
    assert_eq!(first.len(), 1);
    // SQLite's clock has milliseconds, and those of one may come in any order.
    let by_time = |standings: &[Standing]| -> Vec<_> {
        standings
            .iter()
            .map(|one| one.operation.in_doubt_since)
            .collect()
    };
    assert!(by_time(&first) <= by_time(&rest), "the oldest first");
    assert_eq!(
        ids.into_iter().collect::<BTreeSet<_>>(),
        due.into_iter().collect()
    );
}

async fn rule_13_what_can_only_be_found_is_claimed_apart(at: Fixture) {
    let barred = |reference: Option<&str>| {
        Change::LeaveInDoubt(LeftInDoubt {
            reason: "stored_server_error".into(),
            reference: reference.map(str::to_owned),
            bar_resends: true,
            ..LeftInDoubt::default()
        })
    };
    let sent = at.payment_after("sent", left_in_doubt()).await;
    let known = at.payment_after("known", barred(Some("pi_1"))).await;
    let lost = at.payment_after("lost", barred(None)).await;
    let ids = |claimed: Vec<Standing>| -> BTreeSet<_> {
        claimed.iter().map(|one| one.operation.id).collect()
    };

    let to_be_found = Claim {
        to_be_found: true,
        ..at.claim(10)
    };
    let found = at.store.claim(to_be_found).await.unwrap();
    assert_eq!(ids(found), BTreeSet::from([lost.operation.id]));
    let others = BTreeSet::from([sent.operation.id, known.operation.id]);
    assert_eq!(ids(at.claimed(10).await), others);
}

async fn rule_13_one_unreadable_operation_does_not_stop_the_others(at: Fixture) {
    let odd = at.payment_after("odd", left_in_doubt()).await;
    let sound = at.payment_after("sound", left_in_doubt()).await;
    let spoil = format!(
        "update operations set request_id = 'from a later version' where id = '{}'",
        odd.operation.id
    );
    at.sql(&spoil).await.unwrap();

    let claimed = at.claimed(10).await;

    let ids: Vec<_> = claimed.iter().map(|one| one.operation.id).collect();
    assert_eq!(ids, [sound.operation.id]);
}
