//! ProviderActor: owns the calls to one provider.
//!
//! A call runs in a task of its own and answers its driver itself, so that a crash of the actor
//! loses no outcome. The actor decides before any side effect whether a call may begin.

use std::{sync::Arc, time::Duration};

use actix::{Actor, Context, Handler, Message};
use tokio::{
    runtime,
    sync::{Semaphore, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info, info_span, warn};

use crate::{
    environment::Environment,
    provider::{
        Call, Found, InDoubt, InDoubtReason, NotSent, NotSentReason, Outcome, Provider,
        SentBetween, Stray,
    },
    resilience::{Backoff, Purpose, SendWindow},
    telemetry::Metrics,
};

use super::Supervised;

/// Attempts that may reach the provider, per drive.
const ATTEMPTS_MAX: u32 = 3;
/// Times that an unfinished or running operation is asked after, per drive; each is free of risk.
const POLLS_MAX: u32 = 20;
const RETRY: Backoff = Backoff {
    base: Duration::from_millis(200),
    cap: Duration::from_secs(5),
};

pub(crate) struct ProviderActor(Arc<ProviderShared>);

/// What outlives a crash of the actor.
pub(crate) struct ProviderShared {
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) environment: Environment,
    pub(crate) tasks: runtime::Handle,
    pub(crate) metrics: Arc<Metrics>,
    /// Bounds the calls in flight.
    pub(crate) calls: Arc<Semaphore>,
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
}

/// What a driver wants to know: how its operation stands at the provider after all that may be
/// tried until the deadline.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) call: Call,
    /// Whether an attempt of an earlier driver may have acted.
    pub(crate) in_doubt: bool,
    /// The provider's id of what an earlier attempt made, where it is known.
    pub(crate) reference: Option<String>,
    pub(crate) window: SendWindow,
    /// No attempt begins that could not end before.
    pub(crate) deadline: Instant,
    pub(crate) purpose: Purpose,
}

/// A look for what an operation may have made, once sending is over.
#[derive(Clone, Debug)]
pub(crate) struct Inquiry {
    pub(crate) call: Call,
    pub(crate) sent: SentBetween,
    pub(crate) deadline: Instant,
    pub(crate) purpose: Purpose,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Ask(Job, oneshot::Sender<Outcome>);

impl Handler<Ask> for ProviderActor {
    type Result = ();

    fn handle(&mut self, Ask(job, reply): Ask, _: &mut Context<Self>) {
        let shared = Arc::clone(&self.0);
        let Ok(permit) = Arc::clone(&shared.calls).try_acquire_owned() else {
            let refused = withheld("too many calls to the provider are under way");
            // A driver that no longer listens has left the operation to the next one.
            drop(reply.send(joined(inherited(&job), Some(refused))));
            return;
        };
        self.0.tasks.spawn(async move {
            let span = info_span!("call", request = %job.call.request_id);
            let outcome = Attempts::new(&shared, &job).run().instrument(span).await;
            drop(permit);
            drop(reply.send(outcome));
        });
    }
}

/// Asks about what is there already: never definite unless the provider says so.
#[derive(Message)]
#[rtype(result = "()")]
struct Look(Inquiry, Question, oneshot::Sender<Found>);

#[derive(Clone, Debug)]
enum Question {
    /// What became of the object of this id.
    Inspect(String),
    /// Whether there is anything of the operation.
    Find,
}

impl Handler<Look> for ProviderActor {
    type Result = ();

