//! Recording intents: one statement for all, and one more for those that lost their key.

use std::{collections::BTreeMap, sync::LazyLock};

use diesel::{
    result::Error,
    sql_types::{BigInt, Text},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::{
    Writing,
    reads::{self, Found, found},
    statement::{CLOCK, Statement, check, listed, unnest},
};
use crate::{
    payment::{NewOperation, Standing, Timestamp},
    store::{
        batch::{Failure, Writer, Written},
        decide::{lease_micros, rows_of},
        errors::failure,
        rows::{Column, EventRow, OperationRow, PaymentRow},
    },
};

/// The statement's name in the cache.
struct Begin;

/// Inserts in the order of the keys, so that two batches never wait for each other crosswise. The
/// clock is read for each row just before it is inserted; where the row has to wait for another's
/// commit, its lease and its `first_sent_at` are early, which is the safe side.
static BEGIN: LazyLock<String> = LazyLock::new(|| {
    let times = ["lease_until", "first_sent_at", "next_recovery_at"];
    let operation = OperationRow::COLUMNS;
    let given: Vec<_> = (operation.iter())
        .map(|column| match *column {
            "lease_until" | "next_recovery_at" => "g.clock + g.lease".to_owned(),
            "first_sent_at" => "g.clock".to_owned(),
            column => format!("g.{column}"),
        })
        .collect();
    let with_lease: Vec<_> = operation.iter().copied().chain(["lease"]).collect();
    format!(
        "with begun as (
            insert into operations ({operations})
            select {given}
            from (
                select o.*, {CLOCK} as clock from {unnest_operations}
                order by o.merchant_id, o.mode, o.idempotency_key
            ) as g
            on conflict (merchant_id, mode, idempotency_key) do nothing
            returning id, payment_id, {times}
        ), made as (
            insert into payments ({payments})
            select {listed_payments} from {unnest_payments}
            where p.id in (select payment_id from begun) order by p.id
        ), told as (
            insert into payment_events ({events})
            select {listed_events} from {unnest_events}
            where e.payment_id in (select payment_id from begun) order by e.payment_id
        )
        select id, {times}, {CLOCK} from begun",
        times = times.join(", "),
        given = given.join(", "),
        operations = operation.join(", "),
        unnest_operations = unnest("o", &with_lease),
        payments = PaymentRow::COLUMNS.join(", "),
        listed_payments = listed("p", PaymentRow::COLUMNS),
        unnest_payments = unnest("p", PaymentRow::COLUMNS),
        events = EventRow::COLUMNS.join(", "),
        listed_events = listed("e", EventRow::COLUMNS),
        unnest_events = unnest("e", EventRow::COLUMNS),
    )
});

type BegunRow = (String, i64, i64, i64, i64);

impl Writer<NewOperation> for Writing {
    type Answer = Standing;

    async fn write(&self, items: &[NewOperation]) -> Result<Written, Failure> {
        let mut connection = self.connection().await?;
        let begun = match insert(&mut connection, items).await {
            Ok(begun) => begun,
            Err(error) => {
                let rolled_back = is_rolled_back(&mut connection, &error).await;
                return Err(failure(&error, rolled_back));
            }
        };
        answers(&mut connection, items, begun)
            .await
            .map_err(|error| Failure::Unknown(error.to_string()))
    }
}

/// Whether the statement, which is a transaction of its own, is known to be undone by its error.
///
/// An error that leaves the session alive came before the commit: PostgreSQL has none after it but
/// those that end the session.
async fn is_rolled_back(connection: &mut AsyncPgConnection, error: &Error) -> bool {
    matches!(error, Error::DatabaseError(..)) && reads::ping(connection).await.is_ok()
}

async fn insert(
    connection: &mut AsyncPgConnection,
    items: &[NewOperation],
) -> Result<Vec<BegunRow>, Error> {
    let (mut operations, mut payments, mut events) = (Vec::new(), Vec::new(), Vec::new());
    for item in items {
        let (operation, payment, event) = rows_of(item);
        operations.push(operation);
        payments.push(payment);
        events.push(event);
    }
    let mut columns = OperationRow::columns(&operations);
    columns.push(Column::BigInt(
        items.iter().map(lease_micros).map(Some).collect(),
    ));
    columns.extend(PaymentRow::columns(&payments));
    columns.extend(EventRow::columns(&events));
    check(&columns)?;
    Statement::<Begin, (Text, BigInt, BigInt, BigInt, BigInt)>::new(&BEGIN, columns)
        .load(connection)
        .await
}

/// The standing of each item. The losers are read by a statement that begins after the winners
/// have committed; only such a one sees them.
async fn answers(
    connection: &mut AsyncPgConnection,
    items: &[NewOperation],
    begun: Vec<BegunRow>,
) -> Result<Written, Error> {
    let begun: BTreeMap<String, _> = (begun.into_iter())
        .map(|(id, lease, sent, recovery, now)| (id, (lease, sent, recovery, now)))
        .collect();
    let is_begun = |item: &NewOperation| begun.get(&item.operation.id.to_string());
    let lost: Vec<_> = (items.iter())
        .filter(|item| is_begun(item).is_none())
        .map(|item| &item.operation)
        .collect();
    let standing = if lost.is_empty() {
        Vec::new()
    } else {
        let keys = (lost.iter()).map(|one| (one.merchant_id, one.mode, &one.idempotency_key));
        found(connection, keys).await?
    };
    let standing: BTreeMap<_, Found> = (standing.into_iter()).map(|row| (row.key(), row)).collect();
    let answer = |item: &NewOperation| match is_begun(item) {
        Some((lease, sent, recovery, now)) => {
            let mut operation = item.operation.clone();
            operation.lease_until = Timestamp::from_micros(*lease);
            operation.first_sent_at = Timestamp::from_micros(*sent);
            operation.next_recovery_at = Timestamp::from_micros(*recovery);
            Ok(Standing {
                operation,
                payment: item.payment.clone(),
                applied: true,
                now: Timestamp::from_micros(*now),
            })
        }
        None => lost_to(standing.get(&Found::key_of(&item.operation)), item),
    };
    Ok(items.iter().map(answer).collect())
}

/// What stands in place of an intent that lost its key; the error is of this intent alone.
fn lost_to(row: Option<&Found>, item: &NewOperation) -> Result<Standing, String> {
    let row = row.ok_or("the key is taken, and nobody has it")?;
    let mut standing = row.clone().standing()?;
    // Who finds himself has won, and was not told so.
    let ours = &item.operation;
    standing.applied = standing.operation.id == ours.id && standing.operation.owner == ours.owner;
    Ok(standing)
}
