//! What recovery, expiry and operators look for in SQLite.

use diesel::{
    OptionalExtension, QueryResult,
    dsl::sql,
    prelude::*,
    sql_types::{BigInt, Bool},
};

use super::{connection, reads};
use crate::{
    payment::{MerchantId, Mode, Operation, OperationId, PaymentId, Standing, Timestamp},
    store::{
        Doubts, ReadError,
        list::List,
        queries::{all, refunds_query},
        rows::{OperationRow, PaymentRow, Unreadable},
        schema::{operations, payments},
    },
};

// Conditions in these words, not by parameters: so stand the conditions of the indexes.
const UNSETTLED: &str = "operations.state <> 'settled'";
const IN_DOUBT: &str = "operations.in_doubt and operations.state <> 'settled'";
const LOOSE_END: &str = "operations.look_again or (operations.stray_reference is not null \
     and operations.stray_reversed_at is null)";
const DOUBT_SINCE: &str = "coalesce(operations.in_doubt_since, operations.first_sent_at)";

/// Operations with their payments, each read or not.
macro_rules! standings {
    ($connection:expr, $query:expr) => {{
        let now = connection::now($connection)?;
        let rows: Vec<(OperationRow, PaymentRow)> = $query
            .select((OperationRow::as_select(), PaymentRow::as_select()))
            .load($connection)?;
        let standing = move |(operation, payment)| reads::standing(operation, payment, now);
        rows.into_iter().map(standing)
    }};
}

/// The operations of many merchants that are given by `$query`, without those that cannot be read.
macro_rules! list {
    ($connection:expr, $limit:expr, $query:expr) => {{
        let mut list = List::of($limit);
        while !list.is_complete() {
            let page = $query.clone().limit(list.limit()).offset(list.offset());
            list.add(standings!($connection, page));
        }
        list.standings()
    }};
}

pub(super) fn expired(
    connection: &mut SqliteConnection,
    limit: u32,
) -> Result<Vec<(OperationId, i64)>, ReadError> {
    let now = connection::now(connection)?;
    let expired = (operations::table.inner_join(payments::table))
        .filter(operations::state.eq("pending"))
        .filter(sql::<Bool>(UNSETTLED))
        .filter(operations::next_recovery_at.le(now.as_micros()))
        .order((operations::next_recovery_at, operations::id));
    let expired = list!(connection, limit, expired);
    let ids = (expired.iter()).map(|one| (one.operation.id, one.operation.epoch));
    Ok(ids.collect())
}

pub(super) fn loose_ends(
    connection: &mut SqliteConnection,
    limit: u32,
) -> Result<Vec<Standing>, ReadError> {
    let loose_ends = (operations::table.inner_join(payments::table))
        .filter(sql::<Bool>(LOOSE_END))
        .order((operations::next_recovery_at, operations::id));
    Ok(list!(connection, limit, loose_ends))
}

pub(super) fn after(
    connection: &mut SqliteConnection,
    after: Option<OperationId>,
    limit: u32,
) -> Result<Vec<Standing>, ReadError> {
    let unsettled = (operations::table.inner_join(payments::table))
        .filter(sql::<Bool>(UNSETTLED))
        .filter(operations::id.gt(after.map_or_else(String::new, |id| id.to_string())))
        .order(operations::id)
        .limit(i64::from(limit));
    let standings: Result<Vec<Standing>, Unreadable> = standings!(connection, unsettled).collect();
    Ok(standings?)
}

pub(super) fn in_doubt(
    connection: &mut SqliteConnection,
    limit: u32,
) -> Result<Vec<Standing>, ReadError> {
    let in_doubt = (operations::table.inner_join(payments::table))
        .filter(sql::<Bool>(IN_DOUBT))
        .order((sql::<BigInt>(DOUBT_SINCE), operations::id));
    Ok(list!(connection, limit, in_doubt))
}

pub(super) fn doubts(connection: &mut SqliteConnection) -> Result<Vec<Doubts>, ReadError> {
    let now = connection::now(connection)?;
    let rows: Vec<(String, i64, i64)> = operations::table
        .filter(sql::<Bool>(IN_DOUBT))
        .group_by(operations::provider)
        .order(operations::provider)
        .select((
            operations::provider,
            diesel::dsl::count_star(),
            sql::<BigInt>(&format!("min({DOUBT_SINCE})")),
        ))
        .load(connection)?;
    let doubts = (rows.into_iter()).map(|(provider, count, oldest)| Doubts {
        provider,
        count,
        oldest_since: Timestamp::from_micros(oldest),
        now,
    });
    Ok(doubts.collect())
}

pub(super) fn operation_by_id(
    connection: &mut SqliteConnection,
    id: OperationId,
) -> Result<Option<Standing>, ReadError> {
    let rows: Option<(OperationRow, PaymentRow)> = (operations::table.inner_join(payments::table))
        .filter(operations::id.eq(id.to_string()))
        .select((OperationRow::as_select(), PaymentRow::as_select()))
        .first(connection)
        .optional()?;
    let now = connection::now(connection)?;
    let standing = rows.map(|(operation, payment)| reads::standing(operation, payment, now));
    Ok(standing.transpose()?)
}

/// The operations of a payment that are not settled, in the order of their making: the one that made
/// the payment is found by the payment's key, all others by the payment.
pub(super) fn operations_of(
    connection: &mut SqliteConnection,
    id: PaymentId,
) -> QueryResult<Vec<OperationRow>> {
    let made: Option<OperationRow> = operations::table
        .inner_join(payments::table)
        .filter(payments::id.eq(id.to_string()))
        .filter(operations::merchant_id.eq(payments::merchant_id))
        .filter(operations::mode.eq(payments::mode))
        .filter(operations::idempotency_key.eq(payments::idempotency_key))
        .filter(sql::<Bool>(UNSETTLED))
        .select(OperationRow::as_select())
        .first(connection)
        .optional()?;
    let after: Vec<OperationRow> = operations::table
        .filter(operations::payment_id.eq(id.to_string()))
        .filter(sql::<Bool>("operations.kind <> 'create'"))
        .filter(sql::<Bool>(UNSETTLED))
        .order(operations::id)
        .select(OperationRow::as_select())
        .load(connection)?;
    Ok(made.into_iter().chain(after).collect())
}

pub(super) fn unsettled_of(
    connection: &mut SqliteConnection,
    id: PaymentId,
) -> Result<Vec<Standing>, ReadError> {
    // One transaction, so that the payment is as it was with these operations.
    let read = connection.transaction(|connection| {
        let operations = operations_of(connection, id)?;
        let payment: Option<PaymentRow> = payments::table
            .find(id.to_string())
            .select(PaymentRow::as_select())
            .first(connection)
            .optional()?;
        Ok::<_, diesel::result::Error>((operations, payment, connection::now(connection)?))
    });
    let (operations, payment, now) = read?;
    let Some(payment) = payment else {
        return Ok(Vec::new());
    };
    let standing = |operation| reads::standing(operation, payment.clone(), now);
    let standings: Result<Vec<_>, _> = operations.into_iter().map(standing).collect();
    Ok(standings?)
}

pub(super) fn refunds(
    connection: &mut SqliteConnection,
    merchant_id: MerchantId,
    mode: Mode,
    id: PaymentId,
) -> Result<Option<Vec<Operation>>, ReadError> {
    if reads::payment(connection, merchant_id, mode, id)?.is_none() {
        return Ok(None);
    }
    let rows: Vec<OperationRow> = refunds_query!(id).load(connection)?;
    all(rows).map(Some)
}
