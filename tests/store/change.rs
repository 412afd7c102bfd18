//! Changes: the fence, the lease, and what is written once.

use std::{sync::Arc, time::Duration};

use oncepay::{
    payment::{
        Approval, ApprovedAs, Change, Mode, OperationState, PaymentEvent, PaymentStatus, Standing,
        Verdict,
    },
    store::WriteError,
};

use crate::{
    store::fixture::{Fixture, eventually, on_both_stores, only, open_store, until_written},
    store::samples::{LEASE, captured, declined, left_in_doubt, released},
};

on_both_stores! {
    a_change_of_the_current_epoch_is_applied_and_of_another_refused,
    settling_twice_is_settling_once,
    rule_12_a_definite_answer_of_an_old_epoch_completes_an_open_operation,
    rule_12_a_stray_charge_is_recorded_and_changes_no_answer,
    rule_10_a_released_operation_is_taken_up_by_one_of_many,
    a_lease_is_taken_over_only_after_it_ran_out,
    events_are_numbered_without_gaps,
    an_operation_that_does_not_exist_is_rejected_alone,
    a_contradiction_of_the_rows_is_rejected_alone,
    rule_16_one_operation_twice_in_a_batch_is_changed_in_order,
    rule_16_batches_in_opposite_orders_never_deadlock,
}

async fn change(at: &Fixture, standing: &Standing, change: Change) -> Standing {
    let change = at.change(standing, change);
    only(at.store.change(vec![change]).await).unwrap()
}

async fn events(at: &Fixture, standing: &Standing) -> Vec<(i64, &'static str)> {
    let events = at
        .store
        .events(at.merchant.id, Mode::Test, standing.payment.id)
        .await;
    let events = events.unwrap().unwrap();
    events
        .iter()
        .map(|one| (one.seq, one.event.name()))
        .collect()
}

async fn a_change_of_the_current_epoch_is_applied_and_of_another_refused(at: Fixture) {
    let begun = at.begin(at.intent("k")).await.unwrap();
    let mut stale = begun.clone();
    stale.operation.epoch = 7;

    let refused = change(&at, &stale, left_in_doubt()).await;
    let left = change(&at, &begun, left_in_doubt()).await;

    assert!(!refused.applied);
    assert_eq!(refused.operation, begun.operation);
    assert!(left.applied && left.operation.in_doubt);
    assert!(left.payment.in_doubt_since.is_some());
    assert!(!left.operation.is_leased(left.now));
    let again = change(&at, &begun, left_in_doubt()).await;
    assert!(again.applied, "the same change, run again");
    assert_eq!(events(&at, &begun).await.len(), 2);
}

async fn settling_twice_is_settling_once(at: Fixture) {
    let begun = at.begin(at.intent("k")).await.unwrap();

    let first = change(&at, &begun, captured("pi_1")).await;
    let second = change(&at, &begun, captured("pi_1")).await;

    assert!(first.applied && second.applied);
    assert_eq!(first.operation, second.operation);
    assert_eq!(first.payment, second.payment);
    assert_eq!(first.operation.state, OperationState::Settled);
    assert_eq!(first.payment.status, PaymentStatus::Succeeded);
    assert_eq!(first.payment.amount_captured, 4_200);
    let answer = second.operation.answer.clone().unwrap();
    assert_eq!(answer.status, 201);
    assert!(answer.location.is_some() && !answer.body.is_empty());
    assert_eq!(events(&at, &begun).await, [(1, "created"), (2, "captured")]);
    let read = at
        .store
        .operation(at.merchant.id, Mode::Test, &begun.operation.idempotency_key);
    assert_eq!(read.await.unwrap().unwrap().operation, first.operation);
}

async fn rule_12_a_definite_answer_of_an_old_epoch_completes_an_open_operation(at: Fixture) {
    let begun = at.begin(at.intent("k")).await.unwrap();
    let left = change(&at, &begun, left_in_doubt()).await;
    let taken = only(at.store.change(vec![at.take_over(&left)]).await).unwrap();
    assert_eq!(taken.operation.epoch, 2);

    let settled = change(&at, &begun, captured("pi_1")).await;

    assert!(settled.applied);
    assert_eq!(settled.payment.status, PaymentStatus::Succeeded);
    let late = change(&at, &taken, left_in_doubt()).await;
    assert!(!late.applied, "the driver of the new epoch comes too late");
}

