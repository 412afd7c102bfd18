//! Looks for operations at a provider whose list is long.

use std::time::Duration;

use oncepay::{
    actors::{DriveSettings, Reply, Resolution, ResolveRefusal, Resolver},
    payment::{Id, IdempotencyKey, Operation, Payment, PaymentStatus},
    provider::{Found, InDoubtReason, Outcome},
};
use tokio::{
    join,
    time::{Instant, sleep},
};
use uuid::Uuid;

use super::{
    recovery::until,
    scripted_provider::{approved, in_doubt},
    world::{DAY, HOUR, MINUTE, World, simulate, simulate_bounded},
};

const SECOND: Duration = Duration::from_secs(1);
/// As long as a page of Stripe's takes.
const PAGE: Duration = Duration::from_millis(300);
/// From the first send until an absence counts.
const UNTIL_IT_COUNTS: Duration = Duration::from_secs(26 * 3_600);

/// Runs `story` with the settings of a server as it comes.
fn simulate_sweeping<S: Future<Output = ()>>(story: impl FnOnce(World) -> S) {
    let sweeping = |settings: &mut DriveSettings| {
        settings.recovery.sweep_every = SECOND;
    };
    simulate_bounded(DAY, sweeping, story);
}

fn lost() -> Outcome {
    in_doubt(InDoubtReason::Timeout, None)
}

/// A payment that can only be looked for.
async fn barred(world: &World, key: &str) -> Payment {
    let stored = in_doubt(InDoubtReason::StoredServerError, None);
    world.provider.then(Duration::ZERO, stored);
    drop(world.pay(key).await);
    let (operation, payment) = world.store.rows(key).unwrap();
    assert!(operation.can_only_be_found());
    payment
}

/// Makes it so that the operation was first sent so long ago.
fn long_ago(world: &World, key: &str, ago: Duration) {
    let (mut operation, payment) = world.store.rows(key).unwrap();
    operation.first_sent_at = operation.first_sent_at.minus(ago);
    world.store.plant(operation, payment);
}

/// A quarter of an hour's reading, of which one lease has room for fifty seconds.
#[test]
fn rule_9_an_absence_from_a_long_list_settles_after_as_many_looks_as_it_takes() {
    simulate_sweeping(|world| async move {
        world.provider.lists(3_000, PAGE);
        world.provider.always(lost());
        drop(world.pay("k").await);
        long_ago(&world, "k", UNTIL_IT_COUNTS - HOUR);
        sleep(HOUR).await;
        let early = world.provider.looks();
        assert!(
            (20..=20 * 14).contains(&early),
            "a few every five minutes: {early}"
        );

        let reading = 3_000 * PAGE;
        let took = until(&world, "k", PaymentStatus::Failed, 6 * HOUR).await;
        assert!(took >= HOUR + 2 * reading, "twice, an hour apart: {took:?}");
        assert!(took < HOUR + 3 * reading, "{took:?}");
        let (_, payment) = world.store.rows("k").unwrap();
        assert_eq!(payment.failure.unwrap().code, "not_executed");
        let read = world.provider.looks() - early;
        // Beside both searches, a few questions every five minutes of the hour between.
        assert!((6_000..6_000 + 20 * 16).contains(&read), "{read}");
    });
}

/// Ten payments a second of a whole account, in all of the time in which it can have been made.
#[test]
fn rule_9_the_list_of_a_busy_account_is_read_within_hours() {
    simulate_sweeping(|world| async move {
        world.provider.lists(10 * 28 * 3_600 / 100, PAGE);
        barred(&world, "k").await;
        long_ago(&world, "k", UNTIL_IT_COUNTS);
        until(&world, "k", PaymentStatus::Failed, 4 * HOUR).await;
    });
}

#[test]
fn rule_9_what_is_found_far_down_a_long_list_settles_at_once() {
    simulate_sweeping(|world| async move {
        world.provider.lists(3_000, PAGE);
        barred(&world, "k").await;
        long_ago(&world, "k", UNTIL_IT_COUNTS);
        sleep(6 * MINUTE).await;
        let looks = world.provider.looks();
        sleep(2 * MINUTE).await;
        assert!(world.provider.looks() > looks + 300, "it is being read");
        world.provider.finds(Found::There(approved()));
        until(&world, "k", PaymentStatus::Succeeded, MINUTE).await;
    });
}

