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
mod follow_ups;
mod in_use;
mod installation;
mod list;
mod migrations;
mod open;
mod postgres;
mod queries;
mod rows;
mod schema;
mod sqlite;
mod tasks;

pub use errors::StoreStartError;
pub use in_use::is_in_use;
pub use installation::Installation;
pub use migrations::{Inspection, inspect, migrate};
pub use open::{StoreSettings, StoreUrl, open};
pub use postgres::{PostgresSettings, PostgresStore};
pub use sqlite::{SqliteSettings, SqliteStore};

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::payment::{
    ApiKey, ApiKeyId, Begun, Currency, IdempotencyKey, Merchant, MerchantId, Mode, NewFollowUp,
    NewOperation, Operation, OperationChange, OperationId, Owner, Payment, PaymentId,
    PaymentStatus, RecordedEvent, Standing, Timestamp,
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

    /// Records captures, cancels and refunds, in one transaction, as [`crate::payment::admit`]
    /// decides each over the locked payment. A key that is taken already is not an error, as in
    /// [`Self::begin`]; it is looked at before the payment is.
    ///
    /// Dropping the future does not undo the work.
    fn begin_follow_ups(
        &self,
        batch: Vec<NewFollowUp>,
    ) -> BoxFuture<'_, Vec<Result<Begun, WriteError>>>;

    /// Becomes the driver of open operations whose lease ran out and whose `next_recovery_at` has
    /// come, the longest due first, as [`Change::Recover`] says; those that another node claims at
    /// this moment are left to it. Each standing has `applied: true`. One that cannot be read is logged
    /// and due again in ten minutes, so that it does not stand before the others.
    ///
    /// Dropping the future does not undo the work.
    fn claim(&self, claim: Claim) -> BoxFuture<'_, Result<Vec<Standing>, WriteError>>;

    /// Released operations whose time is over, the longest first, at most `limit`. Those that cannot be
    /// read are left out and logged.
    fn expired(&self, limit: u32) -> BoxFuture<'_, Result<Vec<(OperationId, i64)>, ReadError>>;

    /// Settled operations for which something is left to do (`Operation::has_loose_end`), at most
    /// `limit`, in the order of their turns. Those that cannot be read are left out and logged.
    fn loose_ends(&self, limit: u32) -> BoxFuture<'_, Result<Vec<Standing>, ReadError>>;

    /// Operations in doubt, the oldest doubt first, at most `limit`, of every merchant. Those that cannot
    /// be read are left out and logged; [`Self::doubts`] counts them.
    fn in_doubt(&self, limit: u32) -> BoxFuture<'_, Result<Vec<Standing>, ReadError>>;

    /// How many operations are in doubt at each provider, and since when the oldest is.
    fn doubts(&self) -> BoxFuture<'_, Result<Vec<Doubts>, ReadError>>;

    /// The operation of that id, with its payment; `applied` is false.
    fn operation_by_id(
        &self,
        id: OperationId,
    ) -> BoxFuture<'_, Result<Option<Standing>, ReadError>>;

    /// Operations that are open or released, of every merchant, with their payments, in the order of
    /// their ids, after the one given, at most `limit`.
    fn unsettled_after(
        &self,
        after: Option<OperationId>,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<Standing>, ReadError>>;

    /// The unsettled operations of a payment, whoever's it is, with the payment; empty when there
    /// are none.
    fn unsettled_of(&self, id: PaymentId) -> BoxFuture<'_, Result<Vec<Standing>, ReadError>>;

    /// The refunds of a payment, newest first, at most 100; `None` when there is no such payment of
    /// that merchant.
    fn refunds(
        &self,
        merchant_id: MerchantId,
        mode: Mode,
        id: PaymentId,
    ) -> BoxFuture<'_, Result<Option<Vec<Operation>>, ReadError>>;

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

    /// Payments of every merchant that were made in a span of time, both ends included, in the order
    /// of their ids, after the one given, at most `limit`.
    fn payments_between(
        &self,
        from: Timestamp,
        to: Timestamp,
        after: Option<PaymentId>,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<Payment>, ReadError>>;

    /// The payments of those ids, whoever's they are; those that are not there are left out.
    fn payments_by_id(&self, ids: Vec<PaymentId>)
    -> BoxFuture<'_, Result<Vec<Payment>, ReadError>>;

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

    /// Whether the store answers, within two seconds, and no write has been without an answer for
    /// long.
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

    /// Keeps what the nodes of this database have in common, unless something is kept; gives back
    /// what stands.
    fn keep_installation(
        &self,
        fresh: Installation,
    ) -> BoxFuture<'_, Result<Installation, WriteError>>;

    /// Gives the database another incarnation, that of `fresh`; the rest stays, if there is one.
    fn renew_installation(
        &self,
        fresh: Installation,
    ) -> BoxFuture<'_, Result<Installation, WriteError>>;

    /// What [`Self::keep_installation`] has kept; `None` before the first start.
    fn installation(&self) -> BoxFuture<'_, Result<Option<Installation>, ReadError>>;
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

/// Which operations to claim for recovery.
#[derive(Clone, Debug)]
pub struct Claim {
    pub owner: Owner,
    pub lease: Duration,
    /// At most this many.
    pub limit: u32,
    /// Only those that are bound to one of these.
    pub providers: Vec<String>,
    /// Whether those that can only be found ([`Operation::can_only_be_found`]), or all others.
    pub to_be_found: bool,
    /// The claimer's wall clock.
    pub at: Timestamp,
}

/// What is in doubt at one provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubts {
    pub provider: String,
    pub count: i64,
    pub oldest_since: Timestamp,
    /// The store's clock.
    pub now: Timestamp,
}

/// Why a write did not come back with a standing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// It was never handed to a connection, or was undone each time that it was: certainly nothing
    /// was written, and nothing will be. Another time may do better.
    #[error("the store could not write: {0}")]
    NotWritten(String),
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
