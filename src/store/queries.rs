//! The reads that both databases are asked in the same words: each macro is a query without its
//! connection, because diesel types a query by the database that it is for.

/// One payment of a merchant: `(merchant_id, mode, id)`.
macro_rules! payment_query {
    ($merchant_id:expr, $mode:expr, $id:expr) => {
        payments::table
            .filter(payments::id.eq($id.to_string()))
            .filter(payments::merchant_id.eq($merchant_id.to_string()))
            .filter(payments::mode.eq($mode.as_str()))
            .select(PaymentRow::as_select())
    };
}

/// Payments of every merchant, made in a span of time, in the order of their ids:
/// `(from, to, after, limit)`.
macro_rules! payments_between_query {
    ($from:expr, $to:expr, $after:expr, $limit:expr) => {{
        let first = first_id_at($from.minus(AROUND)).to_string();
        let after = $after.map_or_else(String::new, |id: PaymentId| id.to_string());
        payments::table
            .filter(payments::id.ge(first))
            .filter(payments::id.gt(after))
            .filter(payments::id.le(last_id_at($to.plus(AROUND)).to_string()))
            .filter(payments::created_at.ge($from.as_micros()))
            .filter(payments::created_at.le($to.as_micros()))
            .order(payments::id.asc())
            .limit(i64::from($limit))
            .select(PaymentRow::as_select())
    }};
}

/// The payments of some ids.
macro_rules! payments_by_id_query {
    ($ids:expr) => {{
        let ids: Vec<String> = $ids.iter().map(ToString::to_string).collect();
        payments::table
            .filter(payments::id.eq_any(ids))
            .select(PaymentRow::as_select())
    }};
}

/// The events of a payment, oldest first.
macro_rules! events_query {
    ($id:expr) => {
        payment_events::table
            .filter(payment_events::payment_id.eq($id.to_string()))
            .order(payment_events::seq.asc())
            .select(EventRow::as_select())
    };
}

/// The refunds of a payment, newest first.
macro_rules! refunds_query {
    ($id:expr) => {
        operations::table
            .filter(operations::payment_id.eq($id.to_string()))
            .filter(operations::kind.eq("refund"))
            // In these words, not by a parameter: so stands the condition of the index.
            .filter(diesel::dsl::sql::<diesel::sql_types::Bool>(
                "operations.kind <> 'create'",
            ))
            .order(operations::id.desc())
            .limit(crate::store::queries::REFUNDS_MAX)
            .select(OperationRow::as_select())
    };
}

/// One page of payments and one row more; walking towards newer payments, oldest first.
macro_rules! page_query {
    ($backend:ty, $query:expr) => {{
        let query: &PaymentQuery = $query;
        let mut page = payments::table
            .filter(payments::merchant_id.eq(query.merchant_id.to_string()))
            .filter(payments::mode.eq(query.mode.as_str()))
            .limit(i64::from(query.limit) + 1)
            .select(PaymentRow::as_select())
            .into_boxed::<$backend>();
        if let Some(status) = query.status {
            page = page.filter(payments::status.eq(status.as_str()));
        }
        if let Some(currency) = &query.currency {
            page = page.filter(payments::currency.eq(currency.code()));
        }
        if let Some(reference) = &query.reference {
            page = page.filter(payments::reference.eq(reference));
        }
        if let Some(key) = &query.idempotency_key {
            // Any operation has a key; only the one that created the payment gave it its own.
            let under_key = operations::table
                .filter(operations::merchant_id.eq(query.merchant_id.to_string()))
                .filter(operations::mode.eq(query.mode.as_str()))
                .filter(operations::idempotency_key.eq(key.as_str()))
                .select(operations::payment_id);
            page = page
                .filter(payments::idempotency_key.eq(key.as_str()))
                .filter(payments::id.eq_any(under_key));
        }
        if let Some(from) = query.created_from {
            page = page
                .filter(payments::created_at.ge(from.as_micros()))
                .filter(payments::id.ge(first_id_at(from.minus(AROUND)).to_string()));
        }
        if let Some(to) = query.created_to {
            page = page
                .filter(payments::created_at.le(to.as_micros()))
                .filter(payments::id.le(last_id_at(to.plus(AROUND)).to_string()));
        }
        match query.cursor {
            None => page.order(payments::id.desc()),
            Some(Cursor::StartingAfter(id)) => page
                .filter(payments::id.lt(id.to_string()))
                .order(payments::id.desc()),
            Some(Cursor::EndingBefore(id)) => page
                .filter(payments::id.gt(id.to_string()))
                .order(payments::id.asc()),
        }
    }};
}

/// The key of a digest, unless it is revoked or its merchant is disabled.
macro_rules! api_key_query {
    ($digest:expr) => {
        api_keys::table
            .left_join(merchants::table)
            .filter(api_keys::digest.eq($digest.to_vec()))
            .filter(api_keys::revoked_at.is_null())
            .filter(merchants::disabled_at.is_null())
            .select(ApiKeyRow::as_select())
    };
}

pub(super) use {
    api_key_query, events_query, page_query, payment_query, payments_between_query,
    payments_by_id_query, refunds_query,
};

use std::time::Duration;

use super::{Cursor, PaymentPage, PaymentQuery, ReadError, rows::PaymentRow};
use crate::payment::{Payment, PaymentId, Timestamp};

/// At most so many refunds of one payment are listed.
pub(super) const REFUNDS_MAX: i64 = 100;

/// How far an id's time and its payment's may be apart. Ids carry the time they were made at, so a
/// span of time is a span of ids, which an index finds.
pub(super) const AROUND: Duration = Duration::from_secs(3_600);

/// The first id that can be made at a time.
pub(super) fn first_id_at(time: Timestamp) -> PaymentId {
    id_at(time, [0; 10])
}

/// The last id that can be made at a time.
pub(super) fn last_id_at(time: Timestamp) -> PaymentId {
    id_at(time, [0xff; 10])
}

fn id_at(time: Timestamp, rest: [u8; 10]) -> PaymentId {
    let millis = u64::try_from(time.as_micros() / 1_000).unwrap_or(0);
    let builder = uuid::Builder::from_unix_timestamp_millis(millis.min((1 << 48) - 1), &rest);
    PaymentId::from_uuid(builder.into_uuid())
}

/// The page that the rows of `page_query` make.
pub(super) fn page_of(
    query: &PaymentQuery,
    rows: Vec<PaymentRow>,
) -> Result<PaymentPage, ReadError> {
    let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
    let has_more = rows.len() > limit;
    let mut payments = (rows.into_iter().take(limit))
        .map(Payment::try_from)
        .collect::<Result<Vec<_>, _>>()?;
    if matches!(query.cursor, Some(Cursor::EndingBefore(_))) {
        payments.reverse();
    }
    Ok(PaymentPage { payments, has_more })
}

/// Rows of any kind, as the domain has them.
pub(super) fn all<R, T, E>(rows: Vec<R>) -> Result<Vec<T>, E>
where
    T: TryFrom<R>,
    E: From<T::Error>,
{
    rows.into_iter()
        .map(|row| T::try_from(row).map_err(E::from))
        .collect()
}
