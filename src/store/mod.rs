//! The payment store: the only module that speaks SQL. Start reading at [`Store`]; [`open()`] gives
//! the one that a URL names.
//!
//! A write is one intent or one change in a batch that commits whole; a read is one method.
//!
//! What both databases share is here: the tables (`schema`, `rows`), what changes make of the rows
//! (`decide`), how a batch is run to its end (`batch`), and the reads in common words (`queries`).
//! `postgres` and `sqlite` have what truly differs.
//!
//! **Invariant:** nothing outside `store` names diesel.
//! **Invariant:** every write is idempotent, so a commit whose fate is unknown is simply run again.

mod batch;
mod decide;
mod errors;
mod migrations;
mod open;
mod postgres;
mod queries;
mod rows;
mod schema;
mod sqlite;
mod tasks;

pub use errors::StoreStartError;
pub use migrations::{migrate, pending_migrations};
pub use open::{StoreSettings, StoreUrl, open};
pub use postgres::{PostgresSettings, PostgresStore};
pub use sqlite::{SqliteSettings, SqliteStore};

use futures_util::future::BoxFuture;

use crate::payment::{
    ApiKey, ApiKeyId, Currency, IdempotencyKey, Merchant, MerchantId, Mode, NewOperation,
    OperationChange, Payment, PaymentId, PaymentStatus, RecordedEvent, Standing, Timestamp,
};

/// Durable storage. Two implementations pass one contract suite: PostgreSQL and SQLite.
pub trait Store: Send + Sync + 'static {
    /// Records intents, in one transaction. A key that is taken already is not an error: the
    /// standing then has `applied: false` and shows the row that stands. One result per intent, in
    /// order; a row that the database refuses does not fail its neighbours.
    ///
    /// An intent that is recorded again, because its answer was lost, has `applied: true` as long as
    /// its own driver holds the operation. Intents of one key go into consecutive transactions.
    ///
    /// Dropping the future does not undo the work.
    fn begin(&self, batch: Vec<NewOperation>) -> BoxFuture<'_, Vec<Result<Standing, WriteError>>>;

    /// Applies changes, in one transaction, as [`crate::payment::apply`] decides each over the
    /// locked rows. A change that the fence refuses is not an error: `applied` is then false. One that
    /// is made again has `applied: true`. An operation that does not exist, or whose rows contradict
    /// each other, is [`WriteError::Rejected`].
    ///
    /// Dropping the future does not undo the work.
    fn change(
        &self,
        batch: Vec<OperationChange>,
    ) -> BoxFuture<'_, Vec<Result<Standing, WriteError>>>;

    /// The operation under a key, with its payment; `applied` is false.
    fn operation<'a>(
        &'a self,
        merchant_id: MerchantId,
        mode: Mode,
        key: &'a IdempotencyKey,
    ) -> BoxFuture<'a, Result<Option<Standing>, ReadError>>;

    fn payment(
        &self,
        merchant_id: MerchantId,
        mode: Mode,
        id: PaymentId,
    ) -> BoxFuture<'_, Result<Option<Payment>, ReadError>>;

    /// One page of payments, newest first.
    fn payments<'a>(
        &'a self,
        query: &'a PaymentQuery,
    ) -> BoxFuture<'a, Result<PaymentPage, ReadError>>;

    /// A payment's history, oldest first; `None` when there is no such payment of that merchant.
    fn events(
        &self,
        merchant_id: MerchantId,
        mode: Mode,
        id: PaymentId,
    ) -> BoxFuture<'_, Result<Option<Vec<RecordedEvent>>, ReadError>>;

    /// Whether the store answers, within two seconds.
    fn ping(&self) -> BoxFuture<'_, Result<(), ReadError>>;

    /// Providers that unsettled operations (open or released) are bound to, with how many each.
    fn unsettled_routes(&self) -> BoxFuture<'_, Result<Vec<UnsettledRoute>, ReadError>>;

    /// Makes a merchant, unless one of that name exists; gives back the one that stands.
    fn create_merchant(&self, merchant: Merchant) -> BoxFuture<'_, Result<Merchant, WriteError>>;

    fn merchants(&self) -> BoxFuture<'_, Result<Vec<Merchant>, ReadError>>;

    /// Keeps a key, unless its digest is known; gives back the one that stands.
    fn create_api_key(&self, key: ApiKey) -> BoxFuture<'_, Result<ApiKey, WriteError>>;

    fn api_keys(&self) -> BoxFuture<'_, Result<Vec<ApiKey>, ReadError>>;

    /// Revokes a key from `at` on; false when there is none of that id. Revoking twice keeps the
    /// first time.
    fn revoke_api_key(
        &self,
        id: ApiKeyId,
        at: Timestamp,
    ) -> BoxFuture<'_, Result<bool, WriteError>>;

    /// The key of that digest, unless it is revoked or its merchant is disabled.
    fn find_api_key(&self, digest: [u8; 32]) -> BoxFuture<'_, Result<Option<ApiKey>, ReadError>>;
}

/// Which payments to list. Filters that are `None` let everything pass.
#[derive(Clone, Debug)]
pub struct PaymentQuery {
    pub merchant_id: MerchantId,
    pub mode: Mode,
    /// At most this many, 1 to 100.
    pub limit: u32,
    pub cursor: Option<Cursor>,
    pub status: Option<PaymentStatus>,
    pub currency: Option<Currency>,
    pub reference: Option<String>,
    pub idempotency_key: Option<IdempotencyKey>,
    /// Inclusive.
    pub created_from: Option<Timestamp>,
    /// Inclusive.
    pub created_to: Option<Timestamp>,
}

/// Where a page begins; the payment named is not part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// The payments next older than this one.
    StartingAfter(PaymentId),
    /// The payments next newer than this one.
    EndingBefore(PaymentId),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentPage {
    /// Newest first, whichever way the page was walked to.
    pub payments: Vec<Payment>,
    /// Whether there is more in the direction that the page was walked to.
    pub has_more: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsettledRoute {
    pub provider: String,
    pub account: String,
    pub count: i64,
}

/// Why a write did not come back with a standing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// It was never handed to a connection: certainly nothing was written, and nothing will be.
    #[error("the store was not reached: {0}")]
    NotAttempted(String),
    /// It may have been written.
    #[error("the store did not say whether it wrote: {0}")]
    Unknown(String),
    /// The database refuses this row: certainly nothing was written.
    #[error("the store refused the row: {0}")]
    Rejected(String),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store could not be read: {0}")]
pub struct ReadError(pub String);
