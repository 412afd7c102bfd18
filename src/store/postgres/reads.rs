//! What is read from PostgreSQL.

use std::sync::LazyLock;

use diesel::{
    ExpressionMethods, OptionalExtension, QueryDsl, SelectableHelper,
    pg::Pg,
    result::{DatabaseErrorKind, Error},
    sql_types::{BigInt, Integer, Text},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::statement::{CLOCK, SqlOf, Statement, listed, unnest};
use crate::{
    payment::{
        IdempotencyKey, MerchantId, Mode, Operation, Payment, PaymentId, RecordedEvent, Standing,
        Timestamp,
    },
    store::{
        Cursor, PaymentPage, PaymentQuery, ReadError, UnsettledRoute,
        queries::{
            AROUND, all, events_query, first_id_at, last_id_at, page_of, page_query, payment_query,
            payments_between_query, payments_by_id_query,
        },
        rows::{Column, EventRow, OperationRow, PaymentRow, Unreadable},
        schema::{operations, payment_events, payments},
    },
};

// The statements' names in the cache.
struct ByKey;
struct Unsettled;
struct Ping;
struct PingWritable;

static BY_KEY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "select {operation}, {payment}, {CLOCK}
        from {keys}
        join operations as o on (o.merchant_id, o.mode, o.idempotency_key)
            = (k.merchant_id, k.mode, k.idempotency_key)
        join payments as p on p.id = o.payment_id",
        operation = listed("o", OperationRow::COLUMNS),
        payment = listed("p", PaymentRow::COLUMNS),
        keys = unnest("k", &["merchant_id", "mode", "idempotency_key"]),
    )
});

/// The condition that an operation is not settled and belongs to one of the payments of two equal
/// arrays: the one that made a payment is found by the payment's key, all others by the payment.
///
/// Where the rows are locked by it, one can be settled while its lock is waited for.
pub(super) fn unsettled_ids() -> &'static str {
    "o.id = any(array(
        select made.id from payments as p join operations as made
            on (made.merchant_id, made.mode, made.idempotency_key)
            = (p.merchant_id, p.mode, p.idempotency_key)
        where p.id = any(?) and made.state <> 'settled'
        union all
        select after.id from operations as after
        where after.payment_id = any(?) and after.kind <> 'create' and after.state <> 'settled'
    ))"
}

/// An operation that was found, its payment, and the server's clock.
#[derive(Clone, Debug, diesel::Queryable)]
pub(super) struct Found {
    operation: OperationRow,
    payment: PaymentRow,
    now: i64,
}

impl Found {
    pub(super) fn key(&self) -> (String, String, String) {
        let row = &self.operation;
        (
            row.merchant_id.clone(),
            row.mode.clone(),
            row.idempotency_key.clone(),
        )
    }

    pub(super) fn key_of(operation: &Operation) -> (String, String, String) {
        (
            operation.merchant_id.to_string(),
            operation.mode.as_str().into(),
            operation.idempotency_key.as_str().into(),
        )
    }

    pub(super) fn standing(self) -> Result<Standing, Unreadable> {
        Ok(Standing {
            operation: self.operation.try_into()?,
            payment: self.payment.try_into()?,
            applied: false,
            now: Timestamp::from_micros(self.now),
        })
    }
}

/// The operations under keys; those that are not there are left out.
pub(super) async fn found<'a>(
    connection: &mut AsyncPgConnection,
    keys: impl Iterator<Item = (MerchantId, Mode, &'a IdempotencyKey)>,
) -> Result<Vec<Found>, Error> {
    let (mut merchants, mut modes, mut texts) = (Vec::new(), Vec::new(), Vec::new());
    for (merchant_id, mode, key) in keys {
        merchants.push(merchant_id.to_string());
        modes.push(Some(mode.as_str()));
        texts.push(Some(key.as_str()));
    }
    let columns = vec![
        Column::Text(merchants.iter().map(|text| Some(text.as_str())).collect()),
        Column::Text(modes),
        Column::Text(texts),
    ];
    Statement::<ByKey, (SqlOf<OperationRow>, SqlOf<PaymentRow>, BigInt)>::new(&BY_KEY, columns)
        .load(connection)
        .await
}

