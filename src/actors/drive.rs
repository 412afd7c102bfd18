//! A drive: one operation from its intent to its answer. Start reading at [`drive`].
//!
//! It is a task of its own: neither the client nor an actor can take it down with them. What it
//! finds out it publishes as [`Progress`], for everyone who waits for the key.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use tracing::{error, warn};

use super::{
    Order, Refusal,
    follow::{Followed, follow},
    provider::Job,
    system::{DriveContext, Route},
};
use crate::{
    lookups::SettledAnswer,
    payment::{
        Answer, Change, Fingerprint, NewOperation, Operation, OperationChange, OperationKind,
        OperationState, Origin, Payment, ProviderRoute, Standing, Verdict,
    },
    provider::{AuthorizeCall, Expected, Outcome, provider_key},
    resilience::{Backoff, Deadline, LimiterPermit, Purpose, SendWindow},
    store::WriteError,
};

/// How far the drive of a key has come.
#[derive(Clone, Debug)]
pub(crate) enum Progress {
    /// The intent is not known to be committed.
    Starting,
    /// The operation is recorded, so that its payment may be shown.
    Recorded(Arc<Payment>),
    Done(Arc<Conclusion>),
}

#[derive(Debug)]
pub(crate) enum Conclusion {
    Settled {
        answer: Answer,
        /// Whether this drive inserted or took over the operation.
        driven: bool,
    },
    /// Certainly not sent: the client may come back with the same key.
    Released(Payment),
    /// Left to be settled by a later drive.
    InDoubt(Payment),
    /// This drive did not get as far as an operation of its own request.
    Refused(Refusal),
}

pub(crate) type Publisher = watch::Sender<Progress>;

/// Between repeated commits of an outcome that the store did not take.
const SETTLE_AGAIN: Backoff = Backoff {
    base: Duration::from_millis(100),
    cap: Duration::from_secs(5),
};
/// After about a quarter of an hour the outcome is left to be found again at the provider.
const SETTLE_TRIES_MAX: u32 = 200;

/// Drives `order`'s operation as far as it goes, and publishes how far that is.
pub(crate) async fn drive(context: Arc<DriveContext>, order: Arc<Order>, publisher: Publisher) {
    let conclusion = Drive {
        context: &context,
        order: &order,
        publisher: &publisher,
    }
    .run()
    .await;
    if let Conclusion::Settled { answer, .. } = &conclusion {
        let fingerprint = Fingerprint::of(&order.canonical);
        let settled = SettledAnswer {
            fingerprint,
            answer: answer.clone(),
        };
        context.lookups.put(order.scope.clone(), settled).await;
    }
    publisher.send_replace(Progress::Done(Arc::new(conclusion)));
}

pub(super) struct Drive<'a> {
    pub(super) context: &'a DriveContext,
    pub(super) order: &'a Order,
    publisher: &'a Publisher,
}

