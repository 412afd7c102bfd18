//! KeyActor: one per idempotency key at work. The first request starts the drive, equal ones join
//! it, and another request under the same key waits until it is known whose the key is.

use std::{collections::VecDeque, sync::Arc};

use actix::{Actor, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, WrapFuture};
use prometheus_client::metrics::gauge::Gauge;
use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};
use tracing::{Instrument, info_span};

use super::{
    Order, Refusal,
    drive::{Conclusion, Progress, drive},
    front_door::Seat,
    key_router::{KeyRouter, Retire},
    system::DriveContext,
};
use crate::payment::Scope;

pub(crate) struct KeyActor {
    context: Arc<DriveContext>,
    router: Addr<KeyRouter>,
    scope: Scope,
    current: Option<Current>,
    /// Requests that are not the current one's, in order of arrival.
    others: VecDeque<Join>,
    /// Messages taken so far; the router compares it with those it sent.
    received: u64,
}

struct Current {
    order: Arc<Order>,
    progress: watch::Receiver<Progress>,
}

/// A request that wants to know the answer to its key.
pub(crate) struct Join {
    pub(crate) order: Arc<Order>,
    /// When its work must be with the store, if it is to begin at all.
    pub(crate) begin_by: Instant,
    /// Goes with the drive if this request starts one.
    pub(crate) seat: Arc<Seat>,
    pub(crate) reply: oneshot::Sender<Result<Joined, Refusal>>,
}

impl Message for Join {
    type Result = ();
}

/// A seat at a drive.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) progress: watch::Receiver<Progress>,
    /// Whether this request started it.
    pub(crate) started: bool,
}

impl KeyActor {
    pub(crate) fn new(context: Arc<DriveContext>, router: Addr<KeyRouter>, scope: Scope) -> Self {
        context.metrics.actors.key_actors_alive.inc();
        Self {
            context,
            router,
            scope,
            current: None,
            others: VecDeque::new(),
            received: 0,
        }
    }

    fn start_drive(&mut self, join: Join, actor: &mut Context<Self>) {
        let (publisher, progress) = watch::channel(Progress::Starting);
        let joined = Joined {
            progress: progress.clone(),
            started: true,
        };
        // Begun only for one that knows it: a client that left by now, or was told that nothing was
        // begun for it, must not find a charge later. One that leaves afterwards changes nothing.
        if join.reply.send(Ok(joined)).is_err() {
            return;
        }
        let (context, order) = (Arc::clone(&self.context), Arc::clone(&join.order));
        self.context.drives.spawn_on(
            async move {
                let _seat = join.seat;
                let in_flight = InFlight::new(&context);
                let span = info_span!("drive", request = %order.request_id);
                drive(Arc::clone(&context), order, join.begin_by, publisher)
                    .instrument(span)
                    .await;
                drop(in_flight);
            },
            &self.context.tasks,
        );
        let mut done = progress.clone();
        let mut recorded = progress.clone();
        // A publisher that is gone without a conclusion ends both waits as well.
        let when_recorded = async move {
            drop(
                recorded
                    .wait_for(|now| !matches!(now, Progress::Starting))
                    .await,
            );
        };
        let when_done = async move {
            drop(done.wait_for(|now| matches!(now, Progress::Done(_))).await);
        };
        actor.spawn(
            when_recorded
                .into_actor(self)
                .map(|(), this, _| this.refuse_others()),
        );
        actor.spawn(
            when_done
                .into_actor(self)
                .map(|(), this, actor| this.next(actor)),
        );
        self.current = Some(Current {
            order: join.order,
            progress,
        });
    }

    /// The key is the current request's for good: every other one is refused.
    fn refuse_others(&mut self) {
        if self
            .current
            .as_ref()
            .is_some_and(|current| current.owns_the_key())
        {
            for other in self.others.drain(..) {
                drop(other.reply.send(Err(Refusal::KeyReused)));
            }
        }
    }

    /// The drive has ended: others get their turn, or the actor is no longer needed.
    fn next(&mut self, actor: &mut Context<Self>) {
        self.refuse_others();
        self.current = None;
        let now = Instant::now();
        for join in std::mem::take(&mut self.others) {
            if join.order.deadline <= now {
                // Nothing was begun for it, and it is too late to begin; it may be gone as well.
                drop(join.reply.send(Err(Refusal::Overloaded)));
            } else {
                self.seat(join, actor);
            }
        }
        self.retire_if_idle();
    }

    fn retire_if_idle(&self) {
        if self.current.is_none() {
            let retire = Retire {
                scope: self.scope.clone(),
                received: self.received,
            };
            let router = self.router.clone();
            // A router that was lost has forgotten this actor already.
            actix::spawn(async move {
                let _closed = router.send(retire).await;
            });
        }
    }

    fn seat(&mut self, join: Join, actor: &mut Context<Self>) {
        match &self.current {
            None => self.start_drive(join, actor),
            Some(current) if current.order.canonical == join.order.canonical => {
                let progress = current.progress.clone();
                drop(join.reply.send(Ok(Joined {
                    progress,
                    started: false,
                })));
            }
            Some(_) => {
                self.others.push_back(join);
                self.refuse_others();
            }
        }
    }
}

impl Current {
    /// Whether the key is known to belong to this request.
    fn owns_the_key(&self) -> bool {
        match &*self.progress.borrow() {
            Progress::Starting => false,
            Progress::Recorded(_) => true,
            Progress::Done(conclusion) => !matches!(**conclusion, Conclusion::Refused(_)),
        }
    }
}

/// Counts a drive as in flight until it ends, however it does.
struct InFlight(Gauge);

impl InFlight {
    fn new(context: &DriveContext) -> Self {
        let gauge = context.metrics.actors.operations_in_flight.clone();
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Actor for KeyActor {
    type Context = Context<Self>;
}

impl Drop for KeyActor {
    fn drop(&mut self) {
        self.context.metrics.actors.key_actors_alive.dec();
    }
}

impl Handler<Join> for KeyActor {
    type Result = ();

    fn handle(&mut self, join: Join, actor: &mut Context<Self>) {
        self.received += 1;
        self.seat(join, actor);
        self.retire_if_idle();
    }
}
