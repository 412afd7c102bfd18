//! DbActor: gathers writes into batches, so that one commit serves many payments.
//!
//! While batches are on their way, the next one gathers. A batch is written by a task of its own,
//! which answers its writers itself: the actor may crash meanwhile, and no result is lost.

use std::{collections::VecDeque, sync::Arc};

use actix::{Actor, Addr, AsyncContext, Context, Handler, Message};
use futures_util::future::BoxFuture;
use tokio::{
    runtime,
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::Instant,
};

use crate::{
    payment::{Begun, NewFollowUp, NewOperation, OperationChange, Standing},
    store::{Store, WriteError},
    telemetry::{BatchKind, Metrics},
};

use super::Supervised;

/// Batches of one kind that may be on their way at once: while one commits, another is prepared.
const BATCHES_IN_FLIGHT_MAX: usize = 2;

type Results<'a, A> = BoxFuture<'a, Vec<Result<A, WriteError>>>;
type Reply<A> = oneshot::Sender<Result<A, WriteError>>;

pub(crate) struct DbActor {
    begins: Lane<NewOperation>,
    follow_ups: Lane<NewFollowUp, Begun>,
    changes: Lane<OperationChange>,
    shared: DbShared,
}

/// What outlives a crash of the actor.
#[derive(Clone)]
pub(crate) struct DbShared {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) rows_max: usize,
    pub(crate) tasks: runtime::Handle,
    pub(crate) metrics: Arc<Metrics>,
    begin_slots: Arc<Semaphore>,
    follow_up_slots: Arc<Semaphore>,
    change_slots: Arc<Semaphore>,
}

impl DbShared {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        rows_max: usize,
        tasks: runtime::Handle,
        metrics: Arc<Metrics>,
    ) -> Self {
        let slots = || Arc::new(Semaphore::new(BATCHES_IN_FLIGHT_MAX));
        Self {
            store,
            rows_max,
            tasks,
            metrics,
            begin_slots: slots(),
            follow_up_slots: slots(),
            change_slots: slots(),
        }
    }
}

/// Writes of one kind that wait for their batch.
struct Lane<W, A = Standing> {
    kind: BatchKind,
    slots: Arc<Semaphore>,
    waiting: VecDeque<(W, Reply<A>)>,
}

impl<W, A> Lane<W, A> {
    fn new(kind: BatchKind, slots: &Arc<Semaphore>) -> Self {
        Self {
            kind,
            slots: Arc::clone(slots),
            waiting: VecDeque::new(),
        }
    }

    /// The next batch, if one waits and may go now.
    fn take(&mut self, rows_max: usize) -> Option<(OwnedSemaphorePermit, Vec<(W, Reply<A>)>)> {
        if self.waiting.is_empty() {
            return None;
        }
        let slot = Arc::clone(&self.slots).try_acquire_owned().ok()?;
        let rows = self.waiting.len().min(rows_max);
        Some((slot, self.waiting.drain(..rows).collect()))
    }
}

impl DbActor {
    pub(crate) fn new(shared: DbShared) -> Self {
        Self {
            begins: Lane::new(BatchKind::Begin, &shared.begin_slots),
            follow_ups: Lane::new(BatchKind::Begin, &shared.follow_up_slots),
            changes: Lane::new(BatchKind::Change, &shared.change_slots),
            shared,
        }
    }

    /// Sends off every batch that may go. Changes first: they end what begins only start.
    fn pump(&mut self, context: &Context<Self>) {
        let rows_max = self.shared.rows_max;
        while let Some(batch) = self.changes.take(rows_max) {
            self.write(self.changes.kind, batch, context, |store, rows| {
                store.change(rows)
            });
        }
        while let Some(batch) = self.follow_ups.take(rows_max) {
            self.write(self.follow_ups.kind, batch, context, |store, rows| {
                store.begin_follow_ups(rows)
            });
        }
        while let Some(batch) = self.begins.take(rows_max) {
            self.write(self.begins.kind, batch, context, |store, rows| {
                store.begin(rows)
            });
        }
    }

