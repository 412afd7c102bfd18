//! How operations end without their client, or after their end: expiry, failover, operators, strays.

use std::time::Duration;

use oncepay::payment::{
    Approval, ApprovedAs, Change, OperationKind, OperationState, PaymentStatus, Verdict,
};

use crate::{
    store::fixture::{Fixture, on_both_stores, only},
    store::samples::{
        LEASE, captured, declined, left_in_doubt, refunded, released, route, standing,
    },
};

on_both_stores! {
    rule_11_what_nobody_came_back_for_expires,
    rule_11_a_released_refund_expires_alone,
    rule_7_a_failover_turns_the_operation_to_another_provider,
    rule_15_an_operator_settles_what_is_in_doubt,
    rule_12_a_stray_charge_is_listed_until_it_is_given_back,
    rule_15_what_an_operator_called_failed_is_listed_until_it_was_looked_for_again,
    doubts_are_counted_and_listed_oldest_first,
    an_operation_that_is_not_there_is_none,
}

fn expiring(expires_in: Duration) -> Change {
    Change::Release {
        reason: "connect_failed".into(),
        expires_in,
    }
}

async fn rule_11_what_nobody_came_back_for_expires(at: Fixture) {
    let over = at.payment_after("k", expiring(Duration::ZERO)).await;
    at.payment_after("not-yet", released()).await;
    at.payment_after("open", left_in_doubt()).await;

    let expired = at.store.expired(10).await.unwrap();
    assert_eq!(expired, [(over.operation.id, over.operation.epoch)]);
    let ended = at.changed(&over, Change::Expire).await;

    assert!(ended.applied);
    assert_eq!(ended.payment.status, PaymentStatus::Failed);
    assert_eq!(ended.operation.state, OperationState::Settled);
    let answer = ended.operation.answer.clone().unwrap();
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(
        (answer.status, body["code"].as_str()),
        (402, Some("payment_expired"))
    );
    let again = at.changed(&over, Change::Expire).await;
    assert!(again.applied);
    assert_eq!(
        (again.operation, again.payment),
        (ended.operation, ended.payment)
    );
    assert_eq!(at.store.expired(10).await.unwrap(), []);
    let taken = only(at.store.change(vec![at.take_over(&over)]).await).unwrap();
    assert!(!taken.applied, "the client came back too late");
}

async fn rule_11_a_released_refund_expires_alone(at: Fixture) {
    let paid = at.payment_after("k", captured("pi_1")).await;
    let refund = at.follow_up(&paid.payment, OperationKind::Refund, "r", 1_000);
    let refund = standing(at.follow(refund).await);
    let over = at.changed(&refund, expiring(Duration::ZERO)).await;
    assert_eq!(
        over.payment.refund_reserved, 1_000,
        "its client may come back"
    );

    let expired = at.store.expired(10).await.unwrap();
    let ended = at.changed(&over, Change::Expire).await;

    assert_eq!(expired, [(over.operation.id, 1)]);
    assert_eq!(ended.payment.status, PaymentStatus::Succeeded);
    assert_eq!(ended.payment.refund_reserved, 0);
    assert_eq!(ended.operation.failure.unwrap().code, "payment_expired");
}

async fn rule_7_a_failover_turns_the_operation_to_another_provider(at: Fixture) {
    let begun = at.begin(at.intent("k")).await.unwrap();
    let mut next = route("oncepay-k");
    next.provider = "second".into();
    next.request = b"amount=4200&currency=eur&second=1".to_vec();
    let fail_over = Change::FailOver {
        route: next.clone(),
        lease: LEASE,
        reason: "connect_failed".into(),
    };

    let turned = at.changed(&begun, fail_over.clone()).await;

    assert!(turned.applied);
    assert_eq!(turned.operation.route, next);
    assert_eq!(turned.payment.provider, "second");
    assert_eq!(turned.operation.first_sent_at, turned.now);
    assert!(
        at.changed(&begun, fail_over.clone()).await.applied,
        "the same again"
    );
    let history = at.history(begun.payment.id).await;
    assert_eq!(history, ["created", "failed_over"]);
    let doubted = at.payment_after("doubted", left_in_doubt()).await;
    let refused = at.changed(&doubted, fail_over).await;
    assert!(!refused.applied, "never after a doubt");
    assert_eq!(refused.operation, doubted.operation);
}

async fn rule_15_an_operator_settles_what_is_in_doubt(at: Fixture) {
    let begun = at.begin(at.intent("k")).await.unwrap();
    let begin = Change::BeginResolving {
        owner: at.environment.new_owner(),
        lease: LEASE,
    };

    let resolving = at.changed(&begun, begin.clone()).await;
    let repeated = at.changed(&begun, begin).await;
    let late = at.changed(&begun, left_in_doubt()).await;
    let resolve = Change::Resolve {
        verdict: Verdict::Approved(Approval {
            approved_as: ApprovedAs::Captured,
            reference: "pi_7".into(),
        }),
        by: "ada".into(),
        why: "seen in the provider's dashboard".into(),
        look_again_at: None,
    };
    let resolved = at.changed(&resolving, resolve.clone()).await;

    assert!(resolving.applied && resolving.operation.resends_barred);
    assert_eq!(resolving.operation.epoch, 2, "though its lease was alive");
    assert!(repeated.applied);
    assert_eq!(repeated.operation, resolving.operation);
    assert!(!late.applied, "the former driver is out");
    assert_eq!(resolved.payment.status, PaymentStatus::Succeeded);
    assert_eq!(resolved.payment.provider_reference.as_deref(), Some("pi_7"));
    assert!(
        at.changed(&resolving, resolve).await.applied,
        "the same again"
    );
    let history = at.history(begun.payment.id).await;
    assert_eq!(
        history,
        ["created", "became_in_doubt", "resolved", "captured"]
    );
}

