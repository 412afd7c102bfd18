//! The way into the actors for everyone outside: ask for a payment, wait for its answer.

use std::{
    fmt,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{oneshot, watch},
    time::{Instant, timeout_at},
};
use tracing::warn;

use super::{
    Providers, Supervised,
    drive::{Conclusion, Progress, Seen},
    front_door::FrontDoor,
    key::{Join, Joined},
    key_router::KeyRouter,
    order::{Order, Patience, Refusal, Reply},
    system::DriveContext,
};
use crate::payment::{OperationState, PaymentView, Resource, Scope, Standing};

/// The payments of this process. Cheap to clone.
#[derive(Clone)]
pub struct Payments {
    pub(super) context: Arc<DriveContext>,
    pub(super) shards: Arc<[Supervised<KeyRouter>]>,
    pub(super) front_door: Arc<FrontDoor>,
}

impl fmt::Debug for Payments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payments")
            .field("shards", &self.shards.len())
            .finish_non_exhaustive()
    }
}

impl Payments {
    /// The providers that payments go to.
    pub fn providers(&self) -> Providers {
        Providers::new(Arc::clone(&self.context))
    }

    /// When an operation that is asked for now must have an answer.
    pub fn deadline(&self) -> Instant {
        Instant::now() + self.context.settings.deadline
    }

    /// Begins the operation of `order`, or finds the one that its key stands for, and waits for its
    /// definite answer as long as `patience` allows. Dropping the future changes nothing for the
    /// payment.
    ///
    /// # Errors
    /// [`Refusal`], which says what is known of the operation.
    pub async fn submit(&self, order: Order, patience: Patience) -> Result<Reply, Refusal> {
        if let Some(settled) = self.context.lookups.get(&order.scope).await {
            return match settled.fingerprint.matches(&order.canonical) {
                Ok(true) => Ok(Reply::Settled {
                    answer: settled.answer,
                    replayed: true,
                }),
                Ok(false) => Err(Refusal::KeyReused),
                Err(newer) => {
                    warn!(%newer, "cannot compare a request");
                    Err(Refusal::OutcomeUnknown)
                }
            };
        }
        let seat = Arc::new(self.front_door.admit(&order.scope)?);
        let scope = order.scope.clone();
        let (now, deadline) = (Instant::now(), order.deadline);
        let until = patience.until(now, deadline);
        let (reply, joined) = oneshot::channel();
        let join = Join {
            begin_by: begin_by(now, until, deadline).min(now + self.context.settings.queue_wait),
            order: Arc::new(order),
            seat: Arc::clone(&seat),
            reply,
        };
        let answered = match self.join(join, joined, deadline).await {
            Ok(joined) => match joined.wait(until, deadline).await {
                Ok(Heard::Of(seen)) if seen.since < now => self.look(&scope, deadline).await,
                Ok(Heard::Of(seen)) => Ok(shown(&seen.standing)),
                Ok(Heard::Settled(reply)) => Ok(reply),
                Err(refusal) => Err(refusal),
            },
            Err(refusal) => Err(refusal),
        };
        if matches!(answered, Err(Refusal::Overloaded)) {
            self.front_door.turned_back();
        }
        drop(seat);
        answered
    }

    /// How the operation stands now. Who joined a drive under way must not be told how it stood before he
    /// came: another server may have settled it meanwhile, and he may know.
    async fn look(&self, scope: &Scope, deadline: Instant) -> Result<Reply, Refusal> {
        let store = &self.context.store;
        let reading = store.operation(scope.merchant_id, scope.mode, &scope.key);
        let Ok(Ok(Some(mut standing))) = timeout_at(deadline + GRACE, reading).await else {
            return Err(unknown("the store did not tell how it stands now"));
        };
        Ok(match standing.operation.answer.take() {
            Some(answer) => Reply::Settled {
                answer,
                replayed: true,
            },
            None => shown(&standing),
        })
    }

    /// The seconds over which to spread the clients that are told to come again, by the load.
    pub fn retry_span_s(&self) -> u32 {
        self.front_door.retry_span_s()
    }

    /// Brings the metrics up to date that say how things are now.
    pub fn observe(&self) {
        let in_flight = self.front_door.in_flight();
        self.context.metrics.admission.in_flight(in_flight);
    }

