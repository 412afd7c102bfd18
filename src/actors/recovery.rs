//! RecoveryActor: settles without its client what a driver left behind.
//!
//! It sweeps again and again, at start and always: operations whose driver was lost or gave up in
//! doubt, released ones whose time is over, and the loose ends of settled ones. There is no other
//! recovery code.

use std::{sync::Arc, time::Duration};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, WrapFuture};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tracing::{Instrument, error, info, info_span, warn};

use super::{
    drive::Conclusion,
    held::{Errand, Held, Moment},
    loose_ends,
    system::DriveContext,
};
use crate::{
    lookups::SettledAnswer,
    payment::{Change, OperationChange, Scope, Standing},
    resilience::{Backoff, Purpose},
    store::{Claim, Doubts, ReadError, WriteError},
};

/// How recovery goes about it.
#[derive(Clone, Copy, Debug)]
pub struct RecoverySettings {
    /// Between sweeps; each is up to as long again later, so that nodes do not sweep in step.
    pub sweep_every: Duration,
    /// Waits between attempts to settle one operation.
    pub backoff: Backoff,
    /// Operations that are settled at once.
    pub at_once_max: u32,
    /// After how long in doubt an operation is said to need a person.
    pub alarm_after: Duration,
}

/// Rows of one sweep that need no provider.
const ROWS_MAX: u32 = 256;

/// Room for what recovery does at once.
#[derive(Clone)]
struct Slots {
    all: Arc<Semaphore>,
    /// Half of them at most are for reading long lists: what one more request settles does not wait
    /// until those are read.
    to_look: Arc<Semaphore>,
}

/// A slot; for a look, one of those that are for looks, too.
type Slot = (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>);

impl Slots {
    fn new(at_once: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(at_once)),
            to_look: Arc::new(Semaphore::new((at_once / 2).max(1))),
        }
    }

    fn available(&self, to_look: bool) -> usize {
        let all = self.all.available_permits();
        match to_look {
            true => all.min(self.to_look.available_permits()),
            false => all,
        }
    }

    fn take(&self, to_look: bool) -> Option<Slot> {
        let slot = Arc::clone(&self.all).try_acquire_owned().ok()?;
        if !to_look {
            return Some((slot, None));
        }
        let look = Arc::clone(&self.to_look).try_acquire_owned().ok()?;
        Some((slot, Some(look)))
    }
}

pub(crate) struct RecoveryActor {
    context: Arc<DriveContext>,
    slots: Slots,
    /// Who may take the free slots first in the next sweep: the one, then the other.
    loose_ends_first: bool,
}

impl RecoveryActor {
    pub(crate) fn new(context: Arc<DriveContext>) -> Self {
        let at_once = context.settings.recovery.at_once_max as usize;
        Self {
            context,
            slots: Slots::new(at_once),
            loose_ends_first: false,
        }
    }

    /// Sweeps once in a task of its own, and books the next sweep when that has ended.
    fn sweep(&mut self, actor: &mut Context<Self>) {
        let sweep = Sweep {
            context: Arc::clone(&self.context),
            slots: self.slots.clone(),
            loose_ends_first: self.loose_ends_first,
        };
        self.loose_ends_first = !self.loose_ends_first;
        let swept = self.context.tasks.spawn(sweep.run());
        let pause = self.pause();
        actor.spawn(swept.into_actor(self).map(move |outcome, _, actor| {
            if let Err(lost) = outcome {
                error!(%lost, "a sweep was lost");
            }
            actor.run_later(pause, Self::sweep);
        }));
    }

    fn pause(&self) -> Duration {
        let every = self.context.settings.recovery.sweep_every;
        every.mul_f64(1.0 + self.context.environment.random_fraction())
    }
}

impl Actor for RecoveryActor {
    type Context = Context<Self>;

    fn started(&mut self, actor: &mut Self::Context) {
        self.sweep(actor);
    }
}

/// One look at everything that was left behind.
struct Sweep {
    context: Arc<DriveContext>,
    slots: Slots,
    loose_ends_first: bool,
}

impl Sweep {
    async fn run(self) {
        if self.context.stopping.is_cancelled() {
            return;
        }
        if self.loose_ends_first {
            self.tie_up().await;
        }
        if let Err(error) = self.settle_abandoned().await {
            warn!(%error, "recovery could not claim operations");
        }
        if let Err(error) = self.expire().await {
            warn!(%error, "recovery could not look for expired operations");
        }
        if !self.loose_ends_first {
            self.tie_up().await;
        }
        match self.context.store.doubts().await {
            Ok(doubts) => self.report(&doubts),
            Err(error) => warn!(%error, "what is in doubt could not be counted"),
        }
    }

    /// Claims of each provider's operations as many as it lets pass, in an equal share of the free slots:
    /// who is claimed and cannot be sent waits longer for nothing. What can only be found comes last.
    async fn settle_abandoned(&self) -> Result<(), WriteError> {
        for to_look in [false, true] {
            let mut providers = self.context.recoverable_providers();
            while let Some((provider, resends)) = providers.pop() {
                let others = providers.len();
                let share = self.slots.available(to_look).div_ceil(others + 1);
                let limit = u32::try_from(share).unwrap_or(u32::MAX).min(resends);
                self.settle_abandoned_at(provider, to_look, limit).await?;
            }
        }
        Ok(())
    }