pub(super) async fn operation(
    connection: &mut AsyncPgConnection,
    merchant_id: MerchantId,
    mode: Mode,
    key: &IdempotencyKey,
) -> Result<Option<Standing>, ReadError> {
    let mut rows = found(connection, std::iter::once((merchant_id, mode, key))).await?;
    Ok(rows.pop().map(Found::standing).transpose()?)
}

pub(super) async fn payment(
    connection: &mut AsyncPgConnection,
    merchant_id: MerchantId,
    mode: Mode,
    id: PaymentId,
) -> Result<Option<Payment>, ReadError> {
    let query = payment_query!(merchant_id, mode, id);
    let row = query.first(connection).await.optional()?;
    Ok(row.map(Payment::try_from).transpose()?)
}

pub(super) async fn payments_between(
    connection: &mut AsyncPgConnection,
    (from, to): (Timestamp, Timestamp),
    after: Option<PaymentId>,
    limit: u32,
) -> Result<Vec<Payment>, ReadError> {
    let query = payments_between_query!(from, to, after, limit);
    let rows: Vec<PaymentRow> = query.load(connection).await?;
    all(rows)
}

pub(super) async fn payments_by_id(
    connection: &mut AsyncPgConnection,
    ids: &[PaymentId],
) -> Result<Vec<Payment>, ReadError> {
    let rows: Vec<PaymentRow> = payments_by_id_query!(ids).load(connection).await?;
    all(rows)
}

pub(super) async fn page(
    connection: &mut AsyncPgConnection,
    query: &PaymentQuery,
) -> Result<PaymentPage, ReadError> {
    let rows = page_query!(Pg, query).load(connection).await?;
    page_of(query, rows)
}

pub(super) async fn events(
    connection: &mut AsyncPgConnection,
    merchant_id: MerchantId,
    mode: Mode,
    id: PaymentId,
) -> Result<Option<Vec<RecordedEvent>>, ReadError> {
    if payment(connection, merchant_id, mode, id).await?.is_none() {
        return Ok(None);
    }
    let rows: Vec<EventRow> = events_query!(id).load(connection).await?;
    all(rows).map(Some)
}

pub(super) async fn unsettled_routes(
    connection: &mut AsyncPgConnection,
) -> Result<Vec<UnsettledRoute>, ReadError> {
    let sql = "select provider, account, count(*) from operations where state <> 'settled'
        group by provider, account order by provider, account";
    let rows: Vec<(String, String, i64)> =
        Statement::<Unsettled, (Text, Text, BigInt)>::new(sql, Vec::new())
            .load(connection)
            .await?;
    let routes = rows
        .into_iter()
        .map(|(provider, account, count)| UnsettledRoute {
            provider,
            account,
            count,
        });
    Ok(routes.collect())
}

/// Asks for nothing but an answer.
pub(super) async fn ping(connection: &mut AsyncPgConnection) -> Result<(), Error> {
    let ping = Statement::<Ping, Integer>::new("select 1", Vec::new());
    ping.execute(connection).await.map(drop)
}

/// Asks whether the server takes writes: one that was demoted, or made read-only, does not.
pub(super) async fn ping_writable(connection: &mut AsyncPgConnection) -> Result<(), Error> {
    let ping = Statement::<PingWritable, Text>::new(
        "select current_setting('transaction_read_only')",
        Vec::new(),
    );
    match &*ping.get_result::<String>(connection).await? {
        "off" => Ok(()),
        _ => Err(Error::DatabaseError(
            DatabaseErrorKind::ReadOnlyTransaction,
            Box::new("the server takes no writes any more".to_owned()),
        )),
    }
}
