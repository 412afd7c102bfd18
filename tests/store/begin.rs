//! Intents: who gets a key, and what the others see.

use std::sync::Arc;

use oncepay::{
    payment::{Merchant, Mode, PaymentEvent},
    store::WriteError,
};

use crate::{
    store::fixture::{Fixture, on_both_stores, only, open_store, until_written},
    store::samples::{LEASE, captured, key},
};

on_both_stores! {
    an_intent_is_read_back_whole,
    one_key_is_won_once_among_many_at_once,
    two_intents_of_one_key_in_one_batch_are_one_payment,
    rule_17_a_repeated_begin_knows_its_own_row,
    a_refused_row_does_not_fail_its_neighbours,
    one_key_means_another_payment_for_another_merchant_or_mode,
    a_caller_that_goes_away_undoes_nothing,
}

async fn an_intent_is_read_back_whole(at: Fixture) {
    let intent = at.intent("k");

    let begun = at.begin(intent.clone()).await.unwrap();

    assert!(begun.applied);
    let operation = &begun.operation;
    assert!(operation.is_leased(begun.now));
    assert_eq!(operation.lease_until, operation.first_sent_at.plus(LEASE));
    assert_eq!(operation.next_recovery_at, operation.lease_until);
    let mut expected = intent.operation.clone();
    expected.lease_until = operation.lease_until;
    expected.first_sent_at = operation.first_sent_at;
    expected.next_recovery_at = operation.next_recovery_at;
    let (merchant_id, mode) = (at.merchant.id, Mode::Test);
    let read = at.store.operation(merchant_id, mode, &key("k")).await;
    let read = read.unwrap().unwrap();
    assert_eq!(read.operation, expected);
    assert_eq!(read.payment, intent.payment);
    assert!(!read.applied);
    let id = intent.payment.id;
    let payment = at.store.payment(merchant_id, mode, id).await.unwrap();
    assert_eq!(payment, Some(intent.payment.clone()));
    let events = at.store.events(merchant_id, mode, id).await.unwrap();
    let created = only(events.unwrap());
    assert_eq!(
        (created.seq, created.event),
        (1, intent.payment.created_event())
    );
    assert_eq!(created.created_at, intent.payment.created_at);
}

async fn one_key_is_won_once_among_many_at_once(at: Fixture) {
    let others = [Arc::clone(&at.store), open_store(&at.url).await];
    let tasks: Vec<_> = (0..64)
        .map(|n| {
            let (store, intent) = (Arc::clone(&others[n % 2]), at.intent("k"));
            tokio::spawn(
                async move { only(until_written(|| store.begin(vec![intent.clone()])).await) },
            )
        })
        .collect();

    let mut standings = Vec::new();
    for task in tasks {
        standings.push(task.await.unwrap());
    }

    let winners: Vec<_> = standings.iter().filter(|one| one.applied).collect();
    let winner = only(winners);
    for standing in &standings {
        assert_eq!(standing.operation, winner.operation);
        assert_eq!(standing.payment, winner.payment);
    }
}

async fn two_intents_of_one_key_in_one_batch_are_one_payment(at: Fixture) {
    let batch = vec![at.intent("k"), at.intent("other"), at.intent("k")];

    let standings = at.store.begin(batch.clone()).await;

    let applied: Vec<_> = (standings.iter().map(|one| one.as_ref().unwrap().applied)).collect();
    assert_eq!(applied, [true, true, false]);
    let last = standings[2].as_ref().unwrap();
    assert_eq!(last.operation.id, batch[0].operation.id);
}

async fn rule_17_a_repeated_begin_knows_its_own_row(at: Fixture) {
    let intent = at.intent("k");
    let first = at.begin(intent.clone()).await.unwrap();

    let again = at.begin(intent.clone()).await.unwrap();

    assert!(again.applied);
    assert_eq!(again.operation, first.operation);
    let mut twin = intent;
    twin.operation.owner = at.environment.new_owner();
    assert!(
        !at.begin(twin).await.unwrap().applied,
        "the same id, another driver"
    );
}

async fn a_refused_row_does_not_fail_its_neighbours(at: Fixture) {
    let mut batch: Vec<_> = (0..16).map(|n| at.intent(&format!("k{n}"))).collect();
    let stranger = at.environment.new_id();
    batch[5].operation.merchant_id = stranger;
    batch[5].payment.merchant_id = stranger;
    // Not a constraint, but a value that only PostgreSQL refuses to take.
    batch[9].payment.reference = Some("nul \0".into());

    let results = at.store.begin(batch).await;

    for (n, result) in results.iter().enumerate() {
        match (n, result) {
            (5, result) => assert!(matches!(result, Err(WriteError::Rejected(_))), "{result:?}"),
            (9, result) => assert!(
                matches!(result, Err(WriteError::Rejected(_)) | Ok(_)),
                "{result:?}"
            ),
            (_, result) => assert!(result.as_ref().unwrap().applied),
        }
    }
    let poisoned = at.store.operation(stranger, Mode::Test, &key("k5")).await;
    assert_eq!(poisoned.unwrap(), None);
}

async fn one_key_means_another_payment_for_another_merchant_or_mode(at: Fixture) {
    let other = Merchant {
        id: at.environment.new_id(),
        name: "Another shop".into(),
        ..at.merchant.clone()
    };
    at.store.create_merchant(other.clone()).await.unwrap();
    let ours = at.intent("k");
    let live = at.intent_in(Mode::Live, "k", crate::store::samples::request());
    let mut theirs = at.intent("k");
    theirs.operation.merchant_id = other.id;
    theirs.payment.merchant_id = other.id;

    let begun = at
        .store
        .begin(vec![ours.clone(), live.clone(), theirs.clone()])
        .await;

    assert!(begun.iter().all(|one| one.as_ref().unwrap().applied));
    let read = at
        .store
        .payment(at.merchant.id, Mode::Test, ours.payment.id)
        .await;
    assert!(read.unwrap().is_some());
    for (merchant_id, mode) in [(other.id, Mode::Test), (at.merchant.id, Mode::Live)] {
        let payment = at.store.payment(merchant_id, mode, ours.payment.id).await;
        assert_eq!(payment.unwrap(), None);
        let events = at.store.events(merchant_id, mode, ours.payment.id).await;
        assert_eq!(events.unwrap(), None);
        let found = at.store.operation(merchant_id, mode, &key("k")).await;
        assert_ne!(found.unwrap().unwrap().payment.id, ours.payment.id);
    }
}

async fn a_caller_that_goes_away_undoes_nothing(at: Fixture) {
    let intent = at.intent("k");

    drop(at.store.begin(vec![intent.clone()]));

    let found = crate::store::fixture::eventually(async || {
        let found = at
            .store
            .operation(at.merchant.id, Mode::Test, &key("k"))
            .await;
        found.unwrap()
    });
    let standing = found.await;
    assert_eq!(standing.operation.id, intent.operation.id);
    let settle = at.change(&standing, captured("pi_1"));
    drop(at.store.change(vec![settle]));
    let events = crate::store::fixture::eventually(async || {
        let events = at
            .store
            .events(at.merchant.id, Mode::Test, intent.payment.id)
            .await;
        events.unwrap().filter(|events| events.len() == 2)
    });
    assert!(matches!(
        events.await[1].event,
        PaymentEvent::Captured { .. }
    ));
}
