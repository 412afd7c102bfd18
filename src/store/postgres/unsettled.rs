//! What recovery, expiry and operators look for in PostgreSQL.

use std::sync::LazyLock;

use diesel::{
    ExpressionMethods, QueryDsl, SelectableHelper,
    sql_types::{BigInt, Text},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::{
    change::texts,
    reads::{Found, payment, unsettled_ids},
    statement::{CLOCK, NOW, SqlOf, Statement, listed},
};
use crate::{
    payment::{MerchantId, Mode, Operation, OperationId, PaymentId, Standing, Timestamp},
    store::{
        Doubts, ReadError,
        list::List,
        queries::{all, refunds_query},
        rows::{Column, OperationRow, PaymentRow, Unreadable},
        schema::operations,
    },
};

// The statements' names in the cache.
struct Expired;
struct LooseEnds;
struct InDoubt;
struct CountedDoubts;
struct ById;
struct OfPayment;
struct After;

type SqlOfFound = (SqlOf<OperationRow>, SqlOf<PaymentRow>, BigInt);

/// Operations with their payments, where `condition` holds.
fn standings(condition: &str) -> String {
    format!(
        "select {operation}, {payment}, {CLOCK}
        from operations as o join payments as p on p.id = o.payment_id where {condition}",
        operation = listed("o", OperationRow::COLUMNS),
        payment = listed("p", PaymentRow::COLUMNS),
    )
}

static EXPIRED: LazyLock<String> = LazyLock::new(|| {
    standings(&format!(
        "o.state = 'pending' and o.state <> 'settled' and o.next_recovery_at <= {NOW}
        order by o.next_recovery_at, o.id limit (?)[1] offset (?)[1]"
    ))
});
static LOOSE_ENDS: LazyLock<String> = LazyLock::new(|| {
    standings(
        "(o.look_again or (o.stray_reference is not null and o.stray_reversed_at is null))
        order by o.next_recovery_at, o.id limit (?)[1] offset (?)[1]",
    )
});
static IN_DOUBT: LazyLock<String> = LazyLock::new(|| {
    standings(
        "o.in_doubt and o.state <> 'settled'
        order by coalesce(o.in_doubt_since, o.first_sent_at), o.id
        limit (?)[1] offset (?)[1]",
    )
});
static BY_ID: LazyLock<String> = LazyLock::new(|| standings("o.id = any(?)"));
static OF_PAYMENT: LazyLock<String> =
    LazyLock::new(|| standings(&format!("{} order by o.id", unsettled_ids())));

static AFTER: LazyLock<String> = LazyLock::new(|| {
    standings("o.state <> 'settled' and o.id > (?)[1] order by o.id limit (?)[1]")
});

fn number(number: i64) -> Column<'static> {
    Column::BigInt(vec![Some(number)])
}

async fn load<Name: Send + 'static>(
    connection: &mut AsyncPgConnection,
    sql: &str,
    columns: Vec<Column<'_>>,
) -> Result<Vec<Standing>, ReadError> {
    let rows: Vec<Found> = Statement::<Name, SqlOfFound>::new(sql, columns)
        .load(connection)
        .await?;
    let standings: Result<_, Unreadable> = rows.into_iter().map(Found::standing).collect();
    Ok(standings?)
}

/// As [`load`], of many merchants, without the rows that cannot be read.
async fn load_list<Name: Send + 'static>(
    connection: &mut AsyncPgConnection,
    sql: &str,
    limit: u32,
) -> Result<Vec<Standing>, ReadError> {
    let mut list = List::of(limit);
    while !list.is_complete() {
        let page = vec![number(list.limit()), number(list.offset())];
        let rows: Vec<Found> = Statement::<Name, SqlOfFound>::new(sql, page)
            .load(connection)
            .await?;
        list.add(rows.into_iter().map(Found::standing));
    }
    Ok(list.standings())
}

pub(super) async fn expired(
    connection: &mut AsyncPgConnection,
    limit: u32,
) -> Result<Vec<(OperationId, i64)>, ReadError> {
    let expired = load_list::<Expired>(connection, &EXPIRED, limit).await?;
    let ids = (expired.iter()).map(|one| (one.operation.id, one.operation.epoch));
    Ok(ids.collect())
}

pub(super) async fn loose_ends(
    connection: &mut AsyncPgConnection,
    limit: u32,
) -> Result<Vec<Standing>, ReadError> {
    load_list::<LooseEnds>(connection, &LOOSE_ENDS, limit).await
}

pub(super) async fn after(
    connection: &mut AsyncPgConnection,
    after: Option<OperationId>,
    limit: u32,
) -> Result<Vec<Standing>, ReadError> {
    let after = [after.map_or_else(String::new, |id| id.to_string())];
    let columns = vec![texts(&after), number(limit.into())];
    load::<After>(connection, &AFTER, columns).await
}

pub(super) async fn in_doubt(
    connection: &mut AsyncPgConnection,
    limit: u32,
) -> Result<Vec<Standing>, ReadError> {
    load_list::<InDoubt>(connection, &IN_DOUBT, limit).await
}

pub(super) async fn doubts(connection: &mut AsyncPgConnection) -> Result<Vec<Doubts>, ReadError> {
    static DOUBTS: LazyLock<String> = LazyLock::new(|| {
        format!(
            "select provider, count(*), min(coalesce(in_doubt_since, first_sent_at)), {NOW}
            from operations where in_doubt and state <> 'settled'
            group by provider order by provider"
        )
    });
    let rows: Vec<(String, i64, i64, i64)> =
        Statement::<CountedDoubts, (Text, BigInt, BigInt, BigInt)>::new(&DOUBTS, Vec::new())
            .load(connection)
            .await?;
    let doubts = (rows.into_iter()).map(|(provider, count, oldest, now)| Doubts {
        provider,
        count,
        oldest_since: Timestamp::from_micros(oldest),
        now: Timestamp::from_micros(now),
    });
    Ok(doubts.collect())
}

pub(super) async fn operation_by_id(
    connection: &mut AsyncPgConnection,
    id: OperationId,
) -> Result<Option<Standing>, ReadError> {
    let ids = [id.to_string()];
    let mut found = load::<ById>(connection, &BY_ID, vec![texts(&ids)]).await?;
    Ok(found.pop())
}

pub(super) async fn unsettled_of(
    connection: &mut AsyncPgConnection,
    id: PaymentId,
) -> Result<Vec<Standing>, ReadError> {
    let ids = [id.to_string()];
    load::<OfPayment>(connection, &OF_PAYMENT, vec![texts(&ids); 2]).await
}

pub(super) async fn refunds(
    connection: &mut AsyncPgConnection,
    merchant_id: MerchantId,
    mode: Mode,
    id: PaymentId,
) -> Result<Option<Vec<Operation>>, ReadError> {
    if payment(connection, merchant_id, mode, id).await?.is_none() {
        return Ok(None);
    }
    let rows: Vec<OperationRow> = refunds_query!(id).load(connection).await?;
    all(rows).map(Some)
}