async fn rule_12_a_stray_charge_is_recorded_and_changes_no_answer(at: Fixture) {
    let begun = at.begin(at.intent("k")).await.unwrap();
    let failed = change(&at, &begun, declined()).await;
    assert_eq!(failed.payment.status, PaymentStatus::Failed);

    let stray = change(&at, &begun, captured("pi_9")).await;

    assert!(stray.applied);
    assert_eq!(stray.operation.answer, failed.operation.answer);
    assert_eq!(stray.operation.stray_reference.as_deref(), Some("pi_9"));
    assert_eq!(stray.payment.status, PaymentStatus::Failed);
    let expected = [(1, "created"), (2, "declined"), (3, "stray_charge")];
    assert_eq!(events(&at, &begun).await, expected);
}

async fn rule_10_a_released_operation_is_taken_up_by_one_of_many(at: Fixture) {
    let begun = at.begin(at.intent("k")).await.unwrap();
    let pending = change(&at, &begun, released()).await;
    assert_eq!(pending.operation.state, OperationState::Released);
    assert_eq!(pending.payment.status, PaymentStatus::Pending);

    let stores = [Arc::clone(&at.store), open_store(&at.url).await];
    let tasks: Vec<_> = (0..16)
        .map(|n| {
            let (store, take_over) = (Arc::clone(&stores[n % 2]), at.take_over(&pending));
            tokio::spawn(async move { only(store.change(vec![take_over]).await).unwrap() })
        })
        .collect();
    let mut standings = Vec::new();
    for task in tasks {
        standings.push(task.await.unwrap());
    }

    let winner = only(standings.iter().filter(|one| one.applied).collect());
    assert_eq!(winner.operation.epoch, 2);
    assert!(!winner.operation.in_doubt);
    assert!(
        winner.operation.first_sent_at >= pending.now,
        "nothing was sent before"
    );
    assert_eq!(winner.operation.lease_until, winner.now.plus(LEASE));
    for standing in &standings {
        assert_eq!(standing.operation, winner.operation);
    }
    let expected = [(1, "created"), (2, "released"), (3, "resumed")];
    assert_eq!(events(&at, &begun).await, expected);
}

async fn a_lease_is_taken_over_only_after_it_ran_out(at: Fixture) {
    let mut intent = at.intent("k");
    intent.lease = Duration::from_millis(300);
    let begun = at.begin(intent).await.unwrap();

    let taken = eventually(async || {
        let tried = only(at.store.change(vec![at.take_over(&begun)]).await).unwrap();
        assert_eq!(tried.applied, tried.now >= begun.operation.lease_until);
        tried.applied.then_some(tried)
    });

    let taken = taken.await;
    assert_eq!(taken.operation.epoch, 2);
    assert!(
        taken.operation.in_doubt,
        "the driver before may have sent it"
    );
    assert_eq!(taken.operation.first_sent_at, begun.operation.first_sent_at);
    assert_eq!(
        events(&at, &begun).await,
        [(1, "created"), (2, "became_in_doubt")]
    );
}

async fn events_are_numbered_without_gaps(at: Fixture) {
    let begun = at.begin(at.intent("k")).await.unwrap();
    let mut standing = begun.clone();
    for _ in 0..5 {
        standing = change(&at, &standing, released()).await;
        standing = only(at.store.change(vec![at.take_over(&standing)]).await).unwrap();
    }

    let settled = change(&at, &standing, captured("pi_1")).await;

    let numbers: Vec<_> = (events(&at, &begun).await.iter())
        .map(|(seq, _)| *seq)
        .collect();
    assert_eq!(numbers, (1..=12).collect::<Vec<_>>());
    assert_eq!(settled.payment.event_count, 12);
}

