//! Captures, cancels and refunds: what is held back, who gets a key, and who has to wait.

use std::sync::Arc;

use oncepay::{
    payment::{
        ApprovedAs, Begun, Inadmissible, Mode, OperationKind, OperationState, PaymentStatus,
    },
    store::WriteError,
};

use crate::{
    store::fixture::{Fixture, eventually, on_both_stores, only, open_store, until_written},
    store::samples::{
        LEASE, approved, authorized, captured, declined, key, left_in_doubt, refunded, released,
        standing,
    },
};

on_both_stores! {
    a_refund_is_read_back_whole,
    rule_14_a_capture_holds_its_amount_and_settling_makes_it_a_fact,
    rule_14_what_is_refused_gives_its_amount_back,
    rule_14_concurrent_refunds_never_exceed_the_capture,
    rule_14_refunds_of_one_batch_see_each_other,
    rule_14_one_open_capture_or_cancel,
    rule_17_a_repeated_follow_up_knows_its_own_row,
    rule_17_a_key_is_looked_at_before_the_payment,
    rule_17_one_key_for_two_payments_is_won_once,
    rule_16_crosswise_batches_never_deadlock,
    rule_11_canceling_an_unsent_payment_settles_both,
    another_merchants_payment_is_not_there,
    a_refused_follow_up_does_not_fail_its_neighbours,
    refunds_are_listed_newest_first,
}

async fn a_refund_is_read_back_whole(at: Fixture) {
    let paid = at.payment_after("k", captured("pi_1")).await;
    let refund = at.follow_up(&paid.payment, OperationKind::Refund, "r", 1_000);

    let begun = standing(at.follow(refund.clone()).await);

    assert!(begun.applied);
    let mut expected = refund.operation;
    expected.lease_until = begun.now.plus(LEASE);
    expected.next_recovery_at = begun.now.plus(LEASE);
    expected.first_sent_at = begun.now;
    expected.amount_reserved = 1_000;
    assert_eq!(begun.operation, expected);
    assert_eq!(begun.payment.refund_reserved, 1_000);
    assert_eq!(begun.payment.event_count, 3);
    let read = at.store.operation_by_id(expected.id).await;
    let read = read.unwrap().unwrap();
    assert_eq!((read.operation, read.payment), (expected, begun.payment));
    assert!(!read.applied && read.now >= begun.now);
    let history = at.history(paid.payment.id).await;
    assert_eq!(history, ["created", "captured", "operation_begun"]);
}

async fn rule_14_a_capture_holds_its_amount_and_settling_makes_it_a_fact(at: Fixture) {
    let held = at.payment_after("k", authorized("pi_1")).await;
    let capture = at.follow_up(&held.payment, OperationKind::Capture, "c", 3_000);

    let begun = standing(at.follow(capture).await);
    let settled = at.changed(&begun, captured("pi_1")).await;

    assert_eq!(begun.payment.capture_reserved, 3_000);
    assert_eq!(begun.payment.status, PaymentStatus::Authorized);
    assert_eq!(settled.payment.status, PaymentStatus::Succeeded);
    let amounts = (
        settled.payment.amount_captured,
        settled.payment.capture_reserved,
    );
    assert_eq!(amounts, (3_000, 0));
    assert_eq!(settled.operation.answer.unwrap().status, 200);
}

async fn rule_14_what_is_refused_gives_its_amount_back(at: Fixture) {
    let paid = at.payment_after("k", captured("pi_1")).await;
    let refund = |text: &str| at.follow_up(&paid.payment, OperationKind::Refund, text, 4_200);

    let first = standing(at.follow(refund("r1")).await);
    let too_much = at.follow(refund("r2")).await;
    let refused = at.changed(&first, declined()).await;
    let second = at.follow(refund("r2")).await;

    assert!(matches!(
        too_much,
        Begun::Inadmissible(Inadmissible::AmountExceeds {
            asked: 4_200,
            available: 0,
            ..
        })
    ));
    assert_eq!(refused.payment.refund_reserved, 0);
    assert_eq!(refused.payment.status, PaymentStatus::Succeeded);
    assert!(standing(second).applied, "the key was not spent");
}