async fn rule_12_a_stray_charge_is_listed_until_it_is_given_back(at: Fixture) {
    let failed = at.payment_after("k", declined()).await;
    let paid = at.payment_after("paid", captured("pi_1")).await;
    let refund = at.follow_up(&paid.payment, OperationKind::Refund, "r", 100);
    let refund = standing(at.follow(refund).await);
    let refused = at.changed(&refund, declined()).await;
    assert_eq!(at.store.loose_ends(10).await.unwrap(), []);

    at.changed(&failed, captured("pi_9")).await;
    let odd = at.changed(&refused, refunded("re_9")).await;

    assert_eq!(odd.operation.stray_reference.as_deref(), Some("re_9"));
    let stray = only(at.store.loose_ends(10).await.unwrap());
    assert_eq!(
        stray.operation.id, failed.operation.id,
        "only a charge can be given back"
    );
    let reverse = Change::ReverseStray {
        reference: "pi_9".into(),
        reversed_as: "re_1".into(),
    };
    let reversed = at.changed(&stray, reverse.clone()).await;
    assert!(reversed.applied && at.changed(&stray, reverse).await.applied);
    assert_eq!(at.store.loose_ends(10).await.unwrap(), []);
    let history = at.history(failed.payment.id).await;
    let expected = [
        "created",
        "declined",
        "stray_charge",
        "stray_charge_reversed",
    ];
    assert_eq!(history, expected);
}

async fn doubts_are_counted_and_listed_oldest_first(at: Fixture) {
    assert_eq!(at.store.doubts().await.unwrap(), []);
    let mut left = Vec::new();
    for n in 0..4 {
        let one = at.payment_after(&format!("k{n}"), left_in_doubt()).await;
        left.push(one);
    }
    at.begin(at.intent("open")).await.unwrap();
    let mut other = at.intent("other");
    other.operation.route.provider = "another".into();
    let other = at.begin(other).await.unwrap();
    at.changed(&other, left_in_doubt()).await;
    let settled = left.remove(1);
    at.changed(&settled, captured("pi_1")).await;

    let listed = at.store.in_doubt(10).await.unwrap();
    let doubts = at.store.doubts().await.unwrap();

    let since: Vec<_> = listed
        .iter()
        .map(|one| one.operation.in_doubt_since)
        .collect();
    assert!(since.is_sorted() && since.iter().all(Option::is_some));
    assert_eq!(listed.len(), 4);
    assert_eq!(at.store.in_doubt(2).await.unwrap().len(), 2);
    let counted: Vec<_> = (doubts.iter())
        .map(|one| (one.provider.as_str(), one.count))
        .collect();
    assert_eq!(counted, [("another", 1), ("sandbox", 3)]);
    assert_eq!(
        Some(doubts[1].oldest_since),
        left[0].operation.in_doubt_since
    );
    assert!(doubts[1].now >= doubts[1].oldest_since);
}

async fn an_operation_that_is_not_there_is_none(at: Fixture) {
    let id = at.environment.new_id();
    assert_eq!(at.store.operation_by_id(id).await.unwrap(), None);
    let payment_id = at.environment.new_id();
    assert_eq!(at.store.unsettled_of(payment_id).await.unwrap(), []);
    let begun = at.begin(at.intent("k")).await.unwrap();
    let open = only(at.store.unsettled_of(begun.payment.id).await.unwrap());
    assert_eq!(
        (open.operation, open.payment),
        (begun.operation.clone(), begun.payment.clone())
    );
    at.changed(&begun, captured("pi_1")).await;
    assert_eq!(at.store.unsettled_of(begun.payment.id).await.unwrap(), []);
}

async fn rule_15_what_an_operator_called_failed_is_listed_until_it_was_looked_for_again(
    at: Fixture,
) {
    let begun = at.begin(at.intent("k")).await.unwrap();
    let Change::Settle(verdict) = declined() else {
        panic!("a refusal is a verdict");
    };
    let now = begun.now;
    let resolve = Change::Resolve {
        verdict,
        by: "ada".into(),
        why: "not in the provider's list".into(),
        look_again_at: Some(now.plus(LEASE)),
    };
    let resolved = at.changed(&begun, resolve).await;

    let listed = only(at.store.loose_ends(10).await.unwrap());
    assert_eq!(listed.operation, resolved.operation);
    assert_eq!(listed.operation.next_recovery_at, now.plus(LEASE));
    let turn = Change::TakeTurn {
        owner: at.environment.new_owner(),
        again_in: LEASE,
    };
    let early = at.changed(&listed, turn).await;
    assert!(!early.applied, "its time has not come");

    let looked = at.changed(&listed, Change::LookedAgain).await;
    assert!(looked.applied && at.changed(&listed, Change::LookedAgain).await.applied);
    assert_eq!(looked.operation.answer, resolved.operation.answer);
    assert_eq!(at.store.loose_ends(10).await.unwrap(), []);
}
