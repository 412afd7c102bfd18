//! Questions about what is there already, and giving a stray charge back: through the same gate as
//! every call, and never definite unless the provider says so. Start reading at [`find`].

use std::{sync::Arc, time::Duration};

use actix::{Context, Handler, Message};
use futures_util::FutureExt;
use tokio::{sync::oneshot, time::Instant};

use super::{ProviderActor, ProviderHandle, ProviderShared, reply::lost, searches::Progress};
use crate::{
    payment::{
        Absence, Operation, OperationId, ProviderTerms, Timestamp, absence_counts_from,
        judge_absence,
    },
    provider::{Call, Found, InDoubtReason, NotSent, NotSentReason, Outcome, SentBetween, Stray},
    resilience::{Backoff, Deadline, Purpose},
};

/// Questions of a look that came too early for an absence to mean anything: the two thousand objects
/// that are nearest, at a hundred a page.
const NEAR_QUESTIONS_MAX: u32 = 20;
/// How often one question is asked again that found no answer.
const FAILURES_MAX: u32 = 5;
const AGAIN: Backoff = Backoff {
    base: Duration::from_millis(200),
    cap: Duration::from_secs(5),
};

/// A look for what an operation may have made, once sending is over.
#[derive(Clone, Debug)]
pub(crate) struct Inquiry {
    pub(crate) call: Call,
    pub(crate) sent: SentBetween,
    /// When the operation was found absent before: what was read until then is no evidence after it.
    pub(crate) absent_at: Option<Timestamp>,
    pub(crate) reach: Reach,
    pub(crate) purpose: Purpose,
    /// No question begins that could not end before.
    pub(crate) deadline: Deadline,
}

impl Inquiry {
    pub(super) fn operation_id(&self) -> OperationId {
        self.call.expected.operation_id
    }
}

/// How far a look goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// A few questions, the most promising first: an absence would mean nothing yet.
    Near,
    /// To the end, over as many looks as that takes: this one goes on where one of the same time stopped.
    Whole,
    /// As [`Self::Whole`], before an absence means something by itself: goes on in the time of the look
    /// that began it. Only for who barred sending and waited before that one, so that nothing was sent
    /// since.
    WholeSoFar,
}

impl Reach {
    /// How far a driver looks at `now`: all is read only when an absence tells, and, since that takes long,
    /// not before it is known of the operation that it can only be found.
    pub(crate) fn of(operation: &Operation, terms: ProviderTerms, now: Timestamp) -> Self {
        let is_early = now < absence_counts_from(operation, terms);
        match judge_absence(operation, terms, now) {
            _ if is_early || !operation.can_only_be_found() => Self::Near,
            Absence::MeansNothing { .. } => Self::Near,
            Absence::OperatorOnly if operation.absent_at.is_some() => Self::Near,
            Absence::First { .. } | Absence::Settles | Absence::OperatorOnly => Self::Whole,
        }
    }
}

#[derive(Clone, Debug)]
enum Question {
    /// What became of the object of this id.
    Inspect(String),
    /// Whether there is anything of the operation.
    Find,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Look(Inquiry, Question, oneshot::Sender<Found>);

impl Handler<Look> for ProviderActor {
    type Result = ();

