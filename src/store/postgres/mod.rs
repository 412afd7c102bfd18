//! The store on PostgreSQL. Start reading at [`PostgresStore`].
//!
//! **Invariant:** every connection is opened and driven on one runtime, the one that `connect` was
//! called on.

mod begin;
mod change;
mod claim;
mod follow_ups;
mod in_use;
mod installation;
mod merchants;
mod migrating;
mod pool;
mod reads;
mod statement;
mod target;
mod tls;
mod unsettled;

use std::{
    hash::Hash,
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use diesel_async::{AnsiTransactionManager, AsyncPgConnection, TransactionManager};
use futures_util::future::BoxFuture;
use secrecy::SecretString;
use tokio::time::Instant;

pub(super) use in_use::is_in_use;
pub(super) use migrating::{connect_to_migrate, lock_to_migrate, run_migration};
pub(super) use pool::unsafe_settings;

use self::pool::{Connection, Pool};
use super::{
    Claim, Doubts, Installation, PaymentPage, PaymentQuery, ReadError, Store, StoreStartError,
    StoreUrl, UnsettledRoute, WriteError,
    batch::{self, Failure},
    decide,
    errors::failure,
    follow_ups::subjects as follow_up_subjects,
    migrations::inspect_to_use,
    tasks::{self, Tasks},
};
use crate::{
    environment::Environment,
    payment::{
        ApiKey, ApiKeyId, Begun, IdempotencyKey, Merchant, MerchantId, Mode, NewFollowUp,
        NewOperation, Operation, OperationChange, OperationId, Payment, PaymentId, RecordedEvent,
        Standing, Timestamp,
    },
};

/// How to reach a PostgreSQL.
#[derive(Clone, Debug)]
pub struct PostgresSettings {
    /// `postgres://user:password@host/database`, with one or several hosts and libpq's parameters.
    pub url: SecretString,
    /// At most this many connections.
    pub pool_max: u32,
    /// Accepts a server that can lose what it committed, and says so in the log.
    pub allow_unsafe: bool,
    pub environment: Environment,
}

/// A store on PostgreSQL.
#[derive(Debug)]
pub struct PostgresStore {
    writing: Arc<Writing>,
    tasks: Tasks,
}

/// What the writing of a batch needs.
#[derive(Debug)]
struct Writing {
    pool: Pool,
    environment: Environment,
}

impl Writing {
    async fn connection(&self) -> Result<Held<'_>, Failure> {
        let connection = self.pool.get().await;
        let connection = connection.map_err(|error| Failure::NotReached(error.to_string()))?;
        Ok(Held {
            connection,
            since: Instant::now(),
        })
    }
}

/// A connection that is held for one write. One that fell silent meanwhile is not used again.
struct Held<'a> {
    connection: Connection<'a>,
    since: Instant,
}

impl Deref for Held<'_> {
    type Target = AsyncPgConnection;

    fn deref(&self) -> &AsyncPgConnection {
        &self.connection
    }
}

impl DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut AsyncPgConnection {
        &mut self.connection
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if self.since.elapsed() >= tasks::OVERDUE_AFTER {
            // The pool drops what is marked so.
            AnsiTransactionManager::transaction_manager_status_mut(&mut *self.connection)
                .set_in_error();
        }
    }
}

/// What the error of a transaction says; once it was `committing`, nobody knows.
fn failed(error: &diesel::result::Error, committing: bool) -> Failure {
    if committing {
        return Failure::Unknown(error.to_string());
    }
    failure(error, true)
}

impl PostgresStore {
    /// Connects, and checks that the server keeps what it commits and has all migrations.
    ///
    /// # Errors
    /// When the server cannot be reached, runs without `fsync`, `full_page_writes` or
    /// `synchronous_commit`, lacks migrations, or is of newer programs that have shut this one out.
    pub async fn connect(settings: PostgresSettings) -> Result<Self, StoreStartError> {
        let found = inspect_to_use(&StoreUrl::Postgres(settings.url.clone())).await?;
        found.accept(settings.allow_unsafe)?;
        let pool = pool::open(&settings.url, settings.pool_max).await?;
        Ok(Self {
            writing: Arc::new(Writing {
                pool,
                environment: settings.environment,
            }),
            tasks: Tasks::here(),
        })
    }

