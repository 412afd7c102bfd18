//! The rows of the tables.

mod conversions;

use std::borrow::Cow;

use diesel::prelude::*;

use super::schema::{api_keys, installation, merchants, operations, payment_events, payments};

/// A row that this program cannot have written, or that a newer one wrote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column `{column}` of {row} holds what this program does not understand")]
pub(super) struct Unreadable {
    column: &'static str,
    /// Its id, where it has one.
    row: Cow<'static, str>,
}

impl Unreadable {
    fn at(column: &'static str) -> Self {
        let row = Cow::Borrowed("a row");
        Self { column, row }
    }

    fn of(self, id: String) -> Self {
        let row = Cow::Owned(id);
        Self { row, ..self }
    }
}

impl From<Unreadable> for String {
    fn from(error: Unreadable) -> Self {
        error.to_string()
    }
}

/// Declares a row, and gives it what writing many of its kind in one statement needs.
macro_rules! row {
    ($(#[$meta:meta])* $name:ident { $($column:ident: $type:ty,)+ }) => {
        #[derive(Clone, Debug, Queryable, Selectable, Insertable)]
        $(#[$meta])*
        pub(super) struct $name {
            $(pub(super) $column: $type,)+
        }

        impl $name {
            pub(super) const COLUMNS: &'static [&'static str] = &[$(stringify!($column)),+];

            /// One array a column, in the order of [`Self::COLUMNS`].
            pub(super) fn columns(rows: &[Self]) -> Vec<Column<'_>> {
                vec![$(Cell::gather(rows.iter().map(|row| &row.$column))),+]
            }
        }
    };
}

/// The cells of one column.
#[derive(Clone, Debug)]
pub(super) enum Column<'a> {
    Text(Vec<Option<&'a str>>),
    BigInt(Vec<Option<i64>>),
    Integer(Vec<Option<i32>>),
    SmallInt(Vec<Option<i16>>),
    Bool(Vec<Option<bool>>),
    Binary(Vec<Option<&'a [u8]>>),
}

/// What a cell may hold.
trait Cell: Sized {
    fn gather<'a>(cells: impl Iterator<Item = &'a Self>) -> Column<'a>
    where
        Self: 'a;
}

macro_rules! cell {
    ($type:ty, $variant:ident, $of:expr) => {
        impl Cell for $type {
            fn gather<'a>(cells: impl Iterator<Item = &'a Self>) -> Column<'a> {
                Column::$variant(cells.map(|cell| Some($of(cell))).collect())
            }
        }
        impl Cell for Option<$type> {
            fn gather<'a>(cells: impl Iterator<Item = &'a Self>) -> Column<'a> {
                Column::$variant(cells.map(|cell| cell.as_ref().map($of)).collect())
            }
        }
    };
}

cell!(String, Text, String::as_str);
cell!(i64, BigInt, Clone::clone);
cell!(i32, Integer, Clone::clone);
cell!(i16, SmallInt, Clone::clone);
cell!(bool, Bool, Clone::clone);
cell!(Vec<u8>, Binary, Vec::as_slice);

row! {
    #[derive(AsChangeset)]
    #[diesel(table_name = operations, treat_none_as_null = true)]
    OperationRow {
        id: String,
        payment_id: String,
        merchant_id: String,
        mode: String,
        idempotency_key: String,
        kind: String,
        fingerprint_version: i16,
        fingerprint: Vec<u8>,
        request_id: String,
        state: String,
        epoch: i64,
        owner: Vec<u8>,
        lease_until: i64,
        provider: String,
        account: String,
        api_version: String,
        provider_key: String,
        provider_request: Vec<u8>,
        first_sent_at: i64,
        in_doubt: bool,
        amount_reserved: i64,
        answer_status: Option<i16>,
        answer_location: Option<String>,
        answer_body: Option<Vec<u8>>,
        stray_reference: Option<String>,
        recovery_tries: i32,
        next_recovery_at: i64,
        created_at: i64,
        in_doubt_since: Option<i64>,
        in_doubt_reason: Option<String>,
        amount: i64,
        provider_reference: Option<String>,
        resends_barred: bool,
        absent_at: Option<i64>,
        failure_code: Option<String>,
        failure_message: Option<String>,
        stray_reversed_at: Option<i64>,
        look_again: bool,
    }
}

row! {
    #[derive(AsChangeset)]
    #[diesel(table_name = payments, treat_none_as_null = true)]
    PaymentRow {
        id: String,
        merchant_id: String,
        mode: String,
        idempotency_key: String,
        status: String,
        amount: i64,
        currency: String,
        amount_captured: i64,
        amount_refunded: i64,
        capture_reserved: i64,
        refund_reserved: i64,
        capture: String,
        payment_method: String,
        reference: Option<String>,
        description: Option<String>,
        metadata: String,
        provider: String,
        provider_reference: Option<String>,
        failure_code: Option<String>,
        failure_message: Option<String>,
        in_doubt_since: Option<i64>,
        event_count: i64,
        created_at: i64,
        updated_at: i64,
    }
}

row! {
    #[diesel(table_name = payment_events)]
    EventRow {
        payment_id: String,
        seq: i64,
        kind: String,
        data: String,
        created_at: i64,
    }
}

#[derive(Clone, Debug, Queryable, Selectable, Insertable)]
#[diesel(table_name = merchants)]
pub(super) struct MerchantRow {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) created_at: i64,
    pub(super) disabled_at: Option<i64>,
}

#[derive(Clone, Debug, Queryable, Selectable, Insertable)]
#[diesel(table_name = api_keys)]
pub(super) struct ApiKeyRow {
    pub(super) id: String,
    pub(super) role: String,
    pub(super) merchant_id: Option<String>,
    pub(super) mode: Option<String>,
    pub(super) digest: Vec<u8>,
    pub(super) hint: String,
    pub(super) created_at: i64,
    pub(super) revoked_at: Option<i64>,
}

#[derive(Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = installation)]
pub(super) struct InstallationRow {
    pub(super) id: i16,
    pub(super) installation_id: String,
    pub(super) store_incarnation: String,
    pub(super) lookup_secret: Vec<u8>,
}