    fn handle(&mut self, Look(inquiry, question, reply): Look, _: &mut Context<Self>) {
        let shared = Arc::clone(&self.0);
        self.0.tasks.spawn(async move {
            let provider = &shared.provider;
            let found = match question {
                Question::Find => provider.find(&inquiry.call, inquiry.sent).await,
                Question::Inspect(reference) => {
                    Found::There(provider.inspect(&inquiry.call, &reference).await)
                }
            };
            drop(reply.send(found));
        });
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Reverse(Stray, oneshot::Sender<Outcome>);

impl Handler<Reverse> for ProviderActor {
    type Result = ();

    fn handle(&mut self, Reverse(stray, reply): Reverse, _: &mut Context<Self>) {
        let shared = Arc::clone(&self.0);
        self.0.tasks.spawn(async move {
            let outcome = shared.provider.reverse(&stray).await;
            drop(reply.send(outcome));
        });
    }
}

/// The way to a [`ProviderActor`] for everyone else.
#[derive(Clone, Debug)]
pub(crate) struct ProviderHandle(Supervised<ProviderActor>);

impl ProviderHandle {
    pub(crate) fn new(actor: Supervised<ProviderActor>) -> Self {
        Self(actor)
    }

    /// Never guesses: should the actor or the task be lost, the call may have been made.
    pub(crate) async fn call(&self, job: Job) -> Outcome {
        let (reply, outcome) = oneshot::channel();
        let _closed = self.0.addr().send(Ask(job, reply)).await;
        outcome.await.unwrap_or_else(|_dropped| lost())
    }

    /// Looks for what an operation may have made.
    pub(crate) async fn find(&self, inquiry: Inquiry) -> Found {
        self.look(inquiry, Question::Find).await
    }

    /// Asks how the object of that id stands.
    pub(crate) async fn inspect(&self, inquiry: Inquiry, reference: &str) -> Outcome {
        let question = Question::Inspect(reference.to_owned());
        match self.look(inquiry, question).await {
            Found::There(outcome) | Found::Unanswered(outcome) => outcome,
            Found::Absent => lost(),
        }
    }

    async fn look(&self, inquiry: Inquiry, question: Question) -> Found {
        let (reply, found) = oneshot::channel();
        let _closed = self.0.addr().send(Look(inquiry, question, reply)).await;
        let found = found.await;
        found.unwrap_or_else(|_dropped| Found::Unanswered(lost()))
    }

    /// Gives a stray charge back; doing it twice is doing it once.
    pub(crate) async fn reverse(&self, stray: Stray) -> Outcome {
        let (reply, outcome) = oneshot::channel();
        let _closed = self.0.addr().send(Reverse(stray, reply)).await;
        outcome.await.unwrap_or_else(|_dropped| lost())
    }
}

/// The attempts of one job, and what they have shown so far.
struct Attempts<'a> {
    shared: &'a ProviderShared,
    job: &'a Job,
    /// One attempt in doubt keeps the whole in doubt, until a definite answer.
    doubt: Option<InDoubt>,
    refused: Option<NotSent>,
}

impl<'a> Attempts<'a> {
    fn new(shared: &'a ProviderShared, job: &'a Job) -> Self {
        Self {
            shared,
            job,
            doubt: inherited(job),
            refused: None,
        }
    }

    async fn run(mut self) -> Outcome {
        let mut attempts = 0;
        for poll in 1..=POLLS_MAX {
            if let Err(reason) = self.may_begin() {
                self.refused.get_or_insert_with(|| withheld(reason));
                break;
            }
            let outcome = self.attempt().await;
            match outcome {
                Outcome::Approved(_) | Outcome::Declined(_) => return outcome,
                Outcome::NotSent(refused) => {
                    attempts += 1;
                    self.refused = Some(refused);
                }
                Outcome::InDoubt(doubt) => {
                    // Asking after what still runs is not another attempt at it.
                    let asks = [InDoubtReason::Unfinished, InDoubtReason::KeyInUse];
                    attempts += u32::from(!asks.contains(&doubt.reason));
                    self.doubt = Some(self.with_reference(doubt));
                }
            }
            let ends = self
                .doubt
                .as_ref()
                .is_some_and(|doubt| doubt.reason.ends_resending());
            if attempts >= ATTEMPTS_MAX || ends || !self.rest(poll).await {
                break;
            }
        }
        joined(self.doubt, self.refused)
    }

