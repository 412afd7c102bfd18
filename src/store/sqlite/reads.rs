//! What is read from SQLite.

use diesel::{
    OptionalExtension, QueryResult, dsl::sql, prelude::*, sql_types::Bool, sqlite::Sqlite,
};

use super::connection;
use crate::{
    payment::{
        IdempotencyKey, MerchantId, Mode, Payment, PaymentId, RecordedEvent, Standing, Timestamp,
    },
    store::{
        Cursor, PaymentPage, PaymentQuery, ReadError, UnsettledRoute,
        queries::{
            AROUND, all, events_query, first_id_at, last_id_at, page_of, page_query, payment_query,
            payments_between_query, payments_by_id_query,
        },
        rows::{EventRow, OperationRow, PaymentRow, Unreadable},
        schema::{operations, payment_events, payments},
    },
};

pub(super) fn by_key(
    connection: &mut SqliteConnection,
    merchant_id: MerchantId,
    mode: Mode,
    key: &IdempotencyKey,
) -> QueryResult<(OperationRow, PaymentRow)> {
    operations::table
        .inner_join(payments::table)
        .filter(operations::merchant_id.eq(merchant_id.to_string()))
        .filter(operations::mode.eq(mode.as_str()))
        .filter(operations::idempotency_key.eq(key.as_str()))
        .select((OperationRow::as_select(), PaymentRow::as_select()))
        .first(connection)
}

/// What stands; nothing was applied.
pub(super) fn standing(
    operation: OperationRow,
    payment: PaymentRow,
    now: Timestamp,
) -> Result<Standing, Unreadable> {
    Ok(Standing {
        operation: operation.try_into()?,
        payment: payment.try_into()?,
        applied: false,
        now,
    })
}

pub(super) fn operation(
    connection: &mut SqliteConnection,
    merchant_id: MerchantId,
    mode: Mode,
    key: &IdempotencyKey,
) -> Result<Option<Standing>, ReadError> {
    let found = by_key(connection, merchant_id, mode, key).optional()?;
    let now = connection::now(connection)?;
    let found = found.map(|(operation, payment)| standing(operation, payment, now));
    Ok(found.transpose()?)
}

pub(super) fn payment(
    connection: &mut SqliteConnection,
    merchant_id: MerchantId,
    mode: Mode,
    id: PaymentId,
) -> Result<Option<Payment>, ReadError> {
    let query = payment_query!(merchant_id, mode, id);
    let row: Option<PaymentRow> = query.first(connection).optional()?;
    Ok(row.map(Payment::try_from).transpose()?)
}

pub(super) fn payments_between(
    connection: &mut SqliteConnection,
    (from, to): (Timestamp, Timestamp),
    after: Option<PaymentId>,
    limit: u32,
) -> Result<Vec<Payment>, ReadError> {
    let query = payments_between_query!(from, to, after, limit);
    let rows: Vec<PaymentRow> = query.load(connection)?;
    all(rows)
}

pub(super) fn payments_by_id(
    connection: &mut SqliteConnection,
    ids: &[PaymentId],
) -> Result<Vec<Payment>, ReadError> {
    let rows: Vec<PaymentRow> = payments_by_id_query!(ids).load(connection)?;
    all(rows)
}

pub(super) fn page(
    connection: &mut SqliteConnection,
    query: &PaymentQuery,
) -> Result<PaymentPage, ReadError> {
    let rows = page_query!(Sqlite, query).load(connection)?;
    page_of(query, rows)
}

pub(super) fn events(
    connection: &mut SqliteConnection,
    merchant_id: MerchantId,
    mode: Mode,
    id: PaymentId,
) -> Result<Option<Vec<RecordedEvent>>, ReadError> {
    if payment(connection, merchant_id, mode, id)?.is_none() {
        return Ok(None);
    }
    let rows: Vec<EventRow> = events_query!(id).load(connection)?;
    all(rows).map(Some)
}

pub(super) fn unsettled_routes(
    connection: &mut SqliteConnection,
) -> Result<Vec<UnsettledRoute>, ReadError> {
    let rows: Vec<(String, String, i64)> = operations::table
        // In these words, not by a parameter: so stands the condition of the index.
        .filter(sql::<Bool>("operations.state <> 'settled'"))
        .group_by((operations::provider, operations::account))
        .order((operations::provider, operations::account))
        .select((
            operations::provider,
            operations::account,
            diesel::dsl::count_star(),
        ))
        .load(connection)?;
    let routes = rows
        .into_iter()
        .map(|(provider, account, count)| UnsettledRoute {
            provider,
            account,
            count,
        });
    Ok(routes.collect())
}
