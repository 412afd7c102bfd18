//! Questions about what is there already, and giving a stray charge back: through the same gate as
//! every call, and never definite unless the provider says so.

use std::sync::Arc;

use actix::{Context, Handler, Message};
use tokio::{sync::oneshot, time::Instant};

use super::{ProviderActor, ProviderHandle, ProviderShared, reply::lost};
use crate::{
    provider::{Call, Found, Outcome, SentBetween, Stray},
    resilience::Purpose,
};

/// A look for what an operation may have made, once sending is over.
#[derive(Clone, Debug)]
pub(crate) struct Inquiry {
    pub(crate) call: Call,
    pub(crate) sent: SentBetween,
    pub(crate) purpose: Purpose,
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
            let found = look(&shared, &inquiry, question).await;
            // An asker that no longer listens leaves the operation as it is.
            drop(reply.send(found));
        });
    }
}

async fn look(shared: &ProviderShared, inquiry: &Inquiry, question: Question) -> Found {
    let (provider, began) = (&shared.provider, Instant::now());
    let passage = match shared.gate.enter(inquiry.purpose, None, began) {
        Ok(passage) => passage,
        Err(refused) => return Found::Unanswered(Outcome::NotSent(refused)),
    };
    let (name, metrics) = (&provider.profile().name, &shared.metrics.provider);
    let _in_flight = metrics.call_begins(name);
    let found = match question {
        Question::Find => provider.find(&inquiry.call, inquiry.sent).await,
        Question::Inspect(reference) => {
            Found::There(provider.inspect(&inquiry.call, &reference).await)
        }
    };
    let ended = Instant::now();
    match &found {
        Found::There(outcome) | Found::Unanswered(outcome) => {
            metrics.called(name, outcome, ended.duration_since(began));
            passage.end(outcome, ended);
        }
        Found::Absent => passage.answered(ended),
    }
    found
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
            Found::Absent => lost(),
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