impl Drive<'_> {
    async fn run(&self) -> Conclusion {
        let Some(route) = self.context.route_for(self.order.scope.mode) else {
            return Conclusion::Refused(Refusal::NoProvider(self.order.scope.mode));
        };
        let Some(room) = route.actor.reserve() else {
            return Conclusion::Refused(Refusal::Overloaded);
        };
        let asked = self.moment();
        let standing = match self.context.db.begin(self.intent(route)).await {
            Ok(standing) => standing,
            Err(error) => return Conclusion::Refused(refusal(error)),
        };
        if standing.applied {
            return self.send(standing, asked, Some(room)).await;
        }
        drop(room);
        match standing
            .operation
            .fingerprint
            .matches(&self.order.canonical)
        {
            Ok(true) => {}
            Ok(false) => return Conclusion::Refused(Refusal::KeyReused),
            Err(newer) => {
                warn!(operation = %standing.operation.id, %newer, "cannot compare a request");
                return Conclusion::Refused(Refusal::OutcomeUnknown);
            }
        }
        self.record(&standing.payment);
        match follow(self, standing).await {
            Followed::Settled(answer) => Conclusion::Settled {
                answer,
                driven: false,
            },
            Followed::TakenOver(standing, asked) => self.send(*standing, asked, None).await,
            Followed::StillOpen(payment) => Conclusion::InDoubt(*payment),
        }
    }

    /// Both clocks, read before a lease is asked for, so that what is counted from here ends early
    /// rather than late.
    pub(super) fn moment(&self) -> (Instant, i64) {
        (Instant::now(), self.context.environment.now().as_micros())
    }

    fn record(&self, payment: &Payment) {
        self.publisher
            .send_replace(Progress::Recorded(Arc::new(payment.clone())));
    }

    fn intent(&self, route: &Route) -> NewOperation {
        let (environment, order) = (&self.context.environment, self.order);
        let (now, profile) = (environment.now(), route.provider.profile());
        let scope = &order.scope;
        let payment = Payment::new(
            order.request.clone(),
            Origin {
                id: environment.new_id(),
                merchant_id: scope.merchant_id,
                mode: scope.mode,
                idempotency_key: scope.key.clone(),
                provider: profile.name.clone(),
                created_at: now,
            },
        );
        let id = environment.new_id();
        let kind = OperationKind::Create;
        let route = ProviderRoute {
            provider: profile.name.clone(),
            account: profile.account.clone(),
            api_version: profile.api_version.clone(),
            key: provider_key(
                scope.merchant_id,
                scope.mode,
                &scope.key,
                kind,
                &profile.name,
            ),
            request: route.provider.prepare(&payment, id),
        };
        let operation = Operation {
            id,
            payment_id: payment.id,
            merchant_id: scope.merchant_id,
            mode: scope.mode,
            idempotency_key: scope.key.clone(),
            kind,
            fingerprint: Fingerprint::of(&order.canonical),
            request_id: order.request_id,
            state: OperationState::Open,
            epoch: 1,
            owner: environment.new_owner(),
            lease_until: now,
            route,
            first_sent_at: now,
            in_doubt: false,
            amount_reserved: 0,
            answer: None,
            stray_reference: None,
            recovery_tries: 0,
            next_recovery_at: now,
            created_at: now,
        };
        NewOperation {
            operation,
            payment,
            lease: self.context.settings.lease,
        }
    }

    /// Calls the provider for an operation that this drive holds since `asked`, and settles it.
    async fn send(
        &self,
        standing: Standing,
        asked: (Instant, i64),
        room: Option<LimiterPermit>,
    ) -> Conclusion {
        self.record(&standing.payment);
        let operation = &standing.operation;
        let Some(route) = self.context.route_of(&operation.route) else {
            error!(
                operation = %operation.id,
                provider = operation.route.provider,
                "the operation belongs to a provider or an account that is not configured"
            );
            let reason = "its provider is not configured";
            return match operation.in_doubt {
                true => self.leave_in_doubt(&standing, reason).await,
                false => self.release(&standing, reason).await,
            };
        };
        let profile = route.provider.profile();
        let sendable = operation.lease_until.minus(profile.attempt_timeout).min(
            operation
                .first_sent_at
                .plus(profile.key_retention)
                .minus(margin(profile.key_retention)),
        );
        let job = Job {
            call: AuthorizeCall {
                key: operation.route.key.clone(),
                request: operation.route.request.clone(),
                expected: Expected {
                    operation_id: operation.id,
                    payment_id: operation.payment_id,
                    money: standing.payment.money,
                },
                first_attempt: !operation.in_doubt,
                request_id: self.order.request_id,
            },
            purpose: Purpose::Client,
            in_doubt: operation.in_doubt,
            window: SendWindow::opened(asked.0, asked.1, sendable.since(standing.now)),
            deadline: Deadline::at(self.order.deadline),
            room,
        };
        match route.actor.call(job).await {
            Outcome::Approved(approval) => {
                self.settle(&standing, Verdict::Approved(approval)).await
            }
            Outcome::Declined(decline) => self.settle(&standing, Verdict::Declined(decline)).await,
            Outcome::NotSent(refused) => self.release(&standing, refused.reason.as_str()).await,
            Outcome::InDoubt(doubt) => self.leave_in_doubt(&standing, doubt.reason.as_str()).await,
        }
    }

    /// Commits a definite answer. It is true whatever becomes of us, so it is tried for long; the
    /// clients that wait get `202` meanwhile.
    async fn settle(&self, standing: &Standing, verdict: Verdict) -> Conclusion {
        let change = Change::Settle(verdict);
        for attempt in 1..=SETTLE_TRIES_MAX {
            match self.change(standing, change.clone()).await {
                Ok(standing) => return concluded(standing),
                Err(WriteError::Rejected(reason)) => {
                    error!(operation = %standing.operation.id, reason, "an outcome cannot be kept");
                    break;
                }
                Err(error) => {
                    warn!(operation = %standing.operation.id, attempt, %error, "an outcome waits");
                    let chance = self.context.environment.random_fraction();
                    sleep(SETTLE_AGAIN.wait(attempt, chance)).await;
                }
            }
        }
        Conclusion::InDoubt(standing.payment.clone())
    }

    async fn release(&self, standing: &Standing, reason: &str) -> Conclusion {
        let change = Change::Release {
            reason: reason.to_owned(),
        };
        self.ended(standing, self.change(standing, change).await)
    }

    async fn leave_in_doubt(&self, standing: &Standing, reason: &str) -> Conclusion {
        let change = Change::LeaveInDoubt {
            reason: reason.to_owned(),
        };
        self.ended(standing, self.change(standing, change).await)
    }

    /// What stands after a change that ends the drive without an outcome. When even that could not
    /// be written, the lease runs out by itself, and the next driver starts in doubt.
    fn ended(&self, held: &Standing, after: Result<Standing, WriteError>) -> Conclusion {
        match after {
            Ok(standing) => concluded(standing),
            Err(error) => {
                warn!(operation = %held.operation.id, %error, "the lease is left to run out");
                Conclusion::InDoubt(held.payment.clone())
            }
        }
    }

    async fn change(&self, held: &Standing, change: Change) -> Result<Standing, WriteError> {
        let change = OperationChange {
            operation_id: held.operation.id,
            epoch: held.operation.epoch,
            change,
            at: self.context.environment.now(),
        };
        self.context.db.change(change).await
    }
}

