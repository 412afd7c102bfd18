//! A drive: one operation from its intent to its answer. Start reading at [`drive`].
//!
//! It is a task of its own: neither the client nor an actor can take it down with them. What it
//! finds out it publishes as [`Progress`], for everyone who waits for the key.

use std::sync::Arc;

use tokio::{sync::watch, time::Instant};
use tracing::{error, warn};

use super::{
    db::NotBegun,
    follow::{Followed, follow},
    held::{Errand, Held, Moment, concluded},
    intent,
    order::{Order, Refusal, Request},
    system::{DriveContext, Route},
};
use crate::{
    lookups::SettledAnswer,
    payment::{
        Answer, Begun, CreatePayment, Fingerprint, FollowUp, Inadmissible, OperationState, Payment,
        Standing,
    },
    resilience::{LimiterPermit, Purpose},
    store::{ReadError, WriteError},
};

/// How far the drive of a key has come.
#[derive(Clone, Debug)]
pub(crate) enum Progress {
    /// The intent is not known to be committed.
    Starting,
    /// The operation is recorded and open, so that it may be shown.
    Recorded(Arc<Seen>),
    Done(Arc<Conclusion>),
}

/// How an operation stood when the store was asked for it, which was not before `since`. Whoever came
/// later than that may know better.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) standing: Standing,
    pub(crate) since: Instant,
}

#[derive(Debug)]
pub(crate) enum Conclusion {
    Settled {
        answer: Answer,
        /// Whether this drive inserted or took over the operation.
        driven: bool,
    },
    /// Certainly not sent: the client may come back with the same key.
    Released(Box<Seen>),
    /// Left to be settled by a later drive.
    InDoubt(Box<Seen>),
    /// This drive did not get as far as an operation of its own request.
    Refused(Refusal),
}

pub(crate) type Publisher = watch::Sender<Progress>;

/// How often an operation on all that is left is begun again because what is left has changed.
const BEGINS_MAX: u32 = 5;

/// Drives `order`'s operation as far as it goes, and publishes how far that is.
///
/// What is not with the store at `begin_by` is not begun: nobody would wait for its end.
pub(crate) async fn drive(
    context: Arc<DriveContext>,
    order: Arc<Order>,
    begin_by: Instant,
    publisher: Publisher,
) {
    let drive = Drive {
        context: &context,
        order: &order,
        begin_by,
        publisher: &publisher,
    };
    let conclusion = match &order.request {
        Request::Create(request) => drive.create(request).await,
        Request::FollowUp(request) => drive.follow_up(request).await,
    };
    let conclusion = conclusion.unwrap_or_else(Conclusion::Refused);
    if let Conclusion::Settled { answer, .. } = &conclusion {
        let fingerprint = Fingerprint::of(&order.canonical);
        let settled = SettledAnswer {
            fingerprint,
            answer: answer.clone(),
        };
        context.lookups.put(order.scope.clone(), settled);
    }
    publisher.send_replace(Progress::Done(Arc::new(conclusion)));
}

pub(super) struct Drive<'a> {
    pub(super) context: &'a DriveContext,
    pub(super) order: &'a Order,
    begin_by: Instant,
    publisher: &'a Publisher,
}