    fn handle(&mut self, Look(inquiry, question, reply): Look, _: &mut Context<Self>) {
        let shared = Arc::clone(&self.0);
        self.0.tasks.spawn(async move {
            let found = match question {
                Question::Find => find(&shared, &inquiry).await,
                Question::Inspect(reference) => inspect(&shared, &inquiry, &reference).await,
            };
            // An asker that no longer listens leaves the operation as it is.
            drop(reply.send(found));
        });
    }
}

async fn inspect(shared: &ProviderShared, inquiry: &Inquiry, reference: &str) -> Found {
    let inspecting = shared.provider.inspect(&inquiry.call, reference);
    ask(shared, inquiry, inspecting.map(Found::There)).await
}

/// Asks one question after the other until they tell; [`Found::More`] if there were more to ask. What a
/// look did not come to, the next one of the same search goes on with.
pub(super) async fn find(shared: &ProviderShared, inquiry: &Inquiry) -> Found {
    let mut progress = shared.searches.go_on(inquiry);
    let found = go_on(shared, inquiry, &mut progress).await;
    match &found {
        Found::There(_) | Found::Absent => shared.searches.end(inquiry),
        Found::More => shared.searches.keep(inquiry, progress, Instant::now()),
        Found::Unanswered(why) if !is_refusal(why) => {
            shared.searches.keep(inquiry, progress, Instant::now());
        }
        Found::Unanswered(_) => shared.searches.end(inquiry),
    }
    found
}

/// One that finds no answer is asked again: it is harmless, but each time through the gate, and paid for
/// like a request that is sent again.
async fn go_on(shared: &ProviderShared, inquiry: &Inquiry, progress: &mut Progress) -> Found {
    let answered_before = progress.answered;
    let mut failures = 0;
    while !progress.is_without_end() {
        let answered = progress.answered - answered_before;
        // Where something of it was met, the rest may tell what that means.
        let is_enough = inquiry.reach == Reach::Near && !progress.search.has_met();
        if is_enough && answered >= NEAR_QUESTIONS_MAX {
            return Found::More;
        }
        let timeout = shared.provider.profile().attempt_timeout;
        if !inquiry.deadline.allows(timeout, Instant::now()) || shared.stopping.is_cancelled() {
            return match answered {
                0 => withheld("there was no time for a question"),
                _ => Found::More,
            };
        }
        let found = if inquiry.purpose == Purpose::Settling && !shared.gate.has_room_to_search() {
            refused(NotSentReason::NoRoom, "too many questions are under way")
        } else {
            let question = shared.provider.find(&inquiry.call, &mut progress.search);
            ask(shared, inquiry, question).await
        };
        match &found {
            Found::More => {
                progress.answered += 1;
                failures = 0;
            }
            Found::Unanswered(why) if failures < FAILURES_MAX => {
                failures += 1;
                if !may_ask_again(shared, inquiry, why, failures).await {
                    return found;
                }
            }
            _ => return found,
        }
    }
    withheld("the list is without end")
}

/// Whether the provider refused the question in its own words: the place that the search had come to
/// may be nothing to it.
fn is_refusal(why: &Outcome) -> bool {
    matches!(why, Outcome::InDoubt(doubt) if doubt.reason == InDoubtReason::Unfinished)
}

/// Waits, if the question is worth asking again and is paid for.
async fn may_ask_again(
    shared: &ProviderShared,
    inquiry: &Inquiry,
    why: &Outcome,
    failures: u32,
) -> bool {
    let (was_sent, asked_for) = match why {
        Outcome::NotSent(refused) => match refused.reason {
            NotSentReason::NoRoom => (false, None),
            NotSentReason::ConnectFailed | NotSentReason::RateLimited => {
                (true, refused.retry_after)
            }
            _ => return false,
        },
        Outcome::InDoubt(doubt) => match doubt.reason {
            InDoubtReason::Timeout | InDoubtReason::ConnectionLost | InDoubtReason::ServerError => {
                (true, None)
            }
            _ => return false,
        },
        Outcome::Approved(_) | Outcome::Declined(_) => return false,
    };
    let now = Instant::now();
    let jittered = AGAIN.wait(failures, shared.environment.random_fraction());
    let rest = jittered.max(asked_for.unwrap_or_default());
    if rest >= inquiry.deadline.remaining(now)
        || (was_sent && !shared.gate.may_send_again(inquiry.purpose, now))
    {
        return false;
    }
    tokio::time::sleep(rest).await;
    true
}

/// One question, through the gate.
async fn ask(
    shared: &ProviderShared,
    inquiry: &Inquiry,
    question: impl Future<Output = Found>,
) -> Found {
    let began = Instant::now();
    let passage = match shared.gate.enter(inquiry.purpose, None, began) {
        Ok(passage) => passage,
        Err(refused) => return Found::Unanswered(Outcome::NotSent(refused)),
    };
    let (name, metrics) = (&shared.provider.profile().name, &shared.metrics.provider);
    let _in_flight = metrics.call_begins(name);
    let found = question.await;
    let ended = Instant::now();
    match &found {
        Found::There(outcome) | Found::Unanswered(outcome) => {
            metrics.called(name, outcome, ended.duration_since(began));
            passage.end(outcome, ended);
        }
        Found::Absent | Found::More => passage.answered(ended),
    }
    found
}

fn withheld(detail: &str) -> Found {
    refused(NotSentReason::Withheld, detail)
}

fn refused(reason: NotSentReason, detail: &str) -> Found {
    Found::Unanswered(Outcome::NotSent(NotSent {
        reason,
        detail: detail.to_owned(),
        retry_after: None,
    }))
}

#[derive(Message)]
#[rtype(result = "()")]
struct Reverse(Stray, oneshot::Sender<Outcome>);

impl Handler<Reverse> for ProviderActor {
    type Result = ();

    fn handle(&mut self, Reverse(stray, reply): Reverse, _: &mut Context<Self>) {
        let shared = Arc::clone(&self.0);
        self.0.tasks.spawn(async move {
            let began = Instant::now();
            let outcome = match shared.gate.enter(Purpose::Settling, None, began) {
                Ok(passage) => {
                    let outcome = shared.provider.reverse(&stray).await;
                    passage.end(&outcome, Instant::now());
                    outcome
                }
                Err(refused) => Outcome::NotSent(refused),
            };
            drop(reply.send(outcome));
        });
    }
}

impl ProviderHandle {
    /// Looks for what an operation may have made; [`Found::More`] if the look ended before its list.
    pub(crate) async fn find(&self, inquiry: Inquiry) -> Found {
        self.look(inquiry, Question::Find).await
    }

    /// Asks how the object of that id stands.
    pub(crate) async fn inspect(&self, inquiry: Inquiry, reference: &str) -> Outcome {
        let question = Question::Inspect(reference.to_owned());
        match self.look(inquiry, question).await {
            Found::There(outcome) | Found::Unanswered(outcome) => outcome,
            Found::Absent | Found::More => lost(),
        }
    }

    async fn look(&self, inquiry: Inquiry, question: Question) -> Found {
        let (reply, found) = oneshot::channel();
        // A closed mailbox drops the reply, which says that nobody knows.
        let _closed = self.actor.addr().send(Look(inquiry, question, reply)).await;
        let found = found.await;
        found.unwrap_or_else(|_dropped| Found::Unanswered(lost()))
    }

    /// Gives a stray charge back; doing it twice is doing it once.
    pub(crate) async fn reverse(&self, stray: Stray) -> Outcome {
        let (reply, outcome) = oneshot::channel();
        let _closed = self.actor.addr().send(Reverse(stray, reply)).await;
        outcome.await.unwrap_or_else(|_dropped| lost())
    }
}
