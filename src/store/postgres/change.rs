//! Changing operations and their payments: lock, decide, write, in one transaction.

use std::sync::LazyLock;

use diesel::{result::Error, sql_types::BigInt};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

use super::{
    Writing,
    statement::{CLOCK, SqlOf, Statement, assigned, check, listed, unnest},
};
use crate::{
    payment::{OperationChange, Standing, Timestamp},
    store::{
        batch::{Failure, Writer, Written},
        decide::{Decision, Locked, decide},
        rows::{Column, EventRow, OperationRow, PaymentRow},
    },
};

// The statements' names in the cache.
struct LockOperations;
struct LockPayments;
struct Write;

static LOCK_OPERATIONS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "select {} from operations as o where o.id = any(?) order by o.id for update",
        listed("o", OperationRow::COLUMNS)
    )
});

/// The clock is read when the operations are locked already: no lease can change under it.
static LOCK_PAYMENTS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "select {}, {CLOCK} from payments as p where p.id = any(?) order by p.id for update",
        listed("p", PaymentRow::COLUMNS)
    )
});

static WRITE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "with o as (
            update operations set {set_operation} from {operations}
            where operations.id = n.id returning 1
        ), p as (
            update payments set {set_payment} from {payments}
            where payments.id = n.id returning 1
        ), e as (
            insert into payment_events ({events})
            select {listed_events} from {unnest_events} order by n.payment_id, n.seq returning 1
        )
        select (select count(*) from o), (select count(*) from p), (select count(*) from e)",
        set_operation = assigned("n", OperationRow::COLUMNS),
        operations = unnest("n", OperationRow::COLUMNS),
        set_payment = assigned("n", PaymentRow::COLUMNS),
        payments = unnest("n", PaymentRow::COLUMNS),
        events = EventRow::COLUMNS.join(", "),
        listed_events = listed("n", EventRow::COLUMNS),
        unnest_events = unnest("n", EventRow::COLUMNS),
    )
});

impl Writer<OperationChange> for Writing {
    type Answer = Standing;

    async fn write(&self, items: &[OperationChange]) -> Result<Written, Failure> {
        let mut connection = self.connection().await?;
        let mut committing = false;
        let work = connection.transaction(async |connection| {
            let decision = decide(items, lock(connection, items).await?);
            write(connection, &decision).await?;
            committing = true;
            Ok::<_, Error>(decision.answers)
        });
        let answers = work.await;
        answers.map_err(|error| super::failed(&error, committing))
    }
}

async fn lock(
    connection: &mut AsyncPgConnection,
    items: &[OperationChange],
) -> Result<Locked, Error> {
    let ids: Vec<_> = (items.iter())
        .map(|item| item.operation_id.to_string())
        .collect();
    let operations: Vec<OperationRow> =
        Statement::<LockOperations, SqlOf<OperationRow>>::new(&LOCK_OPERATIONS, vec![texts(&ids)])
            .load(connection)
            .await?;
    let ids: Vec<_> = (operations.iter())
        .map(|operation| operation.payment_id.clone())
        .collect();
    let (payments, now) = lock_payments(connection, &ids).await?;
    Ok(Locked::new(operations, payments, now))
}

/// Locks payments; gives the server's clock, too, as it was when the first of them was locked.
pub(super) async fn lock_payments(
    connection: &mut AsyncPgConnection,
    ids: &[String],
) -> Result<(Vec<PaymentRow>, Timestamp), Error> {
    let payments: Vec<(PaymentRow, i64)> =
        Statement::<LockPayments, (SqlOf<PaymentRow>, BigInt)>::new(
            &LOCK_PAYMENTS,
            vec![texts(ids)],
        )
        .load(connection)
        .await?;
    let now = payments.iter().map(|(_, now)| *now).min().unwrap_or(0);
    let payments = payments.into_iter().map(|(row, _)| row).collect();
    Ok((payments, Timestamp::from_micros(now)))
}

pub(super) fn texts(texts: &[String]) -> Column<'_> {
    Column::Text(texts.iter().map(|text| Some(text.as_str())).collect())
}

/// Writes rows that are locked, and checks that each was there.
pub(super) async fn write(
    connection: &mut AsyncPgConnection,
    decision: &Decision,
) -> Result<(), Error> {
    if decision.payments.is_empty() {
        return Ok(());
    }
    let mut columns = OperationRow::columns(&decision.operations);
    columns.extend(PaymentRow::columns(&decision.payments));
    columns.extend(EventRow::columns(&decision.events));
    check(&columns)?;
    let written: (i64, i64, i64) =
        Statement::<Write, (BigInt, BigInt, BigInt)>::new(&WRITE, columns)
            .get_result(connection)
            .await?;
    let expected = (
        decision.operations.len(),
        decision.payments.len(),
        decision.events.len(),
    );
    let counted = [written.0, written.1, written.2].map(|count| usize::try_from(count).ok());
    if counted == [Some(expected.0), Some(expected.1), Some(expected.2)] {
        return Ok(());
    }
    let odd = format!("wrote {written:?} rows in place of {expected:?}");
    tracing::error!(%odd, "alarm: locked rows were not there to be written");
    Err(Error::SerializationError(odd.into()))
}
