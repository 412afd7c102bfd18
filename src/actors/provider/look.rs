//! Questions about what is there already, and giving a stray charge back: through the same gate as
//! every call, and never definite unless the provider says so.

use std::{sync::Arc, time::Duration};

use actix::{Context, Handler, Message};
use futures_util::FutureExt;
use tokio::{sync::oneshot, time::Instant};

use super::{ProviderActor, ProviderHandle, ProviderShared, reply::lost};
use crate::{
    provider::{
        Call, Found, InDoubtReason, NotSent, NotSentReason, Outcome, Search, SentBetween, Stray,
    },
    resilience::{Backoff, Deadline, Purpose},
};

/// Questions of one look: a hundred thousand objects, at a hundred a page. Whoever makes more than that
/// in the time of one operation gets no verdict from a list.
const QUESTIONS_MAX: u32 = 1_000;
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
    pub(crate) purpose: Purpose,
    /// No question begins that could not end before.
    pub(crate) deadline: Deadline,
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

/// Asks one question after the other until they tell. One that finds no answer is asked again: it is
/// harmless, but each time through the gate, and paid for like a request that is sent again.
pub(super) async fn find(shared: &ProviderShared, inquiry: &Inquiry) -> Found {
    let mut search = Search::new(inquiry.sent);
    let mut failures = 0;
    for _ in 0..QUESTIONS_MAX {
        let timeout = shared.provider.profile().attempt_timeout;
        if !inquiry.deadline.allows(timeout, Instant::now()) || shared.stopping.is_cancelled() {
            return withheld("there was no time for the next question");
        }
        let question = shared.provider.find(&inquiry.call, &mut search);
        let found = ask(shared, inquiry, question).await;
        match &found {
            Found::More => failures = 0,
            Found::Unanswered(why) if failures < FAILURES_MAX => {
                failures += 1;
                if !may_ask_again(shared, inquiry, why, failures).await {
                    return found;
                }
            }
            _ => return found,
        }
    }
    withheld("the list is too long")
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
    Found::Unanswered(Outcome::NotSent(NotSent {
        reason: NotSentReason::Withheld,
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
    /// Looks for what an operation may have made.
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