    fn write<W: Send + 'static, A: Send + 'static>(
        &self,
        kind: BatchKind,
        (slot, batch): (OwnedSemaphorePermit, Vec<(W, Reply<A>)>),
        context: &Context<Self>,
        write: fn(&dyn Store, Vec<W>) -> Results<'_, A>,
    ) {
        let (store, metrics) = (
            Arc::clone(&self.shared.store),
            Arc::clone(&self.shared.metrics),
        );
        let this = context.address();
        self.shared.tasks.spawn(async move {
            let (rows, replies): (Vec<W>, Vec<Reply<A>>) = batch.into_iter().unzip();
            let (count, started) = (rows.len(), Instant::now());
            let results = write(store.as_ref(), rows).await;
            metrics.store.written(kind, count, started.elapsed());
            for (reply, result) in replies.into_iter().zip(results) {
                // A driver that no longer listens reads the row when it comes back.
                drop(reply.send(result));
            }
            drop(slot);
            // An actor that is gone has no queue to pump.
            let _closed = this.send(Pump).await;
        });
    }
}

impl Actor for DbActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX_CAPACITY);
    }
}

/// Bounds nothing (admission does); it spares senders a detour through the parked queue.
const MAILBOX_CAPACITY: usize = 16_384;

/// Looks for batches that may go now.
#[derive(Message)]
#[rtype(result = "()")]
struct Pump;

impl Handler<Pump> for DbActor {
    type Result = ();

    fn handle(&mut self, _: Pump, context: &mut Self::Context) {
        self.pump(context);
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Write<W: Send + 'static, A: Send + 'static = Standing>(W, Reply<A>);

impl Handler<Write<NewOperation>> for DbActor {
    type Result = ();

    fn handle(&mut self, Write(intent, reply): Write<NewOperation>, context: &mut Context<Self>) {
        self.begins.waiting.push_back((intent, reply));
        self.pump(context);
    }
}

impl Handler<Write<NewFollowUp, Begun>> for DbActor {
    type Result = ();

    fn handle(
        &mut self,
        Write(intent, reply): Write<NewFollowUp, Begun>,
        context: &mut Context<Self>,
    ) {
        self.follow_ups.waiting.push_back((intent, reply));
        self.pump(context);
    }
}

impl Handler<Write<OperationChange>> for DbActor {
    type Result = ();

    fn handle(
        &mut self,
        Write(change, reply): Write<OperationChange>,
        context: &mut Context<Self>,
    ) {
        self.changes.waiting.push_back((change, reply));
        self.pump(context);
    }
}

/// The way to the [`DbActor`] for everyone else.
#[derive(Clone, Debug)]
pub(crate) struct Db(Supervised<DbActor>);

impl Db {
    pub(crate) fn new(actor: Supervised<DbActor>) -> Self {
        Self(actor)
    }

    pub(crate) async fn begin(&self, intent: NewOperation) -> Result<Standing, WriteError> {
        written(self.0.addr(), intent).await
    }

    pub(crate) async fn begin_follow_up(&self, intent: NewFollowUp) -> Result<Begun, WriteError> {
        written(self.0.addr(), intent).await
    }

    pub(crate) async fn change(&self, change: OperationChange) -> Result<Standing, WriteError> {
        written(self.0.addr(), change).await
    }
}

async fn written<W, A>(actor: Addr<DbActor>, write: W) -> Result<A, WriteError>
where
    W: Send + 'static,
    A: Send + 'static,
    DbActor: Handler<Write<W, A>>,
{
    let (reply, result) = oneshot::channel();
    // A closed mailbox drops the reply, which says the same and less ambiguously.
    let _closed = actor.send(Write(write, reply)).await;
    result.await.unwrap_or_else(|_dropped| {
        Err(WriteError::Unknown(
            "the writer was lost before it answered".to_owned(),
        ))
    })
}