    async fn settle_abandoned_at(
        &self,
        provider: String,
        to_look: bool,
        limit: u32,
    ) -> Result<(), WriteError> {
        let slots: Vec<Slot> = (0..limit).map_while(|_| self.slots.take(to_look)).collect();
        if slots.is_empty() {
            return Ok(());
        }
        let asked = Moment::read(&self.context);
        let claim = Claim {
            owner: self.context.environment.new_owner(),
            lease: self.context.settings.lease,
            limit: u32::try_from(slots.len()).unwrap_or(u32::MAX),
            providers: vec![provider],
            to_be_found: to_look,
            at: self.context.environment.now(),
        };
        let claimed = self.context.store.claim(claim).await?;
        for (standing, slot) in claimed.into_iter().zip(slots) {
            let context = Arc::clone(&self.context);
            let span = info_span!("recovery", operation = %standing.operation.id);
            let settling = async move {
                settle(&context, standing, asked).await;
                drop(slot);
            };
            let drives = &self.context.drives;
            drives.spawn_on(settling.instrument(span), &self.context.tasks);
        }
        Ok(())
    }

    async fn expire(&self) -> Result<(), ReadError> {
        for (id, epoch) in self.context.store.expired(ROWS_MAX).await? {
            let expire = OperationChange {
                operation_id: id,
                epoch,
                change: Change::Expire,
                at: self.context.environment.now(),
            };
            match self.context.db.change(expire).await {
                Ok(standing) if standing.applied => {
                    info!(operation = %id, "an operation expired");
                    self.context.metrics.actors.expired.inc();
                }
                Ok(_) => {} // Its client came back in time.
                Err(error) => warn!(operation = %id, %error, "an operation did not expire"),
            }
        }
        Ok(())
    }

    /// Ties up loose ends, each in a slot of its own. Before one is tried, its next turn is written
    /// down, so that no sweep and no other node tries it meanwhile.
    async fn tie_up(&self) {
        let settings = &self.context.settings;
        let loose_ends = match self.context.store.loose_ends(ROWS_MAX).await {
            Ok(loose_ends) => loose_ends,
            Err(error) => return warn!(%error, "recovery could not look for loose ends"),
        };
        for standing in loose_ends {
            let operation = &standing.operation;
            if operation.next_recovery_at > standing.now {
                break; // They come in the order of their turns.
            }
            let Some(slot) = self.slots.take(!operation.has_stray()) else {
                continue; // Another may need no look.
            };
            let tries = operation.recovery_tries.unsigned_abs().saturating_add(1);
            let chance = self.context.environment.random_fraction();
            let take_turn = Change::TakeTurn {
                owner: self.context.environment.new_owner(),
                again_in: settings.lease + settings.recovery.backoff.wait(tries, chance),
            };
            match self.context.change(operation, take_turn).await {
                Ok(taken) if taken.applied => {
                    let context = Arc::clone(&self.context);
                    let tying = async move {
                        loose_ends::tie_up(&context, &taken).await;
                        drop(slot);
                    };
                    self.context.drives.spawn_on(tying, &self.context.tasks);
                }
                Ok(_) => {} // Another node has it.
                Err(error) => warn!(operation = %operation.id, %error, "a loose end waits"),
            }
        }
    }

    fn report(&self, doubts: &[Doubts]) {
        let metrics = &self.context.metrics.actors;
        for name in self.context.provider_names() {
            let there = doubts.iter().find(|doubts| doubts.provider == name);
            let age = there.map(|doubts| doubts.now.since(doubts.oldest_since));
            let count = there.map_or(0, |doubts| doubts.count);
            metrics.in_doubt(name, count, age.unwrap_or_default());
        }
    }
}

/// Drives an operation that recovery claimed, and says so when it has been in doubt for too long.
async fn settle(context: &DriveContext, standing: Standing, asked: Moment) {
    let (id, tries) = (standing.operation.id, standing.operation.recovery_tries);
    let fingerprint = standing.operation.fingerprint;
    let scope = Scope {
        merchant_id: standing.operation.merchant_id,
        mode: standing.operation.mode,
        key: standing.operation.idempotency_key.clone(),
    };
    let errand = Errand {
        request_id: standing.operation.request_id,
        deadline: Instant::now() + context.settings.deadline,
        purpose: Purpose::Settling,
    };
    let held = Held::new(context, errand, standing, asked);
    match Box::pin(held.drive()).await {
        Conclusion::Settled { answer, .. } => {
            info!(operation = %id, tries, "settled what was in doubt");
            context.metrics.actors.recovered.inc();
            let settled = SettledAnswer {
                fingerprint,
                answer,
            };
            context.lookups.put(scope, settled);
        }
        Conclusion::InDoubt(seen) => warn_of_age(context, &seen.standing),
        Conclusion::Released(_) | Conclusion::Refused(_) => {}
    }
}

fn warn_of_age(context: &DriveContext, standing: &Standing) {
    let operation = &standing.operation;
    let Some(since) = operation.in_doubt_since else {
        return;
    };
    let age = standing.now.since(since);
    let (reason, tries) = (
        operation.in_doubt_reason.as_deref().unwrap_or_default(),
        operation.recovery_tries,
    );
    if age >= context.settings.recovery.alarm_after {
        let age_s = age.as_secs();
        error!(operation = %operation.id, payment = %operation.payment_id, reason, tries, age_s,
            "alarm: still in doubt; a person should look at GET /admin/payments?in_doubt=true");
    }
}