async fn rule_14_concurrent_refunds_never_exceed_the_capture(at: Fixture) {
    let paid = at.payment_after("k", captured("pi_1")).await;
    let stores = [Arc::clone(&at.store), open_store(&at.url).await];
    let refund = async |n: usize| {
        let store = &stores[n % 2];
        let refund = at.follow_up(&paid.payment, OperationKind::Refund, &format!("r{n}"), 100);
        let begin = async || written(only(store.begin_follow_ups(vec![refund.clone()]).await));
        let Begun::Standing(begun) = eventually(begin).await else {
            return 0;
        };
        let verdict = match n % 3 {
            0 => declined(),
            _ => refunded(&format!("re_{n}")),
        };
        let settle = at.change(&begun, verdict);
        let settle = async || written(only(store.change(vec![settle.clone()]).await));
        let settled = eventually(settle).await;
        assert!(settled.applied);
        match settled.operation.failure {
            None => settled.operation.amount,
            Some(_) => 0,
        }
    };

    let given_back = futures_util::future::join_all((0..60).map(refund)).await;

    let given_back: i64 = given_back.into_iter().sum();
    let payment = at.payment(paid.payment.id).await;
    assert_eq!(payment.amount_refunded, given_back);
    assert!((2_800..=4_200).contains(&given_back), "{given_back}");
    assert_eq!(payment.refund_reserved, 0);
    let rest = 4_200 - given_back;
    if rest > 0 {
        let last = at.follow_up(&payment, OperationKind::Refund, "rest", rest);
        standing(at.follow(last).await);
    }
    let more = at.follow_up(&payment, OperationKind::Refund, "more", 1);
    assert!(matches!(at.follow(more).await, Begun::Inadmissible(_)));
}

/// Who finds no free connection was certainly not written, and may try again.
fn written<T>(result: Result<T, WriteError>) -> Option<T> {
    match result {
        Err(WriteError::NotWritten(_)) => None,
        result => Some(result.unwrap()),
    }
}

async fn rule_14_refunds_of_one_batch_see_each_other(at: Fixture) {
    let paid = at.payment_after("k", captured("pi_1")).await;
    let refund = |n: i32| {
        at.follow_up(
            &paid.payment,
            OperationKind::Refund,
            &format!("r{n}"),
            1_000,
        )
    };

    let begun = at
        .store
        .begin_follow_ups((0..6).map(refund).collect())
        .await;

    let began = begun
        .iter()
        .map(|one| matches!(one, Ok(Begun::Standing(_))));
    assert_eq!(
        began.collect::<Vec<_>>(),
        [true, true, true, true, false, false]
    );
    let payment = at.payment(paid.payment.id).await;
    assert_eq!(payment.refund_reserved, 4_000);
    let unsettled = at.store.unsettled_of(paid.payment.id).await.unwrap();
    assert_eq!(unsettled.len(), 4);
    assert!(unsettled.iter().all(|one| one.payment == payment));
}

async fn rule_14_one_open_capture_or_cancel(at: Fixture) {
    let held = at.payment_after("k", authorized("pi_1")).await;
    let stores = [Arc::clone(&at.store), open_store(&at.url).await];
    let kinds = [OperationKind::Capture, OperationKind::Cancel];
    let tasks: Vec<_> = (0..16)
        .map(|n| {
            let kind = kinds[n / 2 % 2];
            let amount = [4_200, 0][n / 2 % 2];
            let new = at.follow_up(&held.payment, kind, &format!("f{n}"), amount);
            let store = Arc::clone(&stores[n % 2]);
            tokio::spawn(async move { only(store.begin_follow_ups(vec![new]).await).unwrap() })
        })
        .collect();

    let mut begun = Vec::new();
    for task in tasks {
        begun.push(task.await.unwrap());
    }

    let (stands, refused): (Vec<_>, Vec<_>) = begun
        .into_iter()
        .partition(|one| matches!(one, Begun::Standing(_)));
    let winner = standing(only(stands));
    for one in refused {
        let Begun::Inadmissible(Inadmissible::InProgress { open, payment }) = one else {
            panic!("{one:?}");
        };
        assert_eq!(
            (open, *payment),
            (winner.operation.kind, winner.payment.clone())
        );
    }
}

async fn rule_17_a_repeated_follow_up_knows_its_own_row(at: Fixture) {
    let paid = at.payment_after("k", captured("pi_1")).await;
    let refund = at.follow_up(&paid.payment, OperationKind::Refund, "r", 4_200);
    let first = standing(at.follow(refund.clone()).await);

    let again = standing(at.follow(refund.clone()).await);

    assert!(again.applied, "though nothing is left to be refunded");
    assert_eq!(
        (again.operation, again.payment),
        (first.operation.clone(), first.payment)
    );
    let mut twin = refund;
    twin.operation.owner = at.environment.new_owner();
    twin.operation.id = at.environment.new_id();
    let other = standing(at.follow(twin).await);
    assert!(!other.applied);
    assert_eq!(other.operation.id, first.operation.id);
    assert_eq!(at.history(paid.payment.id).await.len(), 3);
}

