use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use oncepay::{
    actors::{DriveSettings, Patience, Refusal, Reply},
    payment::Id,
};
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};
use uuid::Uuid;

use super::{
    model_store::Fault,
    scripted_provider::approved,
    world::{MINUTE, QUEUE_WAIT, World, simulate, simulate_bounded},
};

/// A provider that takes all that is let in.
fn roomy(settings: &mut DriveSettings) {
    (settings.gate.limiter.min, settings.gate.limiter.max) = (10_000, 10_000);
}

const DAY: Duration = Duration::from_secs(24 * 3_600);

fn is_overloaded(reply: &Result<Reply, Refusal>) -> bool {
    matches!(reply, Err(Refusal::Overloaded))
}

#[track_caller]
fn assert_paid(reply: &Result<Reply, Refusal>) {
    let paid = matches!(reply, Ok(Reply::Settled { answer, .. }) if answer.status == 201);
    assert!(paid, "{reply:?}");
}

/// Holds the next `batches` batches of the store until the notice.
fn stall(world: &World, batches: usize) -> Arc<Notify> {
    let notice = Arc::new(Notify::new());
    (0..batches).for_each(|_| world.store.fail_next(Fault::Stalls(Arc::clone(&notice))));
    notice
}

/// Fills both of the store's slots for intents with one that stalls.
async fn with_stalled_intents(world: &World) -> Arc<Notify> {
    let notice = stall(world, 2);
    for key in ["first", "second"] {
        let (payments, order) = (world.payments.clone(), world.order(key, 4_200));
        actix::spawn(async move { payments.submit(order, Patience::UntilTheDeadline).await });
        // Long enough to be in a batch of its own, and short beside every wait.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    notice
}

#[test]
fn one_merchant_gets_four_fifths_and_another_still_finds_room() {
    simulate_bounded(DAY, roomy, |world| async move {
        (0..1_001).for_each(|_| world.provider.then(Duration::from_secs(1), approved()));
        let keys: Vec<_> = (0..1_000).map(|n| format!("k{n}")).collect();
        let flood = join_all(keys.iter().map(|key| world.pay(key)));
        let other = async {
            // After the flood.
            tokio::task::yield_now().await;
            let mut order = world.order("k0", 1);
            order.scope.merchant_id = Id::from_uuid(Uuid::from_u128(8));
            world
                .payments
                .submit(order, Patience::AtMost(Duration::ZERO))
                .await
        };
        let (replies, other) = tokio::join!(flood, other);
        assert!(matches!(other, Ok(Reply::Processing(_))), "{other:?}");
        let (refused, admitted): (Vec<_>, Vec<_>) = keys
            .iter()
            .zip(replies)
            .partition(|(_, reply)| is_overloaded(reply));
        assert_eq!((admitted.len(), refused.len()), (800, 200));
        for (key, _) in refused {
            assert!(world.store.rows(key).is_none());
        }
    });
}

#[test]
fn a_storm_of_one_key_is_one_operation_and_its_surplus_is_turned_away() {
    simulate_bounded(DAY, roomy, |world| async move {
        world.provider.then(Duration::from_secs(1), approved());
        let storm = join_all((0..2_000).map(|_| world.pay("k")));
        let beside = join_all((0..100).map(|n| {
            let key = format!("beside-{n}");
            let world = &world;
            async move { world.pay(&key).await }
        }));
        let (storm, beside) = tokio::join!(storm, beside);
        beside.iter().for_each(assert_paid);
        let (refused, paid): (Vec<_>, Vec<_>) = storm.into_iter().partition(is_overloaded);
        assert_eq!((paid.len(), refused.len()), (256, 1_744));
        paid.iter().for_each(assert_paid);
        assert_eq!(world.provider.calls().len(), 101);
    });
}

#[test]
fn rule_18_an_intent_that_waits_too_long_for_the_store_is_taken_back() {
    simulate(|world| async move {
        let notice = with_stalled_intents(&world).await;
        let started = Instant::now();
        let reply = world.pay("late").await;
        assert!(is_overloaded(&reply), "{reply:?}");
        assert_eq!(started.elapsed().as_secs(), QUEUE_WAIT.as_secs());
        notice.notify_waiters();
        assert_paid(&world.pay("first").await);
        assert!(world.store.rows("late").is_none(), "nothing comes after");
        assert_paid(&world.pay("late").await);
        assert_eq!(world.provider.calls().len(), 3);
    });
}

#[test]
fn rule_18_an_intent_that_the_store_has_is_waited_for() {
    simulate(|world| async move {
        let notice = stall(&world, 1);
        let pay = world.pay("k");
        tokio::pin!(pay);
        assert!(timeout(2 * QUEUE_WAIT, &mut pay).await.is_err());
        notice.notify_waiters();
        assert_paid(&pay.await);
    });
}

#[test]
fn a_client_that_waits_no_longer_is_not_served_late() {
    simulate(|world| async move {
        let _notice = with_stalled_intents(&world).await;
        let patience = Patience::AtMost(Duration::from_secs(1));
        let started = Instant::now();
        let reply = world.payments.submit(world.order("k", 1), patience).await;
        assert!(is_overloaded(&reply), "{reply:?}");
        assert_eq!(started.elapsed().as_secs(), 1);
    });
}

#[test]
fn a_client_that_does_not_wait_at_all_is_served() {
    simulate(|world| async move {
        let notice = with_stalled_intents(&world).await;
        let patience = Patience::AtMost(Duration::ZERO);
        let reply = world.payments.submit(world.order("k", 1), patience);
        let (reply, ()) = tokio::join!(reply, async { notice.notify_waiters() });
        assert!(matches!(reply, Ok(Reply::Processing(_))), "{reply:?}");
    });
}

#[test]
fn no_work_begins_that_leaves_no_time_for_an_attempt() {
    simulate(|world| async move {
        // An attempt may take ten seconds.
        let mut order = world.order("k", 1);
        order.deadline = Instant::now() + Duration::from_secs(9);
        let reply = world
            .payments
            .submit(order, Patience::UntilTheDeadline)
            .await;
        assert!(is_overloaded(&reply), "{reply:?}");
        assert!(world.store.rows("k").is_none());
    });
}

#[test]
fn more_intents_than_may_wait_are_turned_away_at_once() {
    let bounds = |settings: &mut DriveSettings| {
        roomy(settings);
        settings.begins_waiting_max = 300;
    };
    simulate_bounded(DAY, bounds, |world| async move {
        let notice = with_stalled_intents(&world).await;
        let keys: Vec<_> = (0..400).map(|n| format!("k{n}")).collect();
        let started = Instant::now();
        let quick = QUEUE_WAIT / 2;
        let all = join_all(keys.iter().map(|key| async {
            let reply = world.pay(key).await;
            (reply, started.elapsed())
        }));
        let release = async {
            tokio::time::sleep(quick).await;
            notice.notify_waiters();
        };
        let (replies, ()) = tokio::join!(all, release);
        let (refused, begun): (Vec<_>, Vec<_>) =
            replies.iter().partition(|(reply, _)| is_overloaded(reply));
        assert_eq!((refused.len(), begun.len()), (100, 300));
        assert!(refused.iter().all(|(_, took)| *took < quick));
        assert!(begun.iter().all(|(reply, _)| reply.is_ok()));
    });
}

#[test]
fn a_change_of_what_is_recorded_waits_as_long_as_it_must() {
    let bounds = |settings: &mut DriveSettings| settings.begins_waiting_max = 1;
    simulate_bounded(DAY, bounds, |world| async move {
        world.provider.then(Duration::from_secs(1), approved());
        world.provider.then(Duration::from_secs(2), approved());
        world.provider.then(Duration::from_secs(3), approved());
        world.provider.then(Duration::from_secs(4), approved());
        let keys = ["a", "b", "c", "d"];
        let mut asked = Vec::new();
        for key in keys {
            let (payments, order) = (world.payments.clone(), world.order(key, 1));
            asked.push(actix::spawn(async move {
                payments.submit(order, Patience::UntilTheDeadline).await
            }));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // Both slots for changes stall, and two more changes wait behind them.
        let notice = stall(&world, 2);
        tokio::time::sleep(4 * QUEUE_WAIT).await;
        assert!(asked.iter().all(|asked| !asked.is_finished()));
        notice.notify_waiters();
        for asked in asked {
            assert_paid(&timeout(MINUTE, asked).await.unwrap().unwrap());
        }
    });
}

#[test]
fn those_turned_away_are_spread_over_the_longer_the_more_they_are() {
    simulate_bounded(DAY, roomy, |world| async move {
        assert_eq!(world.payments.retry_span_s(), 2);
        (0..800).for_each(|_| world.provider.then(Duration::from_secs(1), approved()));
        let keys: Vec<_> = (0..8_800).map(|n| format!("k{n}")).collect();
        join_all(keys.iter().map(|key| world.pay(key))).await;
        assert_eq!(world.payments.retry_span_s(), 11);
        tokio::time::sleep(3 * Duration::from_secs(1)).await;
        assert_eq!(world.payments.retry_span_s(), 2);
    });
}
