use std::{sync::Arc, time::Duration};

use oncepay::{
    actors::{Patience, Refusal, Reply},
    payment::{OperationState, PaymentStatus},
    provider::InDoubtReason,
    resilience::BreakerState,
};
use tokio::{sync::Notify, time::Instant};

use super::{
    model_store::Fault,
    scripted_provider::{approved, declined, in_doubt, refused},
    world::{MINUTE, World, simulate, simulate_with},
};

const NOW: Duration = Duration::ZERO;

/// The body and whether it was replayed.
#[track_caller]
fn settled(reply: Result<Reply, Refusal>) -> (u16, Vec<u8>, bool) {
    match reply {
        Ok(Reply::Settled { answer, replayed }) => (answer.status, answer.body, replayed),
        other => panic!("not settled: {other:?}"),
    }
}

async fn until(mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + 10 * MINUTE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn the_second_request_replays_the_first_byte_for_byte() {
    simulate(|world| async move {
        let (status, body, replayed) = settled(world.pay("k").await);
        assert_eq!((status, replayed), (201, false));
        assert_eq!(settled(world.pay("k").await), (201, body, true));
        assert_eq!(world.provider.calls().len(), 1);
    });
}

#[test]
fn two_hundred_at_once_are_one_call() {
    simulate(|world| async move {
        world.provider.then(Duration::from_millis(300), approved());
        let all = (0..200).map(|_| world.pay("k"));
        let mut answers: Vec<_> = futures_util::future::join_all(all)
            .await
            .into_iter()
            .map(settled)
            .collect();
        assert_eq!(
            answers.iter().filter(|answer| !answer.2).count(),
            1,
            "one of them began it"
        );
        answers.dedup_by_key(|answer| answer.1.clone());
        assert_eq!(answers.len(), 1);
        assert_eq!(world.provider.calls().len(), 1);
    });
}

#[test]
fn another_request_under_the_key_is_refused_while_the_first_runs_and_after() {
    simulate(|world| async move {
        world.provider.then(Duration::from_secs(1), approved());
        let (first, second) = tokio::join!(world.pay("k"), world.pay_amount("k", 1));
        settled(first);
        assert!(matches!(second, Err(Refusal::KeyReused)), "{second:?}");
        assert!(matches!(
            world.pay_amount("k", 1).await,
            Err(Refusal::KeyReused)
        ));
        assert_eq!(world.provider.calls().len(), 1);
    });
}

#[test]
fn a_request_whose_rival_was_not_recorded_gets_its_turn() {
    simulate(|world| async move {
        world.store.fail_next(Fault::NotWritten);
        let (first, second) = tokio::join!(world.pay("k"), world.pay_amount("k", 1));
        assert!(matches!(first, Err(Refusal::StoreUnavailable)), "{first:?}");
        assert_eq!(settled(second).0, 201);
        assert_eq!(world.provider.calls().len(), 1);
    });
}

#[test]
fn rule_1_a_doubt_stays_until_a_definite_answer() {
    simulate(|world| async move {
        world
            .provider
            .then(NOW, in_doubt(InDoubtReason::ConnectionLost, None));
        world.provider.then(NOW, refused());
        world.provider.then(NOW, refused());
        let reply = world.pay("k").await;
        assert!(matches!(reply, Ok(Reply::Processing(_))), "{reply:?}");
        let (operation, payment) = world.store.rows("k").unwrap();
        assert_eq!(payment.status, PaymentStatus::Processing);
        assert!(operation.in_doubt && payment.in_doubt_since.is_some());
    });
}

#[test]
fn rule_1_only_refusals_release_the_key_and_the_retry_succeeds() {
    simulate(|world| async move {
        (0..3).for_each(|_| world.provider.then(NOW, refused()));
        let reply = world.pay("k").await;
        assert!(matches!(reply, Ok(Reply::Pending(_))), "{reply:?}");
        assert_eq!(
            world.store.rows("k").unwrap().1.status,
            PaymentStatus::Pending
        );
        let (status, _, replayed) = settled(world.pay("k").await);
        assert_eq!(
            (status, replayed),
            (201, false),
            "this request took it up again"
        );
        let keys: Vec<_> = world
            .provider
            .calls()
            .into_iter()
            .map(|call| call.key)
            .collect();
        assert!(
            keys.iter().all(|key| *key == keys[0]),
            "one provider key for one operation"
        );
    });
}

#[test]
fn rule_6_what_is_sent_again_is_what_was_stored() {
    simulate(|world| async move {
        world
            .provider
            .then(NOW, in_doubt(InDoubtReason::Timeout, None));
        settled(world.pay("k").await);
        let calls = world.provider.calls();
        assert_eq!(calls.len(), 2);
        assert_eq!(
            (&calls[0].key, &calls[0].request),
            (&calls[1].key, &calls[1].request)
        );
        assert_eq!(
            calls[0].request,
            world.store.rows("k").unwrap().0.route.request
        );
        assert!(calls[0].first_attempt && !calls[1].first_attempt);
    });
}

#[test]
fn rule_5_a_stored_server_error_is_not_sent_again() {
    simulate(|world| async move {
        world
            .provider
            .then(NOW, in_doubt(InDoubtReason::ServerError, None));
        world
            .provider
            .then(NOW, in_doubt(InDoubtReason::StoredServerError, None));
        assert!(matches!(world.pay("k").await, Ok(Reply::Processing(_))));
        assert_eq!(world.provider.calls().len(), 2);
    });
}

#[test]
fn rule_3_an_unfinished_object_is_inspected_and_not_sent_again() {
    simulate(|world| async move {
        world
            .provider
            .then(NOW, in_doubt(InDoubtReason::Unfinished, Some("pi_9")));
        world
            .provider
            .then(NOW, in_doubt(InDoubtReason::Unfinished, Some("pi_9")));
        world.provider.then(NOW, approved());
        settled(world.pay("k").await);
        assert_eq!(world.provider.calls().len(), 1);
        assert_eq!(world.provider.inspected(), ["pi_9", "pi_9"]);
    });
}

#[test]
fn rule_8_no_attempt_begins_that_could_outlive_the_lease_or_the_deadline() {
    simulate(|world| async move {
        (0..9).for_each(|_| {
            let wait = Duration::from_secs(10);
            world
                .provider
                .then(wait, in_doubt(InDoubtReason::Timeout, None));
        });
        let asked = Instant::now();
        assert!(matches!(world.pay("k").await, Ok(Reply::Processing(_))));
        assert!(asked.elapsed() <= Duration::from_secs(25));
        assert_eq!(
            world.provider.calls().len(),
            2,
            "a third could not have ended in time"
        );
    });
}

#[test]
fn rule_8_nothing_is_sent_once_the_provider_may_forget_the_key() {
    simulate_with(4 * MINUTE, |world| async move {
        (0..3).for_each(|_| {
            let outcome = in_doubt(InDoubtReason::Timeout, None);
            world.provider.then(NOW, outcome);
        });
        assert!(matches!(world.pay("k").await, Ok(Reply::Processing(_))));
        let sent = world.provider.calls().len();
        tokio::time::sleep(5 * MINUTE).await;
        assert!(matches!(world.pay("k").await, Ok(Reply::Processing(_))));
        assert_eq!(world.provider.calls().len(), sent);
    });
}

#[test]
fn rule_7_an_operation_goes_only_to_the_provider_and_account_of_its_row() {
    simulate(|world| async move {
        (0..3).for_each(|_| world.provider.then(NOW, refused()));
        assert!(matches!(world.pay("k").await, Ok(Reply::Pending(_))));
        let (mut operation, payment) = world.store.rows("k").unwrap();
        operation.route.account = "another account".into();
        world.store.plant(operation, payment);
        let sent = world.provider.calls().len();
        assert!(matches!(world.pay("k").await, Ok(Reply::Pending(_))));
        assert_eq!(world.provider.calls().len(), sent);
    });
}

#[test]
fn rule_10_no_202_before_the_intent_is_committed() {
    simulate(|world| async move {
        let notice = Arc::new(Notify::new());
        world.store.fail_next(Fault::Stalls(Arc::clone(&notice)));
        let patience = Patience::AtMost(Duration::ZERO);
        let payments = world.payments.clone();
        let asked = actix::spawn({
            let order = world.order("k", 4_200);
            async move { payments.submit(order, patience).await }
        });
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(!asked.is_finished(), "nothing is known yet");
        notice.notify_one();
        let reply = asked.await.unwrap();
        // By then the payment may be settled already, which is better still.
        assert!(
            matches!(reply, Ok(Reply::Processing(_) | Reply::Settled { .. })),
            "{reply:?}"
        );
    });
}

#[test]
fn rule_18_an_intent_that_may_have_been_recorded_is_not_called_unrecorded() {
    simulate(|world| async move {
        world.store.fail_next(Fault::ReplyLost);
        assert!(matches!(world.pay("k").await, Err(Refusal::OutcomeUnknown)));
        world.store.fail_next(Fault::Panics);
        assert!(matches!(world.pay("p").await, Err(Refusal::OutcomeUnknown)));
        world.store.fail_next(Fault::NotWritten);
        assert!(matches!(
            world.pay("n").await,
            Err(Refusal::StoreUnavailable)
        ));
        assert!(world.provider.calls().is_empty());
    });
}

#[test]
fn an_outcome_that_cannot_be_committed_is_kept_until_it_can() {
    simulate(|world| async move {
        world.provider.then(Duration::from_secs(1), approved());
        let payments = world.payments.clone();
        let order = world.order("k", 4_200);
        let asked =
            actix::spawn(async move { payments.submit(order, Patience::UntilTheDeadline).await });
        until(|| !world.provider.calls().is_empty()).await;
        (0..30).for_each(|_| world.store.fail_next(Fault::NotWritten));
        let reply = asked.await.unwrap();
        assert!(matches!(reply, Ok(Reply::Processing(_))), "{reply:?}");
        until(|| world.store.rows("k").unwrap().0.state == OperationState::Settled).await;
        assert_eq!(settled(world.pay("k").await).0, 201);
        assert_eq!(world.provider.calls().len(), 1);
    });
}

#[test]
fn rule_1_a_lost_driver_s_operation_is_taken_over_in_doubt_once_its_lease_ran_out() {
    simulate(|world| async move {
        settled(world.pay("template").await);
        let (operation, mut payment) = lost_by_its_driver(&world);
        payment.provider_reference = None;
        world.store.plant(operation, payment);
        let asked = Instant::now();
        let reply = world.pay("template-2").await;
        assert!(matches!(reply, Ok(Reply::Processing(_))), "{reply:?}");
        assert!(
            asked.elapsed() >= Duration::from_secs(20),
            "it waited for the other driver"
        );
        tokio::time::sleep(MINUTE).await;

        world.provider.then(NOW, refused());
        world.provider.then(NOW, refused());
        world.provider.then(NOW, refused());
        let reply = world.pay("template-2").await;
        assert!(
            matches!(reply, Ok(Reply::Processing(_))),
            "a refusal clears nothing: {reply:?}"
        );
        let (status, _, replayed) = settled(world.pay("template-2").await);
        assert_eq!((status, replayed), (201, false));
    });
}

/// An open operation of another node, whose driver was killed a moment ago.
fn lost_by_its_driver(world: &World) -> (oncepay::payment::Operation, oncepay::payment::Payment) {
    let (mut operation, mut payment) = world.store.rows("template").unwrap();
    let key = oncepay::payment::IdempotencyKey::new("template-2").unwrap();
    operation.id = world.environment.new_id();
    payment.id = world.environment.new_id();
    operation.payment_id = payment.id;
    operation.idempotency_key = key.clone();
    payment.idempotency_key = key;
    operation.state = OperationState::Open;
    operation.answer = None;
    operation.provider_reference = None;
    operation.lease_until = world.environment.now().plus(MINUTE);
    payment.status = PaymentStatus::Processing;
    (operation, payment)
}

#[test]
fn a_client_that_leaves_changes_nothing() {
    simulate(|world| async move {
        world.provider.then(Duration::from_secs(3), approved());
        let left = tokio::time::timeout(Duration::from_secs(1), world.pay("k")).await;
        assert!(left.is_err());
        until(|| world.store.rows("k").unwrap().0.state == OperationState::Settled).await;
        assert!(settled(world.pay("k").await).2);
        assert_eq!(world.provider.calls().len(), 1);
    });
}

#[test]
fn writes_of_many_payments_share_batches() {
    simulate(|world| async move {
        let keys: Vec<_> = (0..100).map(|n| format!("k{n}")).collect();
        let all = keys.iter().map(|key| world.pay(key));
        for reply in futures_util::future::join_all(all).await {
            settled(reply);
        }
        let batches = world.store.batches();
        assert_eq!(batches.iter().sum::<usize>(), 200);
        assert!(batches.iter().any(|rows| *rows > 10), "{batches:?}");
        assert!(batches.iter().all(|rows| *rows <= 64), "{batches:?}");
    });
}

#[test]
fn more_than_the_provider_takes_is_turned_away_with_nothing_recorded() {
    simulate(|world| async move {
        let keys: Vec<_> = (0..300).map(|n| format!("k{n}")).collect();
        (0..100).for_each(|_| world.provider.then(Duration::from_secs(1), approved()));
        let replies = futures_util::future::join_all(keys.iter().map(|key| world.pay(key))).await;
        let (overloaded, paid): (Vec<_>, Vec<_>) = keys
            .iter()
            .zip(replies)
            .partition(|(_, reply)| matches!(reply, Err(Refusal::Overloaded)));
        assert_eq!((paid.len(), overloaded.len()), (100, 200));
        for (_, reply) in paid {
            assert_eq!(settled(reply).0, 201);
        }
        for (key, _) in overloaded {
            assert!(world.store.rows(key).is_none());
        }
        assert_eq!(settled(world.pay("afterwards").await).0, 201);
    });
}

#[test]
fn an_open_breaker_leaves_the_payment_pending_and_the_same_key_succeeds_later() {
    simulate(|world| async move {
        (0..5).for_each(|_| world.provider.then(NOW, refused()));
        for key in ["a", "b", "c", "d"] {
            let reply = world.pay(key).await;
            assert!(matches!(reply, Ok(Reply::Pending(_))), "{reply:?}");
        }
        assert_eq!(world.provider.calls().len(), 5);
        let snapshot = world.payments.providers().snapshot("scripted").unwrap();
        assert_eq!(snapshot.state, BreakerState::Open);
        tokio::time::sleep(Duration::from_secs(13)).await;
        for key in ["a", "b", "c", "d"] {
            assert_eq!(settled(world.pay(key).await).0, 201);
        }
        assert_eq!(world.provider.calls().len(), 9);
    });
}

#[test]
fn a_stopping_server_finishes_what_runs_and_begins_no_further_attempt() {
    simulate(|world| async move {
        world.provider.then(
            Duration::from_secs(3),
            in_doubt(InDoubtReason::Timeout, None),
        );
        let (store, provider) = (world.store.clone(), Arc::clone(&world.provider));
        let payments = world.payments.clone();
        let order = world.order("k", 4_200);
        let asked =
            actix::spawn(async move { payments.submit(order, Patience::UntilTheDeadline).await });
        until(|| !provider.calls().is_empty()).await;
        assert_eq!(world.stop(MINUTE / 2).await, 0);
        assert!(matches!(asked.await.unwrap(), Ok(Reply::Processing(_))));
        assert_eq!(provider.calls().len(), 1);
        let (operation, _) = store.rows("k").unwrap();
        assert!(operation.in_doubt);
        assert!(
            operation.lease_until < operation.created_at.plus(MINUTE),
            "handed over"
        );
    });
}

#[test]
fn a_decline_spends_the_key() {
    simulate(|world| async move {
        world.provider.then(NOW, declined());
        let (status, body, _) = settled(world.pay("k").await);
        assert_eq!(status, 402);
        assert_eq!(settled(world.pay("k").await), (402, body, true));
        assert_eq!(world.provider.calls().len(), 1);
    });
}

#[test]
fn ten_thousand_keys_in_a_row_leave_no_actor_behind() {
    simulate(|world| async move {
        for n in 0..10_000 {
            settled(world.pay(&format!("k{n}")).await);
        }
        assert_eq!(world.provider.calls().len(), 10_000);
        until(|| world.metrics.actors.key_actors_alive.get() == 0).await;
        assert_eq!(world.metrics.actors.operations_in_flight.get(), 0);
    });
}
