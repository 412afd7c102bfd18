//! Rows that nobody can read, and those that must be: neither stops the others.

use std::{collections::BTreeSet, time::Duration};

use oncepay::{
    payment::{
        Capture, Change, CreatePayment, Currency, OperationId, OperationKind, PaymentStatus,
        Standing,
    },
    store::PaymentQuery,
};

use crate::{
    store::fixture::{Fixture, on_both_stores, only},
    store::samples::{
        authorized, captured, declined, left_in_doubt, query, refunded, request, standing,
    },
};

on_both_stores! {
    rule_13_operations_that_cannot_be_read_do_not_stand_before_the_others,
    rule_13_what_could_not_be_read_is_claimed_once_it_can_be,
    rule_12_a_stray_charge_is_listed_behind_rows_that_cannot_be_read,
    rule_11_what_expired_is_listed_behind_rows_that_cannot_be_read,
    what_is_in_doubt_is_listed_behind_rows_that_cannot_be_read,
    what_must_be_whole_fails_and_names_the_row_that_cannot_be_read,
    a_payment_in_a_currency_that_went_out_of_use_goes_its_way,
}

const ODD: usize = 7;
/// Of a claim or a list: less than there are odd rows.
const LIMIT: u32 = 3;

impl Fixture {
    async fn some_after(&self, change: impl Fn() -> Change) -> Vec<Standing> {
        let mut all = Vec::new();
        for n in 0..ODD + 2 {
            all.push(self.payment_after(&format!("k{n}"), change()).await);
        }
        all
    }

    /// Makes all but the last two unreadable, by turns themselves and their payments, and due before
    /// those two.
    async fn spoil(&self, all: &[Standing]) -> BTreeSet<OperationId> {
        for (place, one) in all.iter().enumerate() {
            let (id, payment_id) = (one.operation.id, one.payment.id);
            let due = place + 1;
            let turn = format!("update operations set next_recovery_at = {due} where id = '{id}'");
            self.sql(&turn).await.unwrap();
            let spoil = match place % 2 {
                _ if place >= ODD => continue,
                0 => format!("update operations set request_id = 'from later' where id = '{id}'"),
                _ => format!("update payments set metadata = 'no map' where id = '{payment_id}'"),
            };
            self.sql(&spoil).await.unwrap();
        }
        ids(&all[ODD..])
    }

    async fn repair(&self, one: &Standing) {
        let (request_id, id) = (one.operation.request_id, one.operation.id);
        let sql = format!("update operations set request_id = '{request_id}' where id = '{id}'");
        self.sql(&sql).await.unwrap();
        let sql = r#"update payments set metadata = '{"table":"7"}' where id = "#;
        self.sql(&format!("{sql} '{}'", one.payment.id))
            .await
            .unwrap();
    }
}

fn ids(standings: &[Standing]) -> BTreeSet<OperationId> {
    standings.iter().map(|one| one.operation.id).collect()
}

async fn rule_13_operations_that_cannot_be_read_do_not_stand_before_the_others(at: Fixture) {
    let all = at.some_after(left_in_doubt).await;
    let sound = at.spoil(&all).await;

    let mut claimed = Vec::new();
    for _ in 0..=ODD {
        claimed.extend(at.claimed(LIMIT).await);
    }

    assert_eq!(ids(&claimed), sound);
}

async fn rule_13_what_could_not_be_read_is_claimed_once_it_can_be(at: Fixture) {
    let all = at.some_after(left_in_doubt).await;
    at.spoil(&all).await;
    assert_eq!(at.claimed(LIMIT).await, []);

    for one in [&all[0], &all[1]] {
        at.repair(one).await;
        let found = at.store.operation_by_id(one.operation.id).await;
        let found = found.unwrap().unwrap();
        let mut as_it_was = one.operation.clone();
        as_it_was.next_recovery_at = found.operation.next_recovery_at;
        assert_eq!(found.operation, as_it_was, "only its turn was put off");
        let wait = found.operation.next_recovery_at.since(found.now);
        assert!((540..=600).contains(&wait.as_secs()), "{wait:?}");
        assert_eq!(found.payment, one.payment);
        let sql = "update operations set next_recovery_at = 0 where id =";
        at.sql(&format!("{sql} '{}'", one.operation.id))
            .await
            .unwrap();
        let claimed = at.claimed(1).await;
        assert_eq!(ids(&claimed), BTreeSet::from([one.operation.id]));
        let settled = at.changed(&claimed[0], captured("pi_1")).await;
        assert_eq!(settled.payment.status, PaymentStatus::Succeeded);
    }
}

