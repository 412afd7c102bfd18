//! What becomes of an operation whose client does not come back.

use std::time::Duration;

use futures_util::future::join_all;
use oncepay::{
    actors::{DriveSettings, Reply},
    payment::{OperationState, Owner, PaymentStatus},
    provider::{Found, InDoubtReason, Outcome},
};
use tokio::time::{Instant, sleep};

use super::{
    scripted_provider::{approved, declined, in_doubt, refused},
    world::{DAY, HOUR, MINUTE, World, simulate_bounded, simulate_recovering, simulate_two},
};

/// Waits in simulated time until the payment under `key` is as wanted; gives how long it took.
pub(super) async fn until(
    world: &World,
    key: &str,
    wanted: PaymentStatus,
    at_most: Duration,
) -> Duration {
    let begun = Instant::now();
    loop {
        let (operation, payment) = world.store.rows(key).unwrap();
        if payment.status == wanted {
            return begun.elapsed();
        }
        assert!(
            begun.elapsed() < at_most,
            "still {} for {:?} after {} tries",
            payment.status,
            operation.in_doubt_reason,
            operation.recovery_tries
        );
        sleep(Duration::from_secs(1)).await;
    }
}

pub(super) fn lost() -> Outcome {
    in_doubt(InDoubtReason::Timeout, None)
}

/// The payment that an approval is of, found at the provider.
pub(super) fn found() -> Found {
    Found::There(approved())
}

#[test]
fn rule_9_within_the_retention_the_same_request_is_sent_again_until_it_tells() {
    simulate_recovering(|world| async move {
        world.provider.always(lost());
        let reply = world.pay("k").await;
        assert!(matches!(reply, Ok(Reply::Processing(_))), "{reply:?}");
        sleep(20 * MINUTE).await;
        world.provider.always(None);
        until(&world, "k", PaymentStatus::Succeeded, 6 * MINUTE).await;

        let calls = world.provider.calls();
        assert!(calls.len() > 5, "{}", calls.len());
        assert!(calls.iter().all(|call| call.key == calls[0].key));
        assert!(calls.iter().all(|call| call.request == calls[0].request));
        assert_eq!(world.provider.looks(), 0);
        let (operation, payment) = world.store.rows("k").unwrap();
        assert!(operation.recovery_tries > 1);
        assert_eq!(payment.in_doubt_since, None);
    });
}

/// Clients that come back for it again and again, and may never send it again themselves.
#[test]
fn rule_13_clients_without_a_retry_budget_do_not_keep_recovery_from_its_turn() {
    let no_retries = |settings: &mut DriveSettings| {
        settings.recovery.sweep_every = Duration::from_secs(1);
        settings.gate.budget.percent = 0;
        settings.gate.budget.per_s = 0;
    };
    simulate_bounded(DAY, no_retries, |world| async move {
        world.provider.always(lost());
        drop(world.pay("k").await);
        let begun = Instant::now();
        while begun.elapsed() < 10 * MINUTE {
            drop(world.pay("k").await);
            sleep(Duration::from_millis(500)).await;
        }
        let (operation, _) = world.store.rows("k").unwrap();
        let (sent, tries) = (world.provider.calls().len(), operation.recovery_tries);
        assert!(tries >= 4, "recovery had {tries} turns");
        assert!(sent > tries as usize, "{sent} sent in {tries} turns");
        assert_eq!(
            operation.epoch,
            i64::from(tries) + 1,
            "nobody took it over for nothing"
        );
        world.provider.always(None);
        let settled = async {
            while !matches!(world.pay("k").await, Ok(Reply::Settled { .. })) {
                sleep(Duration::from_millis(500)).await;
            }
        };
        tokio::time::timeout(6 * MINUTE, settled).await.unwrap();
    });
}

/// More in doubt than may be sent again: each that is tried is sent.
#[test]
fn rule_13_recovery_takes_no_more_than_it_may_send() {
    let tight = |settings: &mut DriveSettings| {
        settings.recovery.sweep_every = Duration::from_secs(1);
        settings.gate.budget.per_s = 1_000;
        settings.gate.settling.per_s = 1;
        settings.gate.breaker.consecutive_failures_max = 1_000;
        settings.gate.breaker.failure_rate_percent = 100;
        settings.gate.breaker.calls_min = 100_000;
    };
    simulate_bounded(DAY, tight, |world| async move {
        world.provider.always(lost());
        let keys: Vec<_> = (0..50).map(|number| format!("k{number}")).collect();
        join_all(keys.iter().map(|key| world.pay(key))).await;
        let before = world.provider.calls().len();
        sleep(MINUTE).await;
        let rows = keys.iter().map(|key| world.store.rows(key).unwrap().0);
        let tries: i32 = rows.map(|operation| operation.recovery_tries).sum();
        let sent = world.provider.calls().len() - before;
        assert!(sent > 30, "{sent} sent in a minute");
        // A drive sends up to three times, so that two of a sweep may want the last one.
        assert!(
            tries as usize <= sent + sent / 4,
            "{tries} tries, {sent} sent"
        );
    });
}