async fn rule_17_a_key_is_looked_at_before_the_payment(at: Fixture) {
    let paid = at.payment_after("k", captured("pi_1")).await;
    let failed = at.payment_after("other", declined()).await;

    let on_a_create = at.follow_up(&paid.payment, OperationKind::Refund, "other", 1);
    let found = standing(at.follow(on_a_create).await);

    assert!(!found.applied);
    assert_eq!(found.operation.id, failed.operation.id);
    assert_eq!(at.payment(paid.payment.id).await, paid.payment);
}

async fn rule_17_one_key_for_two_payments_is_won_once(at: Fixture) {
    let stores = [Arc::clone(&at.store), open_store(&at.url).await];
    for round in 0..20 {
        let mut tasks = Vec::new();
        let mut payments = Vec::new();
        for (n, store) in stores.iter().enumerate() {
            let paid = at
                .payment_after(&format!("k{round}-{n}"), captured("pi_1"))
                .await;
            let shared = format!("r{round}");
            let refund = at.follow_up(&paid.payment, OperationKind::Refund, &shared, 4_200);
            payments.push(paid.payment.id);
            let store = Arc::clone(store);
            tasks.push(tokio::spawn(async move {
                only(store.begin_follow_ups(vec![refund]).await).unwrap()
            }));
        }

        let mut begun = Vec::new();
        for task in tasks {
            begun.push(standing(task.await.unwrap()));
        }

        let winner = only(begun.iter().filter(|one| one.applied).collect());
        for (one, payment_id) in begun.iter().zip(payments) {
            assert_eq!(one.operation.id, winner.operation.id);
            let reserved = at.payment(payment_id).await.refund_reserved;
            let expected = if winner.payment.id == payment_id {
                4_200
            } else {
                0
            };
            assert_eq!(reserved, expected, "the loser reserved nothing");
        }
    }
}

async fn rule_16_crosswise_batches_never_deadlock(at: Fixture) {
    const ROUNDS: usize = 40;
    let mut paid = Vec::new();
    for n in 0..6 {
        paid.push(
            at.payment_after(&format!("k{n}"), captured("pi_1"))
                .await
                .payment,
        );
    }
    let (at, paid) = (Arc::new(at), Arc::new(paid));
    let stores = [Arc::clone(&at.store), open_store(&at.url).await];
    let mut drivers = Vec::new();
    for who in 0..4 {
        let (at, paid, store) = (
            Arc::clone(&at),
            Arc::clone(&paid),
            Arc::clone(&stores[who % 2]),
        );
        drivers.push(async move {
            for round in 0..ROUNDS {
                // Each key is asked for twice, on different nodes.
                let refund = |(n, payment)| {
                    let text = format!("r{}-{round}-{n}", who / 2);
                    at.follow_up(payment, OperationKind::Refund, &text, 1)
                };
                let mut refunds: Vec<_> = paid.iter().enumerate().map(refund).collect();
                if who % 2 == 1 {
                    refunds.reverse();
                }
                let begun = until_written(|| store.begin_follow_ups(refunds.clone()));
                let begun: Vec<_> = begun.await.into_iter().map(standing).collect();
                let mut settle: Vec<_> = (begun.iter())
                    .filter(|one| one.applied)
                    .map(|one| at.change(one, refunded(&format!("re_{}", one.operation.id))))
                    .collect();
                settle.reverse();
                let changed = until_written(|| store.change(settle.clone())).await;
                assert!(changed.iter().all(|one| one.applied));
            }
        });
    }

    let all = futures_util::future::join_all(drivers);
    // A deadlock costs a second before PostgreSQL notices it, and each would be a batch run again.
    tokio::time::timeout(std::time::Duration::from_secs(120), all)
        .await
        .unwrap();

    let given_back = i64::try_from(2 * ROUNDS).unwrap();
    for payment in paid.iter() {
        let payment = at.payment(payment.id).await;
        assert_eq!(
            (payment.amount_refunded, payment.refund_reserved),
            (given_back, 0)
        );
        assert_eq!(payment.event_count, 2 + 2 * given_back);
    }
    if let oncepay::store::StoreUrl::Postgres(_) = &at.url {
        let none = "do $$ begin
            if (select deadlocks from pg_stat_database where datname = current_database()) > 0
            then raise 'there were deadlocks'; end if; end $$";
        at.sql(none).await.unwrap();
    }
}

