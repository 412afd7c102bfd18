//! The attempts of one job. Start reading at [`Attempts::run`].

use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::{Job, ProviderShared, gate::Passage, reply::Footprint};
use crate::{
    provider::{Call, InDoubt, InDoubtReason, NotSent, NotSentReason, Outcome},
    resilience::{Backoff, Purpose},
};

/// Attempts that may reach the provider, per drive.
const ATTEMPTS_MAX: u32 = 3;
/// Times that an unfinished or running operation is asked after, per drive; each is free of risk.
const POLLS_MAX: u32 = 20;
const RETRY: Backoff = Backoff {
    base: Duration::from_millis(200),
    cap: Duration::from_secs(5),
};

/// The attempts of one job, and what they have shown so far.
pub(super) struct Attempts<'a> {
    shared: &'a ProviderShared,
    job: Job,
    footprint: Footprint,
    /// Whether this job has sent its request.
    sent: bool,
    /// One attempt in doubt keeps the whole in doubt, until a definite answer.
    doubt: Option<InDoubt>,
    refused: Option<NotSent>,
}

impl<'a> Attempts<'a> {
    pub(super) fn new(shared: &'a ProviderShared, job: Job, footprint: Footprint) -> Self {
        Self {
            shared,
            doubt: inherited(&job),
            job,
            footprint,
            sent: false,
            refused: None,
        }
    }

    pub(super) async fn run(mut self) -> Outcome {
        let mut attempts = 0;
        for poll in 1..=POLLS_MAX {
            let outcome = match self.admit() {
                Ok(passage) => self.attempt(passage).await,
                Err(refused) => {
                    let no_room = refused.reason == NotSentReason::NoRoom;
                    self.refuse(refused);
                    attempts += 1;
                    // Room comes by waiting; nothing else does so soon.
                    if no_room && attempts < ATTEMPTS_MAX && self.rest(poll).await {
                        continue;
                    }
                    break;
                }
            };
            match outcome {
                Outcome::Approved(_) | Outcome::Declined(_) => return outcome,
                Outcome::NotSent(refused) => {
                    attempts += 1;
                    self.refused = Some(refused);
                }
                Outcome::InDoubt(doubt) => {
                    // Asking after what still runs is not another attempt at it.
                    let asks = match doubt.reason {
                        InDoubtReason::KeyInUse => true,
                        InDoubtReason::Unfinished => self.job.call.kind.makes_an_object(),
                        _ => false,
                    };
                    attempts += u32::from(!asks);
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

    /// Everything that must be so before an attempt: time, room, a closed breaker, and for a request
    /// that goes out once more its price. What was taken is given back if the rest is missing.
    fn admit(&mut self) -> Result<Passage<'a>, NotSent> {
        let (shared, now) = (self.shared, Instant::now());
        self.may_begin(now).map_err(withheld)?;
        let room = self.job.room.take();
        let passage = shared.gate.enter(self.job.purpose, room, now)?;
        if self.reference().is_none() {
            if !self.sent && !self.job.in_doubt {
                shared.gate.first_call(now);
            } else if !shared.gate.may_send_again(self.job.purpose, now) {
                return Err(withheld("the retry budget is spent"));
            }
            self.sent = true;
        }
        Ok(passage)
    }

    /// One attempt: a question where the provider's object is known, the request itself otherwise.
    async fn attempt(&self, passage: Passage<'_>) -> Outcome {
        let provider = &self.shared.provider;
        let name = &provider.profile().name;
        let metrics = &self.shared.metrics.provider;
        let (_in_flight, started) = (metrics.call_begins(name), Instant::now());
        self.footprint.set();
        let outcome = match self.reference() {
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
        let ended = Instant::now();
        passage.end(&outcome, ended);
        metrics.called(name, &outcome, ended.duration_since(started));
        self.report(&outcome);
        outcome
    }

    /// The provider's object, once an attempt has shown it.
    fn reference(&self) -> Option<&str> {
        self.doubt.as_ref()?.reference.as_deref()
    }

    fn may_begin(&self, now: Instant) -> Result<(), &'static str> {
        let wall = self.shared.environment.now().as_micros();
        let attempt_timeout = self.shared.provider.profile().attempt_timeout;
        // A client that was let in before the stop is served; nothing is tried again for it.
        let is_first = self.job.purpose == Purpose::Client && !self.job.in_doubt && !self.sent;
        if self.shared.stopping.is_cancelled() && !is_first {
            Err("the server is stopping")
        } else if !self.job.window.borrow().is_open(now, wall) {
            Err("the time in which a byte may be sent has passed")
        } else if !self.job.deadline.allows(attempt_timeout, now) {
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
        if rest >= self.job.deadline.remaining(Instant::now()) {
            return false;
        }
        tokio::select! {
            () = tokio::time::sleep(rest) => true,
            () = self.shared.stopping.cancelled() => false,
        }
    }

    /// A later doubt does not forget the object that an earlier one knew. What is done to an object that
    /// was there before is sent again, whatever that object shows meanwhile.
    fn with_reference(&self, doubt: InDoubt) -> InDoubt {
        let known = self
            .doubt
            .as_ref()
            .and_then(|earlier| earlier.reference.clone());
        let reference = doubt.reference.or(known);
        InDoubt {
            reference: reference.filter(|_| self.job.call.kind.makes_an_object()),
            ..doubt
        }
    }

    /// Keeps that we did not send. What the provider itself showed before is the better evidence, and
    /// the breaker knows better when to come back.
    fn refuse(&mut self, refused: NotSent) {
        let provider = self.shared.provider.profile().name.as_str();
        let operation = self.job.call.expected.operation_id;
        // As many as there are requests: the breaker's transitions are what is worth a line.
        debug!(provider, %operation, reason = refused.reason.as_str(), "nothing is sent");
        self.refused = Some(match self.refused.take() {
            Some(earlier) => NotSent {
                retry_after: refused.retry_after.or(earlier.retry_after),
                ..earlier
            },
            None => refused,
        });
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