    /// Writes a batch in a task of its own.
    fn write_batch<'a, T, S>(
        &self,
        batch: Vec<T>,
        subjects: fn(&T) -> S,
    ) -> BoxFuture<'a, Vec<Result<<Writing as batch::Writer<T>>::Answer, WriteError>>>
    where
        T: Send + Sync + 'static,
        S: IntoIterator<Item: Hash + Eq + Send> + 'static,
        Writing: batch::Writer<T, Answer: 'static>,
    {
        let writing = Arc::clone(&self.writing);
        self.tasks.batch(batch.len(), async move {
            batch::run(&*writing, &writing.environment, &batch, subjects).await
        })
    }
}

/// Runs a read or a single write with a connection of the pool.
macro_rules! with_connection {
    ($self:ident, $run:ident, $no_connection:path, |$connection:ident| $work:expr) => {{
        let writing = Arc::clone(&$self.writing);
        $self.tasks.$run(async move {
            let connection = writing.pool.get().await;
            let mut $connection = connection.map_err(|error| $no_connection(error.to_string()))?;
            $work.await
        })
    }};
}

impl Store for PostgresStore {
    fn begin(&self, batch: Vec<NewOperation>) -> BoxFuture<'_, Vec<Result<Standing, WriteError>>> {
        self.write_batch(batch, decide::begun_subjects)
    }

    fn change(
        &self,
        batch: Vec<OperationChange>,
    ) -> BoxFuture<'_, Vec<Result<Standing, WriteError>>> {
        self.write_batch(batch, decide::changed_subjects)
    }

    fn begin_follow_ups(
        &self,
        batch: Vec<NewFollowUp>,
    ) -> BoxFuture<'_, Vec<Result<Begun, WriteError>>> {
        self.write_batch(batch, follow_up_subjects)
    }

    fn claim(&self, claim: Claim) -> BoxFuture<'_, Result<Vec<Standing>, WriteError>> {
        let claimed = self.write_batch(vec![claim], decide::claimed_subjects);
        tasks::only(claimed)
    }

    fn expired(&self, limit: u32) -> BoxFuture<'_, Result<Vec<(OperationId, i64)>, ReadError>> {
        with_connection!(self, read, ReadError, |connection| {
            unsettled::expired(&mut connection, limit)
        })
    }

    fn loose_ends(&self, limit: u32) -> BoxFuture<'_, Result<Vec<Standing>, ReadError>> {
        with_connection!(self, read, ReadError, |connection| {
            unsettled::loose_ends(&mut connection, limit)
        })
    }

    fn in_doubt(&self, limit: u32) -> BoxFuture<'_, Result<Vec<Standing>, ReadError>> {
        with_connection!(self, read, ReadError, |connection| {
            unsettled::in_doubt(&mut connection, limit)
        })
    }

    fn doubts(&self) -> BoxFuture<'_, Result<Vec<Doubts>, ReadError>> {
        with_connection!(self, read, ReadError, |connection| {
            unsettled::doubts(&mut connection)
        })
    }

    fn operation_by_id(
        &self,
        id: OperationId,
    ) -> BoxFuture<'_, Result<Option<Standing>, ReadError>> {
        with_connection!(self, read, ReadError, |connection| {
            unsettled::operation_by_id(&mut connection, id)
        })
    }

    fn unsettled_of(&self, id: PaymentId) -> BoxFuture<'_, Result<Vec<Standing>, ReadError>> {
        with_connection!(self, read, ReadError, |connection| {
            unsettled::unsettled_of(&mut connection, id)
        })
    }

    fn refunds(
        &self,
        merchant_id: MerchantId,
        mode: Mode,
        id: PaymentId,
    ) -> BoxFuture<'_, Result<Option<Vec<Operation>>, ReadError>> {
        with_connection!(self, read, ReadError, |connection| {
            unsettled::refunds(&mut connection, merchant_id, mode, id)
        })
    }

    fn operation<'a>(
        &'a self,
        merchant_id: MerchantId,
        mode: Mode,
        key: &'a IdempotencyKey,
    ) -> BoxFuture<'a, Result<Option<Standing>, ReadError>> {
        let key = key.clone();
        with_connection!(self, read, ReadError, |connection| {
            reads::operation(&mut connection, merchant_id, mode, &key)
        })
    }

    fn payment(
        &self,
        merchant_id: MerchantId,
        mode: Mode,
        id: PaymentId,
    ) -> BoxFuture<'_, Result<Option<Payment>, ReadError>> {
        with_connection!(self, read, ReadError, |connection| {
            reads::payment(&mut connection, merchant_id, mode, id)
        })
    }

    fn payments_between(
        &self,
        from: Timestamp,
        to: Timestamp,
        after: Option<PaymentId>,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<Payment>, ReadError>> {
        with_connection!(self, read, ReadError, |connection| {
            reads::payments_between(&mut connection, (from, to), after, limit)
        })
    }

    fn payments_by_id(
        &self,
        ids: Vec<PaymentId>,
    ) -> BoxFuture<'_, Result<Vec<Payment>, ReadError>> {
        with_connection!(self, read, ReadError, |connection| {
            reads::payments_by_id(&mut connection, &ids)
        })
    }

    fn unsettled_after(
        &self,
        after: Option<OperationId>,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<Standing>, ReadError>> {
        with_connection!(self, read, ReadError, |connection| {
            unsettled::after(&mut connection, after, limit)
        })
    }

    fn payments<'a>(
        &'a self,
        query: &'a PaymentQuery,
    ) -> BoxFuture<'a, Result<PaymentPage, ReadError>> {
        let query = query.clone();
        with_connection!(self, read, ReadError, |connection| {
            reads::page(&mut connection, &query)
        })
    }

    fn events(
        &self,
        merchant_id: MerchantId,
        mode: Mode,
        id: PaymentId,
    ) -> BoxFuture<'_, Result<Option<Vec<RecordedEvent>>, ReadError>> {
        with_connection!(self, read, ReadError, |connection| {
            reads::events(&mut connection, merchant_id, mode, id)
        })
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), ReadError>> {
        let answered = with_connection!(self, read, ReadError, |connection| {
            async { Ok(reads::ping(&mut connection).await?) }
        });
        let tasks = self.tasks.clone();
        Box::pin(async move {
            tasks.check()?;
            tokio::time::timeout(Duration::from_secs(2), answered)
                .await
                .unwrap_or_else(|_| Err(ReadError("no answer within two seconds".into())))
        })
    }

    fn unsettled_routes(&self) -> BoxFuture<'_, Result<Vec<UnsettledRoute>, ReadError>> {
        with_connection!(self, read, ReadError, |connection| {
            reads::unsettled_routes(&mut connection)
        })
    }

    fn create_merchant(&self, merchant: Merchant) -> BoxFuture<'_, Result<Merchant, WriteError>> {
        with_connection!(self, write, WriteError::NotWritten, |connection| {
            merchants::create_merchant(&mut connection, &merchant)
        })
    }

    fn merchants(&self) -> BoxFuture<'_, Result<Vec<Merchant>, ReadError>> {
        with_connection!(self, read, ReadError, |connection| {
            merchants::merchants(&mut connection)
        })
    }

    fn create_api_key(&self, key: ApiKey) -> BoxFuture<'_, Result<ApiKey, WriteError>> {
        with_connection!(self, write, WriteError::NotWritten, |connection| {
            merchants::create_api_key(&mut connection, &key)
        })
    }

    fn api_keys(&self) -> BoxFuture<'_, Result<Vec<ApiKey>, ReadError>> {
        with_connection!(self, read, ReadError, |connection| {
            merchants::api_keys(&mut connection)
        })
    }

    fn revoke_api_key(
        &self,
        id: ApiKeyId,
        at: Timestamp,
    ) -> BoxFuture<'_, Result<bool, WriteError>> {
        with_connection!(self, write, WriteError::NotWritten, |connection| {
            merchants::revoke_api_key(&mut connection, id, at)
        })
    }

    fn find_api_key(&self, digest: [u8; 32]) -> BoxFuture<'_, Result<Option<ApiKey>, ReadError>> {
        with_connection!(self, read, ReadError, |connection| {
            merchants::find_api_key(&mut connection, digest)
        })
    }

    fn keep_installation(
        &self,
        fresh: Installation,
    ) -> BoxFuture<'_, Result<Installation, WriteError>> {
        with_connection!(self, write, WriteError::NotWritten, |connection| {
            installation::keep_installation(&mut connection, &fresh)
        })
    }

    fn renew_installation(
        &self,
        fresh: Installation,
    ) -> BoxFuture<'_, Result<Installation, WriteError>> {
        with_connection!(self, write, WriteError::NotWritten, |connection| {
            installation::renew_installation(&mut connection, &fresh)
        })
    }

    fn installation(&self) -> BoxFuture<'_, Result<Option<Installation>, ReadError>> {
        with_connection!(self, read, ReadError, |connection| {
            installation::installation(&mut connection)
        })
    }
}

#[cfg(test)]
mod tests {
    use diesel::result::Error;

    use super::*;

    /// The server may have committed before the connection was lost, whatever the error says.
    #[test]
    fn rule_18_once_it_was_committing_nobody_knows_what_became_of_it() {
        let error = Error::RollbackTransaction;
        assert!(matches!(failed(&error, true), Failure::Unknown(_)));
        assert!(matches!(failed(&error, false), Failure::RolledBack(_)));
    }
}