async fn rule_11_canceling_an_unsent_payment_settles_both(at: Fixture) {
    let pending = at.payment_after("k", released()).await;
    let cancel = at.follow_up(&pending.payment, OperationKind::Cancel, "c", 0);

    let canceled = standing(at.follow(cancel.clone()).await);

    assert!(canceled.applied);
    assert_eq!(canceled.payment.status, PaymentStatus::Canceled);
    assert_eq!(canceled.operation.state, OperationState::Settled);
    assert_eq!(canceled.operation.answer.as_ref().unwrap().status, 200);
    let made = at.store.operation_by_id(pending.operation.id).await;
    let made = made.unwrap().unwrap();
    assert_eq!(made.operation.state, OperationState::Settled);
    assert_eq!(made.operation.answer.unwrap().status, 402);
    assert_eq!(made.payment, canceled.payment);
    let late = only(at.store.change(vec![at.take_over(&pending)]).await).unwrap();
    assert!(!late.applied, "the client came back too late");
    assert!(standing(at.follow(cancel).await).applied, "the same again");
    let history = at.history(pending.payment.id).await;
    assert_eq!(
        history,
        ["created", "released", "operation_begun", "canceled"]
    );
    let open = at.payment_after("open", left_in_doubt()).await;
    let cancel = at.follow_up(&open.payment, OperationKind::Cancel, "c2", 0);
    assert!(matches!(
        at.follow(cancel).await,
        Begun::Inadmissible(Inadmissible::InProgress {
            open: OperationKind::Create,
            ..
        })
    ));
}

async fn another_merchants_payment_is_not_there(at: Fixture) {
    let paid = at.payment_after("k", captured("pi_1")).await;
    let mut live = at.follow_up(&paid.payment, OperationKind::Refund, "r", 1);
    live.operation.mode = Mode::Live;
    let mut unknown = at.follow_up(&paid.payment, OperationKind::Refund, "r2", 1);
    unknown.operation.payment_id = at.environment.new_id();

    for one in at.store.begin_follow_ups(vec![live, unknown]).await {
        let nothing = Begun::Inadmissible(Inadmissible::NoSuchPayment);
        assert_eq!(one.unwrap(), nothing);
    }

    assert_eq!(at.payment(paid.payment.id).await, paid.payment);
    let found = at
        .store
        .operation(at.merchant.id, Mode::Live, &key("r"))
        .await;
    assert_eq!(found.unwrap(), None);
}

async fn a_refused_follow_up_does_not_fail_its_neighbours(at: Fixture) {
    let mut batch = Vec::new();
    for n in 0..8 {
        let paid = at.payment_after(&format!("k{n}"), captured("pi_1")).await;
        batch.push(at.follow_up(&paid.payment, OperationKind::Refund, &format!("r{n}"), 1));
    }
    batch[3].operation.route.key = String::new();
    let ids: Vec<_> = batch.iter().map(|one| one.operation.payment_id).collect();

    let begun = at.store.begin_follow_ups(batch).await;

    for (n, (one, id)) in begun.into_iter().zip(ids).enumerate() {
        let reserved = at.payment(id).await.refund_reserved;
        match n {
            3 => {
                assert!(matches!(one, Err(WriteError::Rejected(_))), "{one:?}");
                assert_eq!(reserved, 0);
            }
            _ => {
                assert!(standing(one.unwrap()).applied);
                assert_eq!(reserved, 1);
            }
        }
    }
}

async fn refunds_are_listed_newest_first(at: Fixture) {
    let held = at.payment_after("k", authorized("pi_1")).await;
    let capture = at.follow_up(&held.payment, OperationKind::Capture, "c", 4_200);
    let capture = standing(at.follow(capture).await);
    let paid = at
        .changed(&capture, approved(ApprovedAs::Captured, "pi_1"))
        .await;
    let mut made = Vec::new();
    for n in 0..3 {
        let refund = at.follow_up(&paid.payment, OperationKind::Refund, &format!("r{n}"), 10);
        let begun = standing(at.follow(refund).await);
        let settled = at.changed(&begun, refunded(&format!("re_{n}"))).await;
        made.insert(0, settled.operation);
    }

    let listed = at
        .store
        .refunds(at.merchant.id, Mode::Test, paid.payment.id);

    assert_eq!(listed.await.unwrap(), Some(made));
    let foreign = at
        .store
        .refunds(at.merchant.id, Mode::Live, paid.payment.id);
    assert_eq!(foreign.await.unwrap(), None);
    let other = at.payment_after("other", captured("pi_2")).await;
    let none = at
        .store
        .refunds(at.merchant.id, Mode::Test, other.payment.id);
    assert_eq!(none.await.unwrap(), Some(Vec::new()));
}