async fn rule_12_a_stray_charge_is_listed_behind_rows_that_cannot_be_read(at: Fixture) {
    let all = at.some_after(declined).await;
    for one in &all {
        assert!(
            at.changed(one, captured("pi_9"))
                .await
                .operation
                .has_stray()
        );
    }
    let sound = at.spoil(&all).await;

    assert_eq!(ids(&at.store.loose_ends(LIMIT).await.unwrap()), sound);
    assert_eq!(at.store.loose_ends(1).await.unwrap().len(), 1);
}

async fn rule_11_what_expired_is_listed_behind_rows_that_cannot_be_read(at: Fixture) {
    let released = || Change::Release {
        reason: "connection refused".into(),
        expires_in: Duration::ZERO,
    };
    let all = at.some_after(released).await;
    let sound = at.spoil(&all).await;

    let expired = at.store.expired(LIMIT).await.unwrap();

    let expired: BTreeSet<_> = expired.into_iter().map(|(id, _)| id).collect();
    assert_eq!(expired, sound);
}

async fn what_is_in_doubt_is_listed_behind_rows_that_cannot_be_read(at: Fixture) {
    let all = at.some_after(left_in_doubt).await;
    let sound = at.spoil(&all).await;

    assert_eq!(ids(&at.store.in_doubt(LIMIT).await.unwrap()), sound);
    assert_eq!(at.store.in_doubt(1).await.unwrap().len(), 1);
    let counted = only(at.store.doubts().await.unwrap()).count;
    assert_eq!(counted, i64::try_from(all.len()).unwrap());
}

async fn what_must_be_whole_fails_and_names_the_row_that_cannot_be_read(at: Fixture) {
    let all = at.some_after(left_in_doubt).await;
    at.spoil(&all).await;
    let operation = all[0].operation.id;
    let (from, to) = (all[0].payment.created_at, at.environment.now());

    let unsettled = at.store.unsettled_after(None, 100).await;
    let between = at.store.payments_between(from, to, None, 100).await;
    let listed = at.store.payments(&query(&at)).await;

    let unsettled = unsettled.unwrap_err().to_string();
    assert!(unsettled.contains(&operation.to_string()), "{unsettled}");
    for error in [between.unwrap_err(), listed.unwrap_err()] {
        let error = error.to_string();
        let names = |one: &Standing| error.contains(&one.payment.id.to_string());
        assert!(all[..ODD].iter().any(names), "{error}");
    }
}

async fn a_payment_in_a_currency_that_went_out_of_use_goes_its_way(at: Fixture) {
    // The one is superseded, the other is not even in the list any more.
    for (n, code) in ["BGN", "ANG"].into_iter().enumerate() {
        assert!(code.parse::<Currency>().is_err(), "{code} is in use again");
        let request = CreatePayment {
            capture: Capture::Manual,
            ..request()
        };
        let begun = at.begin(at.intent_of(code, request)).await.unwrap();
        let (id, payment_id) = (begun.operation.id, begun.payment.id);
        at.sql(&format!(
            "update payments set currency = '{code}' where id = '{payment_id}'"
        ))
        .await
        .unwrap();

        let left = at.changed(&begun, left_in_doubt()).await;
        assert_eq!(ids(&at.claimed(LIMIT).await), BTreeSet::from([id]));
        assert_eq!(
            ids(&at.store.in_doubt(LIMIT).await.unwrap()),
            BTreeSet::from([id])
        );
        let held = at.changed(&left, authorized("pi_1")).await;
        let capture = at.follow_up(
            &held.payment,
            OperationKind::Capture,
            &format!("c{n}"),
            4_200,
        );
        let capture = standing(at.follow(capture).await);
        let paid = at.changed(&capture, captured("pi_1")).await;
        let refund = at.follow_up(&paid.payment, OperationKind::Refund, &format!("r{n}"), 100);
        let refund = standing(at.follow(refund).await);
        at.changed(&refund, refunded("re_1")).await;

        let payment = at.payment(payment_id).await;
        assert_eq!(payment.money.currency().code(), code);
        assert_eq!(payment.status, PaymentStatus::Succeeded);
        assert_eq!(
            (payment.amount_captured, payment.amount_refunded),
            (4_200, 100)
        );
        let query = PaymentQuery {
            currency: Some(Currency::from_record(code).unwrap()),
            ..query(&at)
        };
        let page = at.store.payments(&query).await.unwrap();
        assert_eq!(only(page.payments), payment);
    }
}
