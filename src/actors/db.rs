//! DbActor: gathers writes into batches, so that one commit serves many payments.
//!
//! While batches are on their way, the next one gathers. A batch is written by a task of its own,
//! which answers its writers itself: the actor may crash meanwhile, and no result is lost.
//!
//! Only intents are turned away when too many wait, or wait too long: what changes an operation that
//! is recorded carries a fact about money, and waits as long as it must.

use std::{
    collections::VecDeque,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use actix::{Actor, Addr, ArbiterHandle, Context, Handler, Message};
use futures_util::future::BoxFuture;
use tokio::{
    runtime,
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::{Instant, timeout_at},
};

use crate::{
    payment::{Begun, NewFollowUp, NewOperation, OperationChange, Standing},
    store::{Store, WriteError},
    telemetry::{BatchKind, Metrics},
};

use super::{
    GiveUp, Supervised,
    supervisor::{ArbiterGone, supervise},
};

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
    /// Intents that may wait for their batch at once.
    pub(crate) begins_waiting_max: usize,
    pub(crate) tasks: runtime::Handle,
    pub(crate) metrics: Arc<Metrics>,
    begin_slots: Arc<Semaphore>,
    follow_up_slots: Arc<Semaphore>,
    change_slots: Arc<Semaphore>,
    /// The actor, whichever incarnation of it lives: who frees a slot wakes that one.
    living: Arc<OnceLock<Supervised<DbActor>>>,
}

impl DbShared {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        rows_max: usize,
        begins_waiting_max: usize,
        tasks: runtime::Handle,
        metrics: Arc<Metrics>,
    ) -> Self {
        let slots = || Arc::new(Semaphore::new(BATCHES_IN_FLIGHT_MAX));
        Self {
            store,
            rows_max,
            begins_waiting_max,
            tasks,
            metrics,
            begin_slots: slots(),
            follow_up_slots: slots(),
            change_slots: slots(),
            living: Arc::default(),
        }
    }
}

/// Writes of one kind that wait for their batch.
struct Lane<W: Send + 'static, A: Send + 'static = Standing> {
    kind: BatchKind,
    slots: Arc<Semaphore>,
    waiting: VecDeque<Write<W, A>>,
}

impl<W: Send + 'static, A: Send + 'static> Lane<W, A> {
    fn new(kind: BatchKind, slots: &Arc<Semaphore>) -> Self {
        Self {
            kind,
            slots: Arc::clone(slots),
            waiting: VecDeque::new(),
        }
    }

    /// The next batch, if one waits and may go now.
    fn take(&mut self, rows_max: usize) -> Option<(OwnedSemaphorePermit, Vec<Write<W, A>>)> {
        if self.waiting.is_empty() {
            return None;
        }
        let slot = Arc::clone(&self.slots).try_acquire_owned().ok()?;
        let mut batch = Vec::with_capacity(self.waiting.len().min(rows_max));
        while batch.len() < rows_max
            && let Some(write) = self.waiting.pop_front()
        {
            if write.claim.take() {
                batch.push(write);
            }
        }
        (!batch.is_empty()).then_some((slot, batch))
    }

    /// Whether `most` writes wait that nobody has withdrawn.
    fn is_full(&mut self, most: usize) -> bool {
        if self.waiting.len() >= most {
            self.waiting.retain(|write| !write.claim.is_taken());
        }
        self.waiting.len() >= most
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
    fn pump(&mut self) {
        let rows_max = self.shared.rows_max;
        while let Some(batch) = self.changes.take(rows_max) {
            self.write(self.changes.kind, batch, |store, rows| store.change(rows));
        }
        while let Some(batch) = self.follow_ups.take(rows_max) {
            self.write(self.follow_ups.kind, batch, |store, rows| {
                store.begin_follow_ups(rows)
            });
        }
        while let Some(batch) = self.begins.take(rows_max) {
            self.write(self.begins.kind, batch, |store, rows| store.begin(rows));
        }
    }

    fn write<W: Send + 'static, A: Send + 'static>(
        &self,
        kind: BatchKind,
        (slot, batch): (OwnedSemaphorePermit, Vec<Write<W, A>>),
        write: fn(&dyn Store, Vec<W>) -> Results<'_, A>,
    ) {
        let (store, metrics) = (
            Arc::clone(&self.shared.store),
            Arc::clone(&self.shared.metrics),
        );
        let slot = Slot {
            permit: Some(slot),
            living: Arc::clone(&self.shared.living),
        };
        self.shared.tasks.spawn(async move {
            let _slot = slot;
            let started = Instant::now();
            let (rows, replies): (Vec<W>, Vec<Reply<A>>) = batch
                .into_iter()
                .map(|write| {
                    metrics.store.waited(kind, started - write.since);
                    (write.row, write.reply)
                })
                .unzip();
            let count = rows.len();
            let results = write(store.as_ref(), rows).await;
            metrics.store.written(kind, count, started.elapsed());
            for (reply, result) in replies.into_iter().zip(results) {
                // A driver that no longer listens reads the row when it comes back.
                drop(reply.send(result));
            }
        });
    }
}

/// The place of a batch that is on its way. When it ends, in whichever way, the next may go.
struct Slot {
    permit: Option<OwnedSemaphorePermit>,
    living: Arc<OnceLock<Supervised<DbActor>>>,
}

impl Drop for Slot {
    #[expect(
        clippy::disallowed_methods,
        reason = "an actor between two lives has no queue to pump"
    )]
    fn drop(&mut self) {
        drop(self.permit.take());
        if let Some(actor) = self.living.get() {
            actor.addr().do_send(Pump);
        }
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

    fn handle(&mut self, _: Pump, _: &mut Self::Context) {
        self.pump();
    }
}

