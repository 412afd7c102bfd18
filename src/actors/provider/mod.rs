//! ProviderActor: owns the calls to one provider. Start reading at [`ProviderHandle::call`].
//!
//! ```text
//! ProviderHandle   the way for drives: room ahead of the intent, then the call itself
//!   ProviderActor  starts a task for each job
//!     Attempts     the attempts of one job, each through the gate
//!       Gate       breaker, concurrency limit and retry budget: before any side effect
//! ```
//!
//! A call runs in a task of its own and answers its driver itself, so that a crash of the actor
//! loses no outcome. What decides lives beside the actor and outlives it: an open breaker is not
//! forgotten in a crash, nor how far a long list was read.
//!
//! **Invariant:** nothing goes to the provider that the gate did not let pass, look-ups included. One
//! passage is for one attempt, question or reversal, each of which may take several exchanges.
//! **Invariant:** whoever drops a job answers it: in doubt if a byte may have gone out, not sent
//! otherwise.

mod attempts;
mod feed;
mod gate;
mod look;
mod overview;
mod reply;
mod searches;

use std::{fmt, sync::Arc, time::Duration};

use actix::{Actor, AsyncContext, Context, Handler, Message};
use tokio::{runtime, sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info_span};

pub use feed::BreakerEvent;
pub(crate) use feed::BreakerFeed;
pub(crate) use gate::Gate;
pub use gate::GateSettings;
pub(crate) use look::{Inquiry, Reach};
pub use overview::{PastTransition, ProviderSnapshot, Providers};
pub(crate) use searches::Searches;

use super::Supervised;
use crate::{
    environment::Environment,
    provider::{Call, Outcome, Provider},
    resilience::{Deadline, LimiterPermit, OperatorSwitch, Purpose, SendWindow},
    telemetry::Metrics,
};
use attempts::Attempts;
use reply::Reply;

/// How often the gauges are brought up to date while nothing happens.
const OBSERVED_EVERY: Duration = Duration::from_secs(1);

pub(crate) struct ProviderActor(Arc<ProviderShared>);

/// What outlives a crash of the actor.
pub(crate) struct ProviderShared {
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) environment: Environment,
    pub(crate) tasks: runtime::Handle,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) gate: Gate,
    /// Where looks go on that did not come to their end.
    pub(crate) searches: Searches,
    /// Cancelled when the server stops: running attempts finish, no further one begins.
    pub(crate) stopping: CancellationToken,
}

impl ProviderActor {
    pub(crate) fn new(shared: Arc<ProviderShared>) -> Self {
        Self(shared)
    }
}

impl Actor for ProviderActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.run_interval(OBSERVED_EVERY, |actor, _| {
            actor.0.gate.observe(Instant::now());
        });
    }
}

/// What a driver wants to know: how its operation stands at the provider after all that may be
/// tried until the deadline.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) call: Call,
    pub(crate) purpose: Purpose,
    /// Whether an attempt of an earlier driver may have acted.
    pub(crate) in_doubt: bool,
    /// The provider's id of what an earlier attempt made, where it is known.
    pub(crate) reference: Option<String>,
    /// In which an attempt may begin; its driver moves the end as it renews the lease.
    pub(crate) window: watch::Receiver<SendWindow>,
    /// No attempt begins that could not end before.
    pub(crate) deadline: Deadline,
    /// Room for the first attempt, where it was taken ahead.
    pub(crate) room: Option<LimiterPermit>,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Ask(Job, Reply);

impl Handler<Ask> for ProviderActor {
    type Result = ();

    fn handle(&mut self, Ask(job, reply): Ask, _: &mut Context<Self>) {
        self.0.tasks.spawn(work(Arc::clone(&self.0), job, reply));
    }
}

/// A job's task.
async fn work(shared: Arc<ProviderShared>, job: Job, mut reply: Reply) {
    let span = info_span!("call", request = %job.call.request_id);
    let attempts = Attempts::new(&shared, job, reply.footprint());
    let outcome = attempts.run().instrument(span).await;
    reply.answer(outcome);
}

/// The way to a [`ProviderActor`] for everyone else.
#[derive(Clone)]
pub(crate) struct ProviderHandle {
    actor: Supervised<ProviderActor>,
    shared: Arc<ProviderShared>,
}

impl fmt::Debug for ProviderHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderHandle").finish_non_exhaustive()
    }
}

impl ProviderHandle {
    pub(crate) fn new(actor: Supervised<ProviderActor>, shared: Arc<ProviderShared>) -> Self {
        Self { actor, shared }
    }

    /// Never guesses: should the actor or the task be lost, the answer says what that means.
    pub(crate) async fn call(&self, job: Job) -> Outcome {
        let (reply, outcome) = Reply::new(job.in_doubt);
        // A closed mailbox drops the reply, which then answers by itself.
        let _closed = self.actor.addr().send(Ask(job, reply)).await;
        outcome.await.unwrap_or_else(|_dropped| reply::lost())
    }

    /// Takes room for the first call of an operation that is not recorded yet; `None` when the
    /// provider is full. An open breaker leaves room: it is for the call to say so.
    pub(crate) fn reserve(&self) -> Option<LimiterPermit> {
        self.shared.gate.reserve(Purpose::Client, Instant::now())
    }

    /// Whether a call of that purpose would be let pass now.
    pub(crate) fn is_available(&self, purpose: Purpose) -> bool {
        self.shared.gate.is_available(purpose, Instant::now())
    }

    /// How many requests of that purpose would be let pass now that are sent once more.
    pub(crate) fn resends(&self, purpose: Purpose) -> u32 {
        self.shared.gate.resends(purpose, Instant::now())
    }

    /// When an open breaker lets the next call pass.
    pub(crate) fn retry_at(&self, now: Instant) -> Option<Instant> {
        self.shared.gate.breaker(now).retry_at
    }

    pub(crate) fn snapshot(&self, now: Instant) -> ProviderSnapshot {
        overview::snapshot(&self.shared, now)
    }

    pub(crate) fn set_breaker(&self, switch: OperatorSwitch, now: Instant) {
        self.shared.gate.operate(switch, now);
    }
}

#[cfg(test)]
mod tests;
