//! Lists of payments: filters, directions, and pages that stay stable.

use std::time::Duration;

use oncepay::{
    payment::{Mode, NewOperation, PaymentId, PaymentStatus, Standing},
    store::{Cursor, PaymentQuery, UnsettledRoute},
};

use crate::{
    store::fixture::{Fixture, on_both_stores},
    store::samples::{captured, key, query, request},
};

on_both_stores! {
    pages_are_walked_in_both_directions,
    a_page_stays_the_same_while_payments_are_added,
    every_filter_filters,
    unsettled_operations_are_counted_by_their_route,
}

async fn ids(at: &Fixture, query: PaymentQuery) -> (Vec<PaymentId>, bool) {
    let page = at.store.payments(&query).await.unwrap();
    let ids = page.payments.iter().map(|payment| payment.id).collect();
    (ids, page.has_more)
}

/// Begins payments that are `count` seconds apart; gives their ids, the newest first.
async fn begun(at: &Fixture, count: u64) -> Vec<PaymentId> {
    let intents: Vec<_> = (0..count).map(|n| aged(at, n)).collect();
    let mut ids: Vec<_> = intents.iter().map(|one| one.payment.id).collect();
    for standing in at.store.begin(intents).await {
        assert!(standing.unwrap().applied);
    }
    ids.reverse();
    ids
}

fn aged(at: &Fixture, seconds: u64) -> NewOperation {
    later(at, at.intent(&format!("k{seconds}")), seconds)
}

/// As if it were made so many seconds later, of which its id tells, too: ids of the same millisecond are
/// in no order.
fn later(at: &Fixture, mut intent: NewOperation, seconds: u64) -> NewOperation {
    let made = intent.payment.created_at.plus(Duration::from_secs(seconds));
    let millis = u64::try_from(made.as_micros() / 1_000).unwrap();
    let bytes = at.environment.random_bytes();
    let uuid = uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid();
    intent.payment.id = PaymentId::from_uuid(uuid);
    intent.operation.payment_id = intent.payment.id;
    intent.payment.created_at = made;
    intent
}

async fn pages_are_walked_in_both_directions(at: Fixture) {
    let all = begun(&at, 7).await;
    let page = |cursor| PaymentQuery {
        limit: 3,
        cursor,
        ..query(&at)
    };
    let (after, before) = (Cursor::StartingAfter, Cursor::EndingBefore);

    let first = ids(&at, page(None)).await;
    let second = ids(&at, page(Some(after(all[2])))).await;
    let third = ids(&at, page(Some(after(all[5])))).await;
    let back = ids(&at, page(Some(before(all[6])))).await;
    let start = ids(&at, page(Some(before(all[3])))).await;

    assert_eq!(first, (all[..3].to_vec(), true));
    assert_eq!(second, (all[3..6].to_vec(), true));
    assert_eq!(third, (all[6..].to_vec(), false));
    assert_eq!(
        back,
        (all[3..6].to_vec(), true),
        "newest first, next to the cursor"
    );
    assert_eq!(start, (all[..3].to_vec(), false));
    let beyond = PaymentId::from_uuid(uuid::Uuid::nil());
    let none = ids(&at, page(Some(after(beyond)))).await;
    assert_eq!(none, (vec![], false), "a cursor need not name a payment");
    let oldest = ids(&at, page(Some(before(beyond)))).await;
    assert_eq!(oldest, (all[4..].to_vec(), true));
}

async fn a_page_stays_the_same_while_payments_are_added(at: Fixture) {
    let all = begun(&at, 4).await;
    let second = PaymentQuery {
        limit: 2,
        cursor: Some(Cursor::StartingAfter(all[1])),
        ..query(&at)
    };
    let page = ids(&at, second.clone()).await;

    at.begin(aged(&at, 60)).await.unwrap();

    assert_eq!(ids(&at, second).await, page);
    assert_eq!(ids(&at, query(&at)).await.0.len(), 5);
}

async fn every_filter_filters(at: Fixture) {
    let dollars = oncepay::payment::CreatePayment {
        money: oncepay::payment::Money::new(1, "USD".parse().unwrap()).unwrap(),
        reference: Some("order-18".into()),
        ..request()
    };
    let first = at.begin(at.intent("first")).await.unwrap();
    let second = at
        .begin(later(&at, at.intent_of("second", dollars.clone()), 1))
        .await
        .unwrap();
    let live = at
        .begin(later(&at, at.intent_in(Mode::Live, "live", dollars), 1))
        .await
        .unwrap();
    let settle = at.change(&first, captured("pi_1"));
    assert!(
        at.store.change(vec![settle]).await[0]
            .as_ref()
            .unwrap()
            .applied
    );
    let payment = |one: &Standing| vec![one.payment.id];
    let q = || query(&at);

    let table = [
        (
            PaymentQuery {
                status: Some(PaymentStatus::Succeeded),
                ..q()
            },
            payment(&first),
        ),
        (
            PaymentQuery {
                status: Some(PaymentStatus::Processing),
                ..q()
            },
            payment(&second),
        ),
        (
            PaymentQuery {
                status: Some(PaymentStatus::Failed),
                ..q()
            },
            vec![],
        ),
        (
            PaymentQuery {
                currency: Some("USD".parse().unwrap()),
                ..q()
            },
            payment(&second),
        ),
        (
            PaymentQuery {
                reference: Some("order-17".into()),
                ..q()
            },
            payment(&first),
        ),
        (
            PaymentQuery {
                idempotency_key: Some(key("second")),
                ..q()
            },
            payment(&second),
        ),
        (
            PaymentQuery {
                mode: Mode::Live,
                ..q()
            },
            payment(&live),
        ),
        (
            PaymentQuery {
                merchant_id: at.environment.new_id(),
                ..q()
            },
            vec![],
        ),
        (
            PaymentQuery {
                created_from: Some(second.payment.created_at),
                ..q()
            },
            payment(&second),
        ),
        (
            PaymentQuery {
                created_to: Some(first.payment.created_at),
                ..q()
            },
            payment(&first),
        ),
        (
            PaymentQuery {
                status: Some(PaymentStatus::Processing),
                currency: Some("USD".parse().unwrap()),
                reference: Some("order-18".into()),
                idempotency_key: Some(key("second")),
                created_from: Some(second.payment.created_at),
                created_to: Some(second.payment.created_at),
                cursor: Some(Cursor::EndingBefore(first.payment.id)),
                ..q()
            },
            payment(&second),
        ),
    ];

    for (query, expected) in table {
        let found = ids(&at, query.clone()).await;
        assert_eq!(found, (expected, false), "{query:?}");
    }
}

async fn unsettled_operations_are_counted_by_their_route(at: Fixture) {
    begun(&at, 3).await;
    let mut elsewhere = at.intent("elsewhere");
    elsewhere.operation.route.provider = "stripe".into();
    let elsewhere = at.begin(elsewhere).await.unwrap();
    let settled = at.begin(at.intent("settled")).await.unwrap();
    let released = at.change(&elsewhere, crate::store::samples::released());
    let settle = at.change(&settled, captured("pi_1"));
    at.store.change(vec![released, settle]).await;

    let routes = at.store.unsettled_routes().await.unwrap();

    let route = |provider: &str, count| UnsettledRoute {
        provider: provider.into(),
        account: "acct_1".into(),
        count,
    };
    assert_eq!(routes, [route("sandbox", 3), route("stripe", 1)]);
}