async fn an_operation_that_does_not_exist_is_rejected_alone(at: Fixture) {
    let begun = at.begin(at.intent("k")).await.unwrap();
    let settle = at.change(&begun, captured("pi_1"));
    let mut unknown = settle.clone();
    unknown.operation_id = at.environment.new_id();

    let results = at.store.change(vec![unknown, settle]).await;

    assert!(matches!(&results[0], Err(WriteError::Rejected(why)) if why.contains("no operation")));
    assert!(results[1].as_ref().unwrap().applied);
}

async fn a_contradiction_of_the_rows_is_rejected_alone(at: Fixture) {
    let odd = at.begin(at.intent("odd")).await.unwrap();
    let sound = at.begin(at.intent("sound")).await.unwrap();
    at.sql(&format!(
        "update payments set status = 'canceled' where id = '{}'",
        odd.payment.id
    ))
    .await
    .unwrap();
    let changes = [&odd, &sound].map(|one| at.change(one, captured("pi_1")));

    let results = at.store.change(changes.to_vec()).await;

    assert!(matches!(&results[0], Err(WriteError::Rejected(why)) if why.contains("canceled")));
    assert!(results[1].as_ref().unwrap().applied);
    assert_eq!(events(&at, &odd).await, [(1, "created")]);
}

async fn rule_16_one_operation_twice_in_a_batch_is_changed_in_order(at: Fixture) {
    let begun = at.begin(at.intent("k")).await.unwrap();
    let mut authorized = at.change(&begun, captured("pi_1"));
    authorized.change = Change::Settle(Verdict::Approved(Approval {
        approved_as: ApprovedAs::Authorized,
        reference: "pi_1".into(),
    }));
    let left = at.change(&begun, left_in_doubt());

    let results = at
        .store
        .change(vec![left, authorized.clone(), authorized])
        .await;

    let results: Vec<_> = results.into_iter().map(Result::unwrap).collect();
    assert!(results.iter().all(|one| one.applied));
    assert_eq!(results[0].operation.state, OperationState::Open);
    assert_eq!(results[1].payment.status, PaymentStatus::Authorized);
    let expected = [(1, "created"), (2, "became_in_doubt"), (3, "authorized")];
    assert_eq!(events(&at, &begun).await, expected);
}

async fn rule_16_batches_in_opposite_orders_never_deadlock(at: Fixture) {
    const ROUNDS: usize = 60;
    const SIZE: usize = 8;
    let stores = [Arc::clone(&at.store), open_store(&at.url).await];
    let at = Arc::new(at);
    let mut drivers = Vec::new();
    for (who, store) in stores.into_iter().enumerate() {
        let at = Arc::clone(&at);
        drivers.push(tokio::spawn(async move {
            for round in 0..ROUNDS {
                let mut intents: Vec<_> = (0..SIZE)
                    .map(|n| at.intent(&format!("{round}-{n}")))
                    .collect();
                if who == 1 {
                    intents.reverse();
                }
                let begun = until_written(|| store.begin(intents.clone())).await;
                let settle = begun.iter().map(|one| at.change(one, captured("pi_1")));
                let settle: Vec<_> = settle.collect();
                let changed = until_written(|| store.change(settle.clone())).await;
                assert!(changed.iter().all(|one| one.applied));
            }
        }));
    }

    let all = async {
        for driver in drivers {
            driver.await.unwrap();
        }
    };
    // A deadlock costs a second before PostgreSQL notices it, and each would be a batch run again.
    tokio::time::timeout(Duration::from_secs(60), all)
        .await
        .unwrap();

    let events = at
        .store
        .operation(
            at.merchant.id,
            Mode::Test,
            &crate::store::samples::key("59-7"),
        )
        .await;
    let standing = events.unwrap().unwrap();
    assert_eq!(standing.payment.event_count, 2);
    assert!(matches!(
        standing.payment.created_event(),
        PaymentEvent::Created { .. }
    ));
    if let oncepay::store::StoreUrl::Postgres(_) = &at.url {
        let none = "do $$ begin
            if (select deadlocks from pg_stat_database where datname = current_database()) > 0
            then raise 'there were deadlocks'; end if; end $$";
        at.sql(none).await.unwrap();
    }
}