    async fn join(
        &self,
        join: Join,
        mut joined: Reservation,
        deadline: Instant,
    ) -> Result<Joined, Refusal> {
        let Some(shard) = self.shard(&join.order.scope) else {
            return Err(Refusal::Internal);
        };
        let router = shard.addr();
        let seated = async {
            // A router that was lost with the message drops the reservation, which says so.
            let _closed = router.send(join).await;
            (&mut joined).await
        };
        if let Ok(seated) = timeout_at(deadline + GRACE, seated).await {
            return seated.unwrap_or_else(|_lost| Err(unknown("the key's router was lost")));
        }
        // Another request under the key has kept it waiting. No drive starts without telling
        // the one who asked: once that way is closed, certainly nothing is begun for this request.
        joined.close();
        joined.try_recv().unwrap_or(Err(Refusal::Overloaded))
    }

    fn shard(&self, scope: &Scope) -> Option<&Supervised<KeyRouter>> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(scope);
        let index = hash.checked_rem(self.shards.len() as u64)?;
        self.shards.get(usize::try_from(index).ok()?)
    }
}

type Reservation = oneshot::Receiver<Result<Joined, Refusal>>;

impl Patience {
    /// When the client wants to hear how things stand.
    fn until(self, now: Instant, deadline: Instant) -> Instant {
        match self {
            Self::UntilTheDeadline => deadline,
            Self::AtMost(wait) => now.checked_add(wait).unwrap_or(deadline).min(deadline),
        }
    }
}

/// Up to when it is of use to begin: as long as the client waits, unless it does not wait anyway.
fn begin_by(now: Instant, until: Instant, deadline: Instant) -> Instant {
    if until > now { until } else { deadline }
}

/// How much longer than an operation's deadline a client waits to hear that it was reached.
const GRACE: Duration = Duration::from_secs(1);

/// What a drive tells those who wait for it.
enum Heard {
    Settled(Reply),
    /// It is not settled as far as that was seen.
    Of(Box<Seen>),
}

impl Joined {
    async fn wait(mut self, until: Instant, deadline: Instant) -> Result<Heard, Refusal> {
        let started = self.started;
        match timeout_at(until, done(&mut self.progress)).await {
            Ok(Some(conclusion)) => concluded(&conclusion, started),
            Ok(None) => Err(unknown("its drive was lost")),
            Err(_elapsed) => {
                // No `202` before the intent is committed.
                let recorded = self
                    .progress
                    .wait_for(|now| !matches!(now, Progress::Starting));
                match timeout_at(deadline + GRACE, recorded)
                    .await
                    .map(|now| now.map(|now| now.clone()))
                {
                    Ok(Ok(Progress::Recorded(seen))) => Ok(Heard::Of(Box::new(Seen::clone(&seen)))),
                    Ok(Ok(Progress::Done(conclusion))) => concluded(&conclusion, started),
                    Ok(Ok(Progress::Starting) | Err(_)) => Err(unknown("its drive was lost")),
                    Err(_elapsed) => Err(unknown("the store did not answer before the deadline")),
                }
            }
        }
    }
}

/// The conclusion; `None` when the drive was lost.
async fn done(progress: &mut watch::Receiver<Progress>) -> Option<Arc<Conclusion>> {
    let now = progress
        .wait_for(|now| matches!(now, Progress::Done(_)))
        .await
        .ok()?;
    match &*now {
        Progress::Done(conclusion) => Some(Arc::clone(conclusion)),
        Progress::Starting | Progress::Recorded(_) => None,
    }
}

fn concluded(conclusion: &Conclusion, started: bool) -> Result<Heard, Refusal> {
    match conclusion {
        Conclusion::Settled { answer, driven } => Ok(Heard::Settled(Reply::Settled {
            answer: answer.clone(),
            replayed: !(started && *driven),
        })),
        Conclusion::Released(seen) | Conclusion::InDoubt(seen) => Ok(Heard::Of(seen.clone())),
        Conclusion::Refused(refusal) => Err(refusal.clone()),
    }
}

/// Says why a client is told that nobody knows: of all answers it is the one that needs a reason.
fn unknown(reason: &'static str) -> Refusal {
    warn!(reason, "an intent may have been recorded");
    Refusal::OutcomeUnknown
}

/// An operation that is not settled.
fn shown(standing: &Standing) -> Reply {
    if standing.operation.state == OperationState::Released {
        return Reply::Pending(Box::new(PaymentView::of(&standing.payment)));
    }
    let resource = Resource::of(&standing.operation, &standing.payment);
    Reply::Processing(Box::new(resource))
}