impl Drive<'_> {
    async fn create(&self, request: &CreatePayment) -> Result<Conclusion, Refusal> {
        let mode = self.order.scope.mode;
        let Some(route) = self.context.route_for(mode) else {
            // What was begun when there was one is replayed and settled all the same.
            let seen = self.seen().await?;
            return self.lost(seen.ok_or(Refusal::NoProvider(mode))?).await;
        };
        let room = route.actor.reserve().ok_or(Refusal::Overloaded)?;
        let (asked, begin_by) = (Moment::read(self.context), self.begin_by(route));
        let intent = intent::creation(self.context, self.order, request, route);
        let begun = self.context.db.begin(intent, begin_by).await;
        let standing = begun.map_err(refusal)?;
        if standing.applied {
            return Ok(self.held(standing, asked, Some(room)).await);
        }
        drop(room);
        let since = asked.monotonic;
        self.lost(Seen { standing, since }).await
    }

    async fn follow_up(&self, request: &FollowUp) -> Result<Conclusion, Refusal> {
        if let Some(seen) = self.seen().await? {
            return self.lost(seen).await;
        }
        for _ in 0..BEGINS_MAX {
            let payment = self.payment(request).await?;
            let route = self.route_of(&payment).await?;
            let room = route.actor.reserve().ok_or(Refusal::Overloaded)?;
            let asked = Moment::read(self.context);
            let intent = intent::follow_up(self.context, self.order, request, &payment, route);
            let begun = self
                .context
                .db
                .begin_follow_up(intent, self.begin_by(route))
                .await;
            match begun.map_err(refusal)? {
                Begun::Standing(standing) if standing.applied => {
                    return Ok(self.held(*standing, asked, Some(room)).await);
                }
                Begun::Standing(standing) => {
                    // Following another driver takes no call of ours.
                    drop(room);
                    let (standing, since) = (*standing, asked.monotonic);
                    return self.lost(Seen { standing, since }).await;
                }
                // Less is left than a moment ago.
                Begun::Inadmissible(Inadmissible::AmountExceeds { available, .. })
                    if request.amount.is_none() && available > 0 => {}
                Begun::Inadmissible(inadmissible) => {
                    return Err(Refusal::Inadmissible(Box::new(inadmissible)));
                }
            }
        }
        Err(Refusal::Overloaded)
    }

    /// The operation that the key stands for already.
    async fn seen(&self) -> Result<Option<Seen>, Refusal> {
        let scope = &self.order.scope;
        let (store, since) = (&self.context.store, Instant::now());
        let standing = store.operation(scope.merchant_id, scope.mode, &scope.key);
        let standing = standing.await.map_err(unread)?;
        Ok(standing.map(|standing| Seen { standing, since }))
    }

    async fn payment(&self, request: &FollowUp) -> Result<Payment, Refusal> {
        let scope = &self.order.scope;
        let store = &self.context.store;
        let payment = store.payment(scope.merchant_id, scope.mode, request.payment_id);
        let payment = payment.await.map_err(unread)?;
        payment.ok_or_else(|| Refusal::Inadmissible(Box::new(Inadmissible::NoSuchPayment)))
    }

    /// The route that the payment's creation took: another account would not know the payment.
    async fn route_of(&self, payment: &Payment) -> Result<&Route, Refusal> {
        let store = &self.context.store;
        let key = &payment.idempotency_key;
        let creation = store.operation(payment.merchant_id, payment.mode, key);
        let creation = creation.await.map_err(unread)?;
        let creation = creation.ok_or(Refusal::Internal)?;
        let route = self.context.route_of(&creation.operation.route);
        route.ok_or(Refusal::NoProvider(payment.mode))
    }

    /// The key belongs to an operation already: perhaps to this very one.
    async fn lost(&self, seen: Seen) -> Result<Conclusion, Refusal> {
        let operation = &seen.standing.operation;
        match operation.fingerprint.matches(&self.order.canonical) {
            Ok(true) => {}
            Ok(false) => return Err(Refusal::KeyReused),
            Err(newer) => {
                warn!(operation = %operation.id, %newer, "cannot compare a request");
                return Err(Refusal::OutcomeUnknown);
            }
        }
        if operation.state == OperationState::Open {
            self.record(&seen);
        }
        Ok(match follow(self, seen).await {
            Followed::Settled(answer) => Conclusion::Settled {
                answer,
                driven: false,
            },
            Followed::TakenOver(standing, asked) => self.held(*standing, asked, None).await,
            Followed::StillOpen(seen) => Conclusion::InDoubt(seen),
            Followed::StillReleased(seen) => Conclusion::Released(seen),
            Followed::Unknown => return Err(Refusal::OutcomeUnknown),
        })
    }

    /// Drives an operation that is ours since `asked`.
    async fn held(
        &self,
        standing: Standing,
        asked: Moment,
        room: Option<LimiterPermit>,
    ) -> Conclusion {
        let seen = Seen {
            standing: standing.clone(),
            since: asked.monotonic,
        };
        if standing.operation.state != OperationState::Open {
            return concluded(seen);
        }
        self.record(&seen);
        let errand = Errand {
            request_id: self.order.request_id,
            deadline: self.order.deadline,
            purpose: Purpose::Client,
        };
        let held = Held::new(self.context, errand, standing, asked).in_room(room);
        // Of its own on the heap: what it holds is large, and most who wait never get here.
        Box::pin(held.drive()).await
    }

    /// No attempt begins that could not end before the deadline; nor does work without an attempt.
    fn begin_by(&self, route: &Route) -> Instant {
        let attempt = route.provider.profile().attempt_timeout;
        let last_attempt = self.order.deadline.checked_sub(attempt);
        self.begin_by
            .min(last_attempt.unwrap_or(self.order.deadline))
    }

    fn record(&self, seen: &Seen) {
        self.publisher
            .send_replace(Progress::Recorded(Arc::new(seen.clone())));
    }
}

fn unread(error: ReadError) -> Refusal {
    warn!(%error, "an operation was not begun");
    Refusal::StoreUnavailable
}

fn refusal(error: NotBegun) -> Refusal {
    let error = match error {
        NotBegun::TurnedAway => return Refusal::Overloaded,
        NotBegun::Store(error) => error,
    };
    match error {
        WriteError::NotWritten(reason) => {
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
