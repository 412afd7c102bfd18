//! The way into the actors for everyone outside: ask for a payment, wait for its answer.

use std::{
    fmt,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{Semaphore, oneshot, watch},
    time::{Instant, timeout_at},
};

use super::{
    Providers, Supervised,
    drive::{Conclusion, Progress},
    key::{Join, Joined},
    key_router::KeyRouter,
    system::DriveContext,
};
use crate::payment::{Answer, Canonical, CreatePayment, Mode, PaymentView, RequestId, Scope};

/// One request for a payment, on its way through the actors.
#[derive(Debug)]
pub struct Order {
    pub scope: Scope,
    pub request: CreatePayment,
    pub canonical: Canonical,
    pub request_id: RequestId,
    /// When the operation must have an answer, however little that says.
    pub deadline: Instant,
}

/// How long a client waits for a definite answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    UntilTheDeadline,
    AtMost(Duration),
}

/// The answer to a request that names an operation.
#[derive(Debug)]
pub enum Reply {
    Settled {
        answer: Answer,
        /// Whether the operation had been begun by another request.
        replayed: bool,
    },
    /// Recorded, and not settled yet.
    Processing(Box<PaymentView>),
    /// Certainly not charged: the key may be used again for the same request.
    Pending(Box<PaymentView>),
}

/// Why a request got no answer of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the key belongs to another request")]
    KeyReused,
    #[error("more work than this server takes")]
    Overloaded,
    #[error("no provider is configured for {0} payments")]
    NoProvider(Mode),
    #[error("the store was not reached")]
    StoreUnavailable,
    #[error("the request may have been recorded")]
    OutcomeUnknown,
    #[error("a defect of this server")]
    Internal,
}

/// The payments of this process. Cheap to clone.
#[derive(Clone)]
pub struct Payments {
    pub(super) context: Arc<DriveContext>,
    pub(super) shards: Arc<[Supervised<KeyRouter>]>,
    /// One permit for each request that waits and each drive that runs.
    pub(super) admission: Arc<Semaphore>,
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

    /// Makes the payment of `order`, or finds the one that its key stands for, and waits for its
    /// definite answer as long as `patience` allows. Dropping the future changes nothing for the
    /// payment.
    ///
    /// # Errors
    /// [`Refusal`], which says what is known of the operation.
    pub async fn create(&self, order: Order, patience: Patience) -> Result<Reply, Refusal> {
        if let Some(settled) = self.context.lookups.get(&order.scope).await {
            return match settled.fingerprint.matches(&order.canonical) {
                Ok(true) => Ok(Reply::Settled {
                    answer: settled.answer,
                    replayed: true,
                }),
                Ok(false) => Err(Refusal::KeyReused),
                Err(_newer) => Err(Refusal::OutcomeUnknown),
            };
        }
        let permit = Arc::clone(&self.admission)
            .try_acquire_owned()
            .map_err(|_no_room| Refusal::Overloaded)?;
        let permit = Arc::new(permit);
        let deadline = order.deadline;
        let until = match patience {
            Patience::UntilTheDeadline => deadline,
            Patience::AtMost(wait) => deadline.min(Instant::now() + wait),
        };
        let order = Arc::new(order);
        let joined = self.join(Join::new(&order, &permit)).await?;
        joined.wait(until, deadline).await
    }

    async fn join(&self, (join, seat): (Join, Seat)) -> Result<Joined, Refusal> {
        let Some(shard) = self.shard(&join.order.scope) else {
            return Err(Refusal::Internal);
        };
        // A router that was lost with the message drops the seat, which says so.
        let _closed = shard.addr().send(join).await;
        seat.await.unwrap_or(Err(Refusal::OutcomeUnknown))
    }

    fn shard(&self, scope: &Scope) -> Option<&Supervised<KeyRouter>> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(scope);
        let index = hash.checked_rem(self.shards.len() as u64)?;
        self.shards.get(usize::try_from(index).ok()?)
    }
}

type Seat = oneshot::Receiver<Result<Joined, Refusal>>;

impl Join {
    fn new(order: &Arc<Order>, permit: &Arc<tokio::sync::OwnedSemaphorePermit>) -> (Self, Seat) {
        let (reply, seat) = oneshot::channel();
        (
            Self {
                order: Arc::clone(order),
                permit: Arc::clone(permit),
                reply,
            },
            seat,
        )
    }
}

/// How much longer than an operation's deadline a client waits to hear that it was reached.
const GRACE: Duration = Duration::from_secs(1);

impl Joined {
    async fn wait(mut self, until: Instant, deadline: Instant) -> Result<Reply, Refusal> {
        let started = self.started;
        match timeout_at(until, done(&mut self.progress)).await {
            Ok(Some(conclusion)) => concluded(&conclusion, started),
            Ok(None) => Err(Refusal::OutcomeUnknown),
            Err(_elapsed) => {
                // No `202` before the intent is committed.
                let recorded = self
                    .progress
                    .wait_for(|now| !matches!(now, Progress::Starting));
                match timeout_at(deadline + GRACE, recorded)
                    .await
                    .map(|now| now.map(|now| now.clone()))
                {
                    Ok(Ok(Progress::Recorded(payment))) => {
                        Ok(Reply::Processing(Box::new(PaymentView::of(&payment))))
                    }
                    Ok(Ok(Progress::Done(conclusion))) => concluded(&conclusion, started),
                    Ok(Ok(Progress::Starting) | Err(_)) | Err(_) => Err(Refusal::OutcomeUnknown),
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

fn concluded(conclusion: &Conclusion, started: bool) -> Result<Reply, Refusal> {
    match conclusion {
        Conclusion::Settled { answer, driven } => Ok(Reply::Settled {
            answer: answer.clone(),
            replayed: !(started && *driven),
        }),
        Conclusion::Released(payment) => Ok(Reply::Pending(Box::new(PaymentView::of(payment)))),
        Conclusion::InDoubt(payment) => Ok(Reply::Processing(Box::new(PaymentView::of(payment)))),
        Conclusion::Refused(refusal) => Err(*refusal),
    }
}
