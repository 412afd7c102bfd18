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
    Supervised,
    drive::{Conclusion, Progress},
    key::{Join, Joined},
    key_router::KeyRouter,
    order::{Order, Patience, Refusal, Reply},
    system::DriveContext,
};
use crate::payment::{PaymentView, Resource, Scope, Standing};

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
            // A wait beyond all time is a wait until the deadline.
            Patience::AtMost(wait) => {
                deadline.min(Instant::now().checked_add(wait).unwrap_or(deadline))
            }
        };
        let order = Arc::new(order);
        let joined = self.join(Join::new(&order, &permit), deadline).await?;
        joined.wait(until, deadline).await
    }

    async fn join(
        &self,
        (join, mut seat): (Join, Seat),
        deadline: Instant,
    ) -> Result<Joined, Refusal> {
        let Some(shard) = self.shard(&join.order.scope) else {
            return Err(Refusal::Internal);
        };
        let router = shard.addr();
        let seated = async {
            // A router that was lost with the message drops the seat, which says so.
            let _closed = router.send(join).await;
            (&mut seat).await
        };
        if let Ok(seated) = timeout_at(deadline + GRACE, seated).await {
            return seated.unwrap_or(Err(Refusal::OutcomeUnknown));
        }
        // Another request under the key has kept it waiting. No drive starts but by taking the seat:
        // once that is closed, certainly nothing is begun for this one.
        seat.close();
        seat.try_recv().unwrap_or(Err(Refusal::Overloaded))
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
                    Ok(Ok(Progress::Recorded(standing))) => Ok(processing(&standing)),
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
        Conclusion::Released(standing) => {
            Ok(Reply::Pending(Box::new(PaymentView::of(&standing.payment))))
        }
        Conclusion::InDoubt(standing) => Ok(processing(standing)),
        Conclusion::Refused(refusal) => Err(refusal.clone()),
    }
}

fn processing(standing: &Standing) -> Reply {
    let resource = Resource::of(&standing.operation, &standing.payment);
    Reply::Processing(Box::new(resource))
}