    /// One attempt: a question where the provider's object is known, the request itself otherwise.
    async fn attempt(&self) -> Outcome {
        let provider = &self.shared.provider;
        let reference = self
            .doubt
            .as_ref()
            .and_then(|doubt| doubt.reference.as_deref());
        let name = &provider.profile().name;
        let metrics = &self.shared.metrics.provider;
        let (_in_flight, started) = (metrics.call_begins(name), Instant::now());
        let outcome = match reference {
            Some(reference) => provider.inspect(&self.job.call, reference).await,
            None => {
                let first_attempt = self.doubt.is_none();
                let call = Call {
                    first_attempt,
                    ..self.job.call.clone()
                };
                provider.send(&call).await
            }
        };
        metrics.called(name, &outcome, started.elapsed());
        self.report(&outcome);
        outcome
    }

    fn may_begin(&self) -> Result<(), &'static str> {
        let now = Instant::now();
        let wall = self.shared.environment.now().as_micros();
        if self.shared.stopping.is_cancelled() {
            Err("the server is stopping")
        } else if !self.job.window.is_open(now, wall) {
            Err("the time in which a byte may be sent has passed")
        } else if now + self.shared.provider.profile().attempt_timeout > self.job.deadline {
            Err("an attempt could not end before the deadline")
        } else {
            Ok(())
        }
    }

    /// Waits before the next attempt; false when there is no time or reason for one.
    async fn rest(&self, poll: u32) -> bool {
        let asked = self
            .refused
            .as_ref()
            .and_then(|refused| refused.retry_after);
        let jittered = RETRY.wait(poll, self.shared.environment.random_fraction());
        let rest = jittered.max(asked.unwrap_or_default());
        if Instant::now() + rest >= self.job.deadline {
            return false;
        }
        tokio::select! {
            () = tokio::time::sleep(rest) => true,
            () = self.shared.stopping.cancelled() => false,
        }
    }

    /// A later doubt does not forget the object that an earlier one knew.
    fn with_reference(&self, doubt: InDoubt) -> InDoubt {
        let known = self
            .doubt
            .as_ref()
            .and_then(|earlier| earlier.reference.clone());
        InDoubt {
            reference: doubt.reference.or(known),
            ..doubt
        }
    }

    fn report(&self, outcome: &Outcome) {
        let provider = self.shared.provider.profile().name.as_str();
        let operation = self.job.call.expected.operation_id;
        match outcome {
            Outcome::Approved(_) | Outcome::Declined(_) => {
                info!(provider, %operation, outcome = outcome.kind(), "the provider answered");
            }
            Outcome::NotSent(NotSent {
                reason: NotSentReason::Unauthorized,
                detail,
                ..
            }) => {
                error!(provider, %operation, detail, "the provider refuses our secret");
            }
            Outcome::NotSent(NotSent { reason, detail, .. }) => {
                warn!(provider, %operation, reason = reason.as_str(), detail, "nothing was sent");
            }
            Outcome::InDoubt(InDoubt { reason, detail, .. }) if reason.is_alarming() => {
                error!(provider, %operation, reason = reason.as_str(), detail, "a person must look");
            }
            Outcome::InDoubt(InDoubt { reason, detail, .. }) => {
                warn!(provider, %operation, reason = reason.as_str(), detail, "in doubt");
            }
        }
    }
}

fn inherited(job: &Job) -> Option<InDoubt> {
    job.in_doubt.then(|| InDoubt {
        reason: InDoubtReason::CallLost,
        detail: "an earlier driver may have sent it".to_owned(),
        reference: job.reference.clone(),
    })
}

fn lost() -> Outcome {
    Outcome::InDoubt(InDoubt {
        reason: InDoubtReason::CallLost,
        detail: "the task that called the provider was lost".to_owned(),
        reference: None,
    })
}

fn withheld(reason: &str) -> NotSent {
    NotSent {
        reason: NotSentReason::Withheld,
        detail: reason.to_owned(),
        retry_after: None,
    }
}

/// The outcome of several attempts, none of them definite.
fn joined(doubt: Option<InDoubt>, refused: Option<NotSent>) -> Outcome {
    match (doubt, refused) {
        (Some(doubt), _) => Outcome::InDoubt(doubt),
        (None, Some(refused)) => Outcome::NotSent(refused),
        (None, None) => Outcome::NotSent(withheld("no attempt was made")),
    }
}
