//! The store on a SQLite file. Start reading at [`SqliteStore`].
//!
//! **Invariant:** one thread of the process writes; other processes wait for it by SQLite's lock.

mod begin;
mod change;
mod claim;
mod connection;
mod follow_ups;
mod installation;
mod merchants;
mod readers;
mod reads;
mod unsettled;
mod writer;

use std::{hash::Hash, path::PathBuf, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;

pub(super) use connection::{connect_to_migrate, is_in_use};

use self::{readers::Readers, writer::Writer};
use super::{
    Claim, Doubts, Installation, PaymentPage, PaymentQuery, ReadError, Store, StoreStartError,
    StoreUrl, UnsettledRoute, WriteError,
    batch::{self, Failure},
    decide,
    follow_ups::subjects as follow_up_subjects,
    inspect,
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

/// Which file to open.
#[derive(Clone, Debug)]
pub struct SqliteSettings {
    pub path: PathBuf,
    /// Whether to make the file when there is none.
    pub create: bool,
    pub environment: Environment,
}

/// A store on a SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    writing: Arc<Writing>,
    readers: Arc<Readers>,
    tasks: Tasks,
}

/// What the writing of a batch needs.
#[derive(Debug)]
struct Writing {
    writer: Writer,
    environment: Environment,
}

impl SqliteStore {
    /// Opens the file, and checks that it has all migrations.
    ///
    /// # Errors
    /// When there is no such file and none may be made, when it cannot be opened, lacks migrations,
    /// or is of newer programs that have shut this one out.
    pub async fn open(settings: SqliteSettings) -> Result<Self, StoreStartError> {
        let SqliteSettings {
            path,
            create,
            environment,
        } = settings;
        let url = StoreUrl::Sqlite {
            path: path.clone(),
            create,
        };
        inspect(&url).await?.accept(false)?;
        let writer = Writer::start(&path)?;
        Ok(Self {
            writing: Arc::new(Writing {
                writer,
                environment,
            }),
            readers: Arc::new(Readers::new(path)),
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

/// Runs a read with a connection of the readers.
macro_rules! reading {
    ($self:ident, |$connection:ident| $work:expr) => {
        ($self.tasks).read(Arc::clone(&$self.readers).read(move |$connection| $work))
    };
}

/// Runs a single write in a transaction of the writer.
macro_rules! writing {
    ($self:ident, |$connection:ident| $work:expr) => {{
        let writer = $self.writing.writer.clone();
        $self.tasks.write(async move {
            let written = writer.transaction(move |$connection| $work).await;
            match written {
                Ok(answer) => Ok(answer?),
                Err(Failure::NotReached(reason) | Failure::RolledBack(reason)) => {
                    Err(WriteError::NotWritten(reason))
                }
                Err(Failure::RowRefused(reason)) => Err(WriteError::Rejected(reason)),
                Err(Failure::Unknown(reason)) => Err(WriteError::Unknown(reason)),
            }
        })
    }};
}

impl Store for SqliteStore {
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
        reading!(self, |connection| { unsettled::expired(connection, limit) })
    }

    fn loose_ends(&self, limit: u32) -> BoxFuture<'_, Result<Vec<Standing>, ReadError>> {
        reading!(self, |connection| {
            unsettled::loose_ends(connection, limit)
        })
    }

    fn in_doubt(&self, limit: u32) -> BoxFuture<'_, Result<Vec<Standing>, ReadError>> {
        reading!(self, |connection| {
            unsettled::in_doubt(connection, limit)
        })
    }

    fn doubts(&self) -> BoxFuture<'_, Result<Vec<Doubts>, ReadError>> {
        reading!(self, |connection| { unsettled::doubts(connection) })
    }

    fn operation_by_id(
        &self,
        id: OperationId,
    ) -> BoxFuture<'_, Result<Option<Standing>, ReadError>> {
        reading!(self, |connection| {
            unsettled::operation_by_id(connection, id)
        })
    }

    fn unsettled_of(&self, id: PaymentId) -> BoxFuture<'_, Result<Vec<Standing>, ReadError>> {
        reading!(self, |connection| {
            unsettled::unsettled_of(connection, id)
        })
    }

    fn refunds(
        &self,
        merchant_id: MerchantId,
        mode: Mode,
        id: PaymentId,
    ) -> BoxFuture<'_, Result<Option<Vec<Operation>>, ReadError>> {
        reading!(self, |connection| {
            unsettled::refunds(connection, merchant_id, mode, id)
        })
    }

    fn operation<'a>(
        &'a self,
        merchant_id: MerchantId,
        mode: Mode,
        key: &'a IdempotencyKey,
    ) -> BoxFuture<'a, Result<Option<Standing>, ReadError>> {
        let key = key.clone();
        reading!(self, |connection| {
            reads::operation(connection, merchant_id, mode, &key)
        })
    }

    fn payment(
        &self,
        merchant_id: MerchantId,
        mode: Mode,
        id: PaymentId,
    ) -> BoxFuture<'_, Result<Option<Payment>, ReadError>> {
        reading!(self, |connection| {
            reads::payment(connection, merchant_id, mode, id)
        })
    }

    fn payments_between(
        &self,
        from: Timestamp,
        to: Timestamp,
        after: Option<PaymentId>,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<Payment>, ReadError>> {
        reading!(self, |connection| {
            reads::payments_between(connection, (from, to), after, limit)
        })
    }

    fn payments_by_id(
        &self,
        ids: Vec<PaymentId>,
    ) -> BoxFuture<'_, Result<Vec<Payment>, ReadError>> {
        reading!(self, |connection| {
            reads::payments_by_id(connection, &ids)
        })
    }

    fn unsettled_after(
        &self,
        after: Option<OperationId>,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<Standing>, ReadError>> {
        reading!(self, |connection| {
            unsettled::after(connection, after, limit)
        })
    }

    fn payments<'a>(
        &'a self,
        query: &'a PaymentQuery,
    ) -> BoxFuture<'a, Result<PaymentPage, ReadError>> {
        let query = query.clone();
        reading!(self, |connection| { reads::page(connection, &query) })
    }

    fn events(
        &self,
        merchant_id: MerchantId,
        mode: Mode,
        id: PaymentId,
    ) -> BoxFuture<'_, Result<Option<Vec<RecordedEvent>>, ReadError>> {
        reading!(self, |connection| {
            reads::events(connection, merchant_id, mode, id)
        })
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), ReadError>> {
        let answered = reading!(self, |connection| {
            Ok(connection::now(connection).map(drop)?)
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
        reading!(self, |connection| { reads::unsettled_routes(connection) })
    }

    fn create_merchant(&self, merchant: Merchant) -> BoxFuture<'_, Result<Merchant, WriteError>> {
        writing!(self, |connection| {
            merchants::create_merchant(connection, &merchant)
        })
    }

    fn merchants(&self) -> BoxFuture<'_, Result<Vec<Merchant>, ReadError>> {
        reading!(self, |connection| { merchants::merchants(connection) })
    }

    fn create_api_key(&self, key: ApiKey) -> BoxFuture<'_, Result<ApiKey, WriteError>> {
        writing!(self, |connection| {
            merchants::create_api_key(connection, &key)
        })
    }

    fn api_keys(&self) -> BoxFuture<'_, Result<Vec<ApiKey>, ReadError>> {
        reading!(self, |connection| { merchants::api_keys(connection) })
    }

    fn revoke_api_key(
        &self,
        id: ApiKeyId,
        at: Timestamp,
    ) -> BoxFuture<'_, Result<bool, WriteError>> {
        writing!(self, |connection| {
            merchants::revoke_api_key(connection, id, at)
        })
    }

    fn find_api_key(&self, digest: [u8; 32]) -> BoxFuture<'_, Result<Option<ApiKey>, ReadError>> {
        reading!(self, |connection| {
            merchants::find_api_key(connection, digest)
        })
    }

    fn keep_installation(
        &self,
        fresh: Installation,
    ) -> BoxFuture<'_, Result<Installation, WriteError>> {
        writing!(self, |connection| {
            installation::keep_installation(connection, &fresh)
        })
    }

    fn renew_installation(
        &self,
        fresh: Installation,
    ) -> BoxFuture<'_, Result<Installation, WriteError>> {
        writing!(self, |connection| {
            installation::renew_installation(connection, &fresh)
        })
    }

    fn installation(&self) -> BoxFuture<'_, Result<Option<Installation>, ReadError>> {
        reading!(self, |connection| {
            installation::installation(connection)
        })
    }
}