#[test]
fn rule_13_a_lost_driver_s_operation_is_recovered_after_its_lease_and_not_before() {
    simulate_recovering(|world| async move {
        world.pay("k").await.unwrap();
        let (mut operation, mut payment) = world.store.rows("k").unwrap();
        let calls = world.provider.calls().len();
        operation.state = OperationState::Open;
        operation.answer = None;
        operation.provider_reference = None;
        operation.owner = Owner([7; 16]);
        operation.lease_until = world.environment.now().plus(MINUTE);
        operation.next_recovery_at = operation.lease_until;
        payment.status = PaymentStatus::Processing;
        world.store.plant(operation, payment);

        sleep(MINUTE - Duration::from_secs(1)).await;
        assert_eq!(
            world.provider.calls().len(),
            calls,
            "the lease is respected"
        );
        until(&world, "k", PaymentStatus::Succeeded, 3 * MINUTE).await;
        let (operation, _) = world.store.rows("k").unwrap();
        assert_eq!((operation.epoch, operation.recovery_tries), (2, 1));
        assert_eq!(world.provider.calls().len(), calls + 1);
    });
}

#[test]
fn rule_9_an_absence_settles_only_after_retention_and_wait_and_only_twice() {
    simulate_recovering(|world| async move {
        world.provider.always(lost());
        drop(world.pay("k").await);
        sleep(23 * HOUR).await;
        let sent = world.provider.calls().len();
        let took = until(&world, "k", PaymentStatus::Failed, 5 * HOUR).await + 23 * HOUR;

        assert!(took >= 27 * HOUR, "24 h, 2 h and 1 h: {took:?}");
        assert!(took < 28 * HOUR, "{took:?}");
        assert_eq!(
            world.provider.calls().len(),
            sent,
            "nothing is sent after 23 h"
        );
        let (_, payment) = world.store.rows("k").unwrap();
        assert_eq!(payment.failure.unwrap().code, "not_executed");
        assert!(world.provider.looks() >= 2);
    });
}

#[test]
fn rule_9_what_is_found_settles_at_once() {
    simulate_recovering(|world| async move {
        world.provider.always(lost());
        drop(world.pay("k").await);
        sleep(23 * HOUR + 10 * MINUTE).await;
        let looks = world.provider.looks();
        assert!(looks > 0, "it is looked for before an absence would count");
        world.provider.finds(found());
        until(&world, "k", PaymentStatus::Succeeded, 10 * MINUTE).await;
        assert_eq!(world.provider.looks(), looks + 1);
    });
}

#[test]
fn rule_5_a_stored_error_is_looked_up_by_the_same_drive() {
    simulate_recovering(|world| async move {
        let stored = in_doubt(InDoubtReason::StoredServerError, None);
        world.provider.always(stored);
        world.provider.finds(found());
        let reply = world.pay("k").await;
        assert!(matches!(reply, Ok(Reply::Settled { .. })), "{reply:?}");
        assert_eq!(world.provider.calls().len(), 1);
    });
}

#[test]
fn rule_2_a_key_that_is_known_with_another_body_is_left_to_a_person() {
    simulate_recovering(|world| async move {
        world
            .provider
            .always(in_doubt(InDoubtReason::KeyMismatch, None));
        drop(world.pay("k").await);
        world.provider.always(approved());
        sleep(30 * HOUR).await;
        let (operation, payment) = world.store.rows("k").unwrap();
        assert_eq!(
            payment.status,
            PaymentStatus::Processing,
            "an absence says nothing"
        );
        assert_eq!(operation.in_doubt_reason.as_deref(), Some("key_mismatch"));
        assert_eq!(world.provider.calls().len(), 1, "and nothing is sent");
        // Not even for a client that comes back when the provider has forgotten the key.
        drop(world.pay("k").await);
        assert_eq!(world.provider.calls().len(), 1);
    });
}

#[test]
fn rule_3_an_object_that_is_known_is_asked_for_and_nothing_is_sent() {
    simulate_recovering(|world| async move {
        world
            .provider
            .always(in_doubt(InDoubtReason::Unfinished, Some("pi_7")));
        drop(world.pay("k").await);
        let sent = world.provider.calls().len();
        sleep(25 * HOUR).await;
        assert_eq!(world.provider.calls().len(), sent);
        world.provider.always(None);
        until(&world, "k", PaymentStatus::Succeeded, 10 * MINUTE).await;
        assert_eq!(world.provider.inspected().last().unwrap(), "pi_7");
    });
}