/// One row that wants to be written.
#[derive(Message)]
#[rtype(result = "Result<(), QueueFull>")]
struct Write<W: Send + 'static, A: Send + 'static = Standing> {
    row: W,
    reply: Reply<A>,
    claim: Claim,
    since: Instant,
}

/// So many writes wait that this one was turned away; it was dropped.
struct QueueFull;

/// Who has a write: its batch, which hands it to the store, or its writer, who takes it back. The
/// first to take it has it for good.
#[derive(Clone, Default)]
struct Claim(Arc<AtomicBool>);

impl Claim {
    fn take(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }

    fn is_taken(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Handler<Write<NewOperation>> for DbActor {
    type Result = Result<(), QueueFull>;

    fn handle(&mut self, begin: Write<NewOperation>, _: &mut Context<Self>) -> Self::Result {
        if self.begins.is_full(self.shared.begins_waiting_max) {
            return Err(QueueFull);
        }
        self.begins.waiting.push_back(begin);
        self.pump();
        Ok(())
    }
}

impl Handler<Write<NewFollowUp, Begun>> for DbActor {
    type Result = Result<(), QueueFull>;

    fn handle(&mut self, begin: Write<NewFollowUp, Begun>, _: &mut Context<Self>) -> Self::Result {
        if self.follow_ups.is_full(self.shared.begins_waiting_max) {
            return Err(QueueFull);
        }
        self.follow_ups.waiting.push_back(begin);
        self.pump();
        Ok(())
    }
}

impl Handler<Write<OperationChange>> for DbActor {
    type Result = Result<(), QueueFull>;

    fn handle(&mut self, change: Write<OperationChange>, _: &mut Context<Self>) -> Self::Result {
        self.changes.waiting.push_back(change);
        self.pump();
        Ok(())
    }
}

/// Why an intent does not stand.
pub(crate) enum NotBegun {
    /// It was never handed to the store and never will be: too many waited, or it waited too long.
    TurnedAway,
    Store(WriteError),
}

/// The way to the [`DbActor`] for everyone else.
#[derive(Clone, Debug)]
pub(crate) struct Db(Supervised<DbActor>);

impl Db {
    /// Starts the actor, and starts it again whenever it ends.
    pub(crate) async fn start(
        shared: DbShared,
        arbiter: ArbiterHandle,
        watcher: Arc<dyn GiveUp>,
    ) -> Result<Self, ArbiterGone> {
        let living = Arc::clone(&shared.living);
        let factory = move || DbActor::new(shared.clone());
        let actor = supervise("db", arbiter, watcher, factory).await?;
        // It is set once, since these are started once.
        let actor = living.get_or_init(|| actor);
        Ok(Self(actor.clone()))
    }

    /// Records an intent. One that is not with the store at `begin_by` is taken back.
    pub(crate) async fn begin(
        &self,
        intent: NewOperation,
        begin_by: Instant,
    ) -> Result<Standing, NotBegun> {
        self.begun(intent, begin_by).await
    }

    /// Records a capture, cancel or refund, as [`Self::begin`] records a payment.
    pub(crate) async fn begin_follow_up(
        &self,
        intent: NewFollowUp,
        begin_by: Instant,
    ) -> Result<Begun, NotBegun> {
        self.begun(intent, begin_by).await
    }

    async fn begun<W, A>(&self, intent: W, begin_by: Instant) -> Result<A, NotBegun>
    where
        W: Send + 'static,
        A: Send + 'static,
        DbActor: Handler<Write<W, A>, Result = Result<(), QueueFull>>,
    {
        if Instant::now() >= begin_by {
            return Err(NotBegun::TurnedAway);
        }
        let claim = Claim::default();
        let written = written(self.0.addr(), intent, claim.clone());
        tokio::pin!(written);
        let written = match timeout_at(begin_by, &mut written).await {
            Ok(written) => written,
            Err(_elapsed) if claim.take() => return Err(NotBegun::TurnedAway),
            Err(_elapsed) => written.await,
        };
        match written {
            Ok(Ok(standing)) => Ok(standing),
            Ok(Err(error)) => Err(NotBegun::Store(error)),
            Err(QueueFull) => Err(NotBegun::TurnedAway),
        }
    }

    pub(crate) async fn change(&self, change: OperationChange) -> Result<Standing, WriteError> {
        written(self.0.addr(), change, Claim::default())
            .await
            .unwrap_or_else(|QueueFull| Err(lost(true)))
    }
}

async fn written<W, A>(
    actor: Addr<DbActor>,
    row: W,
    claim: Claim,
) -> Result<Result<A, WriteError>, QueueFull>
where
    W: Send + 'static,
    A: Send + 'static,
    DbActor: Handler<Write<W, A>, Result = Result<(), QueueFull>>,
{
    let (reply, result) = oneshot::channel();
    let write = Write {
        row,
        reply,
        claim: claim.clone(),
        since: Instant::now(),
    };
    // A closed mailbox drops the reply, which says the same and less ambiguously.
    if let Ok(Err(full)) = actor.send(write).await {
        return Err(full);
    }
    Ok(result
        .await
        .unwrap_or_else(|_dropped| Err(lost(claim.take()))))
}

/// The writer was lost before it answered; `unclaimed` if that was before its batch.
fn lost(unclaimed: bool) -> WriteError {
    let reason = "the writer was lost before it answered".to_owned();
    if unclaimed {
        WriteError::NotWritten(reason)
    } else {
        WriteError::Unknown(reason)
    }
}

#[cfg(test)]
mod tests;
