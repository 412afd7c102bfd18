//! The lease of a driver: renewed while its call runs, and what is left of it once it is lost.

use std::time::Duration;

use oncepay::{
    actors::{DriveSettings, Patience, Refusal, Reply},
    payment::{Operation, Owner, PaymentStatus},
    provider::{InDoubtReason, Outcome},
};
use tokio::{task::JoinHandle, time::sleep};

use super::{
    model_store::Fault,
    scripted_provider::{approved, in_doubt},
    world::{DAY, MINUTE, World, simulate_bounded},
};

const SECOND: Duration = Duration::from_secs(1);

/// An operation may take longer than its first lease, and recovery looks for what lost its driver.
fn long_calls(settings: &mut DriveSettings) {
    settings.deadline = 10 * MINUTE;
    settings.recovery.sweep_every = 5 * SECOND;
}

/// As [`long_calls`], and nobody recovers.
fn unrecovered(settings: &mut DriveSettings) {
    settings.deadline = 10 * MINUTE;
}

fn lost() -> Outcome {
    in_doubt(InDoubtReason::Timeout, None)
}

/// Asks for a payment, and waits for its answer in a task of its own.
fn paying(world: &World, key: &str) -> JoinHandle<Result<Reply, Refusal>> {
    let (payments, order) = (world.payments.clone(), world.order(key, 4_200));
    actix::spawn(async move { payments.submit(order, Patience::UntilTheDeadline).await })
}

/// Lets another node's driver take the operation over, whatever its lease says.
fn taken_by_another(world: &World, key: &str) -> Operation {
    let (mut operation, mut payment) = world.store.rows(key).unwrap();
    let now = world.environment.now();
    operation.epoch += 1;
    operation.owner = Owner([9; 16]);
    operation.lease_until = now.plus(5 * MINUTE);
    operation.in_doubt = true;
    operation.in_doubt_since = Some(now);
    payment.in_doubt_since = Some(now);
    world.store.plant(operation.clone(), payment);
    operation
}

#[test]
fn rule_13_a_lease_is_renewed_while_its_call_runs() {
    simulate_bounded(DAY, long_calls, |world| async move {
        world.provider.then(5 * MINUTE, approved());
        let reply = paying(&world, "k");
        sleep(SECOND).await;
        let (begun, _) = world.store.rows("k").unwrap();
        for _ in 0..4 {
            sleep(MINUTE).await;
            let (held, _) = world.store.rows("k").unwrap();
            assert_eq!((held.epoch, held.owner), (1, begun.owner));
            assert!(!held.in_doubt && held.is_leased(world.environment.now().plus(30 * SECOND)));
        }
        let reply = reply.await.unwrap();
        assert!(
            matches!(
                reply,
                Ok(Reply::Settled {
                    replayed: false,
                    ..
                })
            ),
            "{reply:?}"
        );
        assert_eq!(world.provider.calls().len(), 1);
    });
}

#[test]
fn rule_13_a_driver_that_hangs_does_not_keep_its_operation_for_ever() {
    let bounds = |settings: &mut DriveSettings| settings.recovery.sweep_every = 5 * SECOND;
    simulate_bounded(DAY, bounds, |world| async move {
        // Longer than an attempt may take, and than the whole operation may.
        world.provider.then(DAY, approved());
        let reply = world.pay("k").await;
        assert!(matches!(reply, Ok(Reply::Processing(_))), "{reply:?}");
        sleep(2 * MINUTE).await;
        let (operation, payment) = world.store.rows("k").unwrap();
        assert_eq!(payment.status, PaymentStatus::Succeeded);
        assert_eq!((operation.epoch, operation.recovery_tries), (2, 1));
    });
}

#[test]
fn rule_8_a_lease_that_was_lost_lets_nothing_out_and_changes_nothing() {
    simulate_bounded(DAY, unrecovered, |world| async move {
        world.provider.then(25 * SECOND, lost());
        let reply = paying(&world, "k");
        sleep(10 * SECOND).await;
        let others = taken_by_another(&world, "k");
        let reply = reply.await.unwrap();
        assert!(matches!(reply, Ok(Reply::Processing(_))), "{reply:?}");
        assert_eq!(
            world.provider.calls().len(),
            1,
            "there was time for a second"
        );
        assert_eq!(world.store.rows("k").unwrap().0, others);
    });
}

/// A lease lasts 60 s and an attempt 10 s: without a renewal nothing begins after 50 s.
#[test]
fn rule_8_a_renewal_that_nobody_confirms_leaves_the_window_as_it_was() {
    simulate_bounded(DAY, unrecovered, |world| async move {
        world.provider.then(45 * SECOND, lost());
        world.provider.then(10 * SECOND, lost());
        let reply = paying(&world, "k");
        sleep(SECOND).await;
        // Each of them may have renewed the lease, and indeed has.
        (0..200).for_each(|_| world.store.fail_next(Fault::ReplyLost));
        let reply = reply.await.unwrap();
        assert!(matches!(reply, Ok(Reply::Processing(_))), "{reply:?}");
        assert_eq!(world.provider.calls().len(), 2);
    });
}

#[test]
fn a_renewal_that_was_confirmed_moves_the_window() {
    simulate_bounded(DAY, unrecovered, |world| async move {
        world.provider.then(45 * SECOND, lost());
        world.provider.then(10 * SECOND, lost());
        let reply = paying(&world, "k").await.unwrap();
        assert!(matches!(reply, Ok(Reply::Settled { .. })), "{reply:?}");
        assert_eq!(world.provider.calls().len(), 3);
    });
}

#[test]
fn rule_12_a_driver_that_lost_its_lease_still_brings_a_definite_answer() {
    simulate_bounded(DAY, unrecovered, |world| async move {
        world.provider.then(30 * SECOND, approved());
        let reply = paying(&world, "k");
        sleep(10 * SECOND).await;
        taken_by_another(&world, "k");
        let reply = reply.await.unwrap();
        assert!(matches!(reply, Ok(Reply::Settled { .. })), "{reply:?}");
        let (operation, payment) = world.store.rows("k").unwrap();
        assert_eq!(payment.status, PaymentStatus::Succeeded);
        assert_eq!(operation.epoch, 2);
    });
}
