//! Renewals of a lease: by the driver that holds it, and by nobody else.

use std::time::Duration;

use oncepay::{
    payment::{Change, Owner, Standing},
    store::Claim,
};

use crate::{
    store::fixture::{Fixture, eventually, on_both_stores, only},
    store::samples::{LEASE, captured, left_in_doubt, released},
};

on_both_stores! {
    rule_13_a_lease_is_renewed_by_its_driver_alone,
    rule_13_a_lease_that_ran_out_is_not_renewed,
    rule_13_what_ended_is_not_held_again_by_a_late_renewal,
}

fn renew(owner: Owner) -> Change {
    Change::Renew {
        owner,
        lease: LEASE,
    }
}

impl Fixture {
    async fn begun_for(&self, lease: Duration) -> Standing {
        let mut intent = self.intent("k");
        intent.lease = lease;
        self.begin(intent).await.unwrap()
    }

    async fn claimable(&self) -> usize {
        let claim = Claim {
            owner: self.environment.new_owner(),
            lease: LEASE,
            limit: 10,
            providers: vec!["sandbox".into()],
            to_be_found: false,
            at: self.environment.now(),
        };
        self.store.claim(claim).await.unwrap().len()
    }
}

async fn rule_13_a_lease_is_renewed_by_its_driver_alone(at: Fixture) {
    let begun = at.begun_for(Duration::from_secs(20)).await;
    let owner = begun.operation.owner;

    let stranger = at.changed(&begun, renew(at.environment.new_owner())).await;
    let mut stale = begun.clone();
    stale.operation.epoch += 1;
    let other_epoch = at.changed(&stale, renew(owner)).await;
    assert!(!stranger.applied && !other_epoch.applied);
    assert_eq!(other_epoch.operation, begun.operation);

    let renewed = at.changed(&begun, renew(owner)).await;
    assert!(renewed.applied);
    assert_eq!(renewed.operation.lease_until, renewed.now.plus(LEASE));
    assert_eq!(
        renewed.operation.next_recovery_at,
        begun.operation.next_recovery_at
    );
    assert_eq!(renewed.payment, begun.payment);
    assert_eq!(at.history(begun.payment.id).await, ["created"]);
}

async fn rule_13_a_lease_that_ran_out_is_not_renewed(at: Fixture) {
    let begun = at.begun_for(Duration::from_millis(300)).await;
    let refused = eventually(async || {
        let renewed = at.changed(&begun, renew(begun.operation.owner)).await;
        // A first renewal comes in time, unless the machine slept.
        if renewed.applied {
            at.sql("update operations set lease_until = 0, next_recovery_at = 0")
                .await
                .unwrap();
        }
        (!renewed.applied).then_some(renewed)
    });
    let refused = refused.await;
    assert!(!refused.operation.is_leased(refused.now));
    assert_eq!(at.claimable().await, 1, "it is the next driver's");
}

async fn rule_13_what_ended_is_not_held_again_by_a_late_renewal(at: Fixture) {
    for (key, end) in [
        ("left", left_in_doubt()),
        ("released", released()),
        ("settled", captured("pi_1")),
    ] {
        let begun = at.begin(at.intent(key)).await.unwrap();
        let ended = at.changed(&begun, end).await;
        let late = at.changed(&begun, renew(begun.operation.owner)).await;
        assert!(!late.applied, "{key}");
        assert_eq!(late.operation, ended.operation, "{key}");
    }
    // Taken over, it is another's to renew.
    let begun = at.begin(at.intent("taken")).await.unwrap();
    let left = at.changed(&begun, left_in_doubt()).await;
    let taken = only(at.store.change(vec![at.take_over(&left)]).await).unwrap();
    let late = at.changed(&begun, renew(begun.operation.owner)).await;
    assert!(!late.applied);
    assert_eq!(late.operation, taken.operation);
    let own = at.changed(&taken, renew(taken.operation.owner)).await;
    assert!(own.applied);
}