/// A hundred more like that one, first sent so long ago, whose turn is now.
fn hundred_like(world: &World, key: &str, ago: Duration) {
    let (operation, payment) = world.store.rows(key).unwrap();
    for number in 0..100 {
        let (mut operation, mut payment) = (operation.clone(), payment.clone());
        operation.id = Id::from_uuid(Uuid::from_u128(number));
        payment.id = Id::from_uuid(Uuid::from_u128(number));
        operation.payment_id = payment.id;
        operation.idempotency_key = IdempotencyKey::new(&format!("k{number}")).unwrap();
        operation.first_sent_at = operation.first_sent_at.minus(ago);
        operation.next_recovery_at = world.environment.now();
        world.store.plant(operation, payment);
    }
}

/// How long it takes to settle what the first drive left in doubt, if the provider is well then.
async fn once_it_is_well(world: &World, key: &str) -> Duration {
    let is_left = |(operation, _): (Operation, Payment)| {
        operation.in_doubt && !operation.is_leased(world.environment.now())
    };
    while !world.store.rows(key).is_some_and(is_left) {
        sleep(SECOND / 10).await;
    }
    world.provider.always(None);
    until(world, key, PaymentStatus::Succeeded, MINUTE).await
}

/// Before an absence means anything, and afterwards.
#[test]
fn rule_13_what_can_only_be_looked_for_does_not_keep_what_can_be_sent_waiting() {
    for since in [HOUR, UNTIL_IT_COUNTS] {
        simulate_sweeping(|world| async move {
            world.provider.lists(1_000_000, PAGE);
            barred(&world, "looked-for").await;
            hundred_like(&world, "looked-for", since);
            for key in ["fresh-1", "fresh-2", "fresh-3"] {
                sleep(10 * SECOND).await;
                world.provider.always(lost());
                let (_, took) = join!(world.pay(key), once_it_is_well(&world, key));
                assert!(took <= 8 * SECOND, "{took:?} after {since:?}");
            }
            let looked = world.provider.looks();
            assert!(looked > 500, "many are looked for meanwhile: {looked}");
        });
    }
}

/// Each time that it came back, pages were read outside recovery's places.
#[test]
fn rule_13_a_client_that_comes_back_has_no_list_read() {
    simulate(|world| async move {
        world.provider.lists(1_000, PAGE);
        barred(&world, "k").await;
        let looks = world.provider.looks();
        for _ in 0..10 {
            sleep(6 * MINUTE).await;
            let reply = world.pay("k").await;
            assert!(matches!(reply, Ok(Reply::Processing(_))), "{reply:?}");
        }
        assert_eq!(world.provider.looks(), looks);
    });
}

#[test]
fn rule_15_the_second_look_after_a_verdict_has_its_turn_between_many_looks() {
    simulate_sweeping(|world| async move {
        let payment = barred(&world, "k").await;
        let resolver = Resolver {
            by: "ada".into(),
            why: "the customer was never charged".into(),
        };
        let failed = (world.payments).resolve(payment.id, None, Resolution::Failed, resolver);
        failed.await.unwrap();
        world.provider.lists(1_000_000, PAGE);
        barred(&world, "looked-for").await;
        hundred_like(&world, "looked-for", UNTIL_IT_COUNTS);
        sleep(10 * MINUTE).await;

        let (mut operation, payment) = world.store.rows("k").unwrap();
        let due = world.environment.now();
        operation.next_recovery_at = due;
        world.store.plant(operation, payment);
        let has_turn = async {
            while world.store.rows("k").unwrap().0.next_recovery_at <= due {
                sleep(SECOND).await;
            }
        };
        tokio::time::timeout(5 * MINUTE, has_turn).await.unwrap();
    });
}

#[test]
fn rule_15_an_operator_who_asks_again_gets_further_down_a_long_list() {
    simulate_sweeping(|world| async move {
        world.provider.lists(120, PAGE);
        let payment = barred(&world, "k").await;
        let resolver = || Resolver {
            by: "ada".into(),
            why: "the customer was never charged".into(),
        };
        let begun = Instant::now();
        let mut refusals = 0;
        let resolved = loop {
            let failed = world
                .payments
                .resolve(payment.id, None, Resolution::Failed, resolver());
            match failed.await {
                Ok(resolved) => break resolved,
                Err(ResolveRefusal::Unanswered(why)) => {
                    assert!(why.contains("long"), "{why}");
                    refusals += 1;
                }
                Err(refused) => panic!("{refused}"),
            }
            assert!(begun.elapsed() < 10 * MINUTE);
        };
        assert_eq!(resolved.status, PaymentStatus::Failed);
        assert!((2..=3).contains(&refusals), "{refusals}");
    });
}