#[test]
fn rule_11_a_payment_that_was_never_sent_expires_and_says_so_for_ever() {
    simulate_recovering(|world| async move {
        world.provider.always(refused());
        let reply = world.pay("k").await;
        assert!(matches!(reply, Ok(Reply::Pending(_))), "{reply:?}");
        let sent = world.provider.calls().len();
        sleep(DAY - HOUR).await;
        let (_, payment) = world.store.rows("k").unwrap();
        assert_eq!(payment.status, PaymentStatus::Pending);
        assert_eq!(
            world.provider.calls().len(),
            sent,
            "recovery leaves it to its client"
        );

        until(&world, "k", PaymentStatus::Failed, 2 * HOUR).await;
        world.provider.always(None);
        let Ok(Reply::Settled { answer, replayed }) = world.pay("k").await else {
            panic!("an expired payment is settled");
        };
        assert!(replayed && answer.status == 402);
        let text = String::from_utf8(answer.body).unwrap();
        assert!(text.contains("\"payment_expired\""), "{text}");
        assert_eq!(world.provider.calls().len(), sent);
    });
}

#[test]
fn rule_7_only_what_was_certainly_not_sent_goes_to_the_next_provider() {
    simulate_two(|world| async move {
        world.provider.always(refused());
        let reply = world.pay("turned").await;
        assert!(matches!(reply, Ok(Reply::Settled { .. })), "{reply:?}");
        let (operation, payment) = world.store.rows("turned").unwrap();
        assert_eq!(operation.route.provider, "second");
        assert_eq!(payment.provider, "second");
        let (first, second) = (world.provider.calls(), world.second.calls());
        assert_eq!(second.len(), 1);
        assert_ne!(first[0].key, second[0].key, "one key for each provider");

        world.provider.always(lost());
        drop(world.pay("doubted").await);
        sleep(HOUR).await;
        let (operation, _) = world.store.rows("doubted").unwrap();
        assert_eq!(operation.route.provider, "scripted");
        assert_eq!(world.second.calls().len(), 1, "never after a doubt");
    });
}

#[test]
fn rule_1_a_refusal_after_a_doubt_neither_releases_nor_fails_over() {
    simulate_two(|world| async move {
        world.provider.then(Duration::ZERO, lost());
        world.provider.always(refused());
        let reply = world.pay("k").await;
        assert!(matches!(reply, Ok(Reply::Processing(_))), "{reply:?}");
        sleep(HOUR).await;
        let (operation, _) = world.store.rows("k").unwrap();
        assert!(operation.in_doubt);
        assert_eq!(operation.state, OperationState::Open);
        assert_eq!(world.second.calls().len(), 0);
    });
}

#[test]
fn rule_12_a_stray_charge_is_given_back_under_a_key_of_its_own() {
    simulate_recovering(|world| async move {
        // The provider's word comes when the operation was settled by its absence already.
        world.provider.then(28 * HOUR, approved());
        world.provider.always(lost());
        drop(world.pay("k").await);
        until(&world, "k", PaymentStatus::Failed, 28 * HOUR).await;
        let answer = world.store.rows("k").unwrap().0.answer;
        world.provider.always(None);
        sleep(3 * HOUR).await;

        let (operation, payment) = world.store.rows("k").unwrap();
        assert_eq!(operation.stray_reference.as_deref(), Some("pi_1"));
        assert!(operation.stray_reversed_at.is_some());
        assert_eq!(operation.answer, answer, "the client's answer stands");
        assert_eq!(payment.status, PaymentStatus::Failed);
        let reversed = world.provider.reversed();
        assert!(!reversed.is_empty() && reversed[0].reference == "pi_1");
        assert!(reversed.iter().all(|stray| stray.key == reversed[0].key));
        assert_ne!(reversed[0].key, world.provider.calls()[0].key);
    });
}

#[test]
fn rule_12_a_stray_charge_that_cannot_be_given_back_yet_is_tried_again_and_not_all_the_time() {
    simulate_recovering(|world| async move {
        world.provider.then(28 * HOUR, approved());
        world.provider.always(lost());
        drop(world.pay("k").await);
        until(&world, "k", PaymentStatus::Failed, 28 * HOUR).await;
        sleep(2 * HOUR).await;
        let tries = world.provider.reversed().len();
        assert!((1..=120).contains(&tries), "{tries} in two hours at most");
        world.provider.always(None);
        sleep(HOUR).await;
        assert!(world.store.rows("k").unwrap().0.stray_reversed_at.is_some());
    });
}

#[test]
fn a_definite_refusal_without_a_client_settles_as_well() {
    simulate_recovering(|world| async move {
        world.provider.then(Duration::ZERO, lost());
        world.provider.always(declined());
        drop(world.pay("k").await);
        until(&world, "k", PaymentStatus::Failed, 3 * MINUTE).await;
    });
}