/// The conclusion that the rows allow, whoever wrote them.
fn concluded(standing: Standing) -> Conclusion {
    if let Some(reference) = &standing.operation.stray_reference {
        let operation = standing.operation.id;
        error!(%operation, reference, "money moved for a payment that had ended: a person must look");
    }
    match (standing.operation.state, standing.operation.answer) {
        (OperationState::Settled, Some(answer)) => Conclusion::Settled {
            answer,
            driven: true,
        },
        (OperationState::Released, _) => Conclusion::Released(standing.payment),
        _ => Conclusion::InDoubt(standing.payment),
    }
}

fn refusal(error: WriteError) -> Refusal {
    match error {
        WriteError::NotAttempted(reason) => {
            warn!(reason, "an intent was not recorded");
            Refusal::StoreUnavailable
        }
        WriteError::Unknown(reason) => {
            warn!(reason, "an intent may have been recorded");
            Refusal::OutcomeUnknown
        }
        WriteError::Rejected(reason) => {
            error!(reason, "the database refuses an intent");
            Refusal::Internal
        }
    }
}

/// How long before the provider may forget a key we stop sending under it: one hour, or a quarter
/// of a retention too short for that.
fn margin(key_retention: Duration) -> Duration {
    Duration::from_secs(3_600).min(key_retention / 4)
}
