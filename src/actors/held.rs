//! An operation that a driver holds: what may be tried for it is tried, and what is found out is
//! committed. The client's drive and recovery both end here. Start reading at [`Held::drive`].

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{error, warn};

use super::{
    drive::{Conclusion, Seen},
    intent::failover_route,
    lease::Lease,
    provider::{Inquiry, Job, Reach},
    system::{DriveContext, Route},
};
use crate::{
    payment::{
        Absence, Change, LeftInDoubt, Operation, OperationKind, OperationState, ProviderTerms,
        RequestId, Standing, Step, Timestamp, Verdict, absence_is_read_from, judge_absence,
        made_from, made_until, next_step,
    },
    provider::{Call, Found, InDoubt, NotSent, Outcome, SentBetween},
    resilience::{Backoff, Deadline, LimiterPermit, Purpose},
    store::WriteError,
};

/// Between repeated commits of an outcome that the store did not take.
const SETTLE_AGAIN: Backoff = Backoff {
    base: Duration::from_millis(100),
    cap: Duration::from_secs(5),
};
/// After about a quarter of an hour the outcome is left to be found again at the provider.
const SETTLE_TRIES_MAX: u32 = 200;

/// Both clocks, read before a lease is asked for, so that what is counted from here ends early
/// rather than late.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) monotonic: Instant,
    pub(super) wall_micros: i64,
}

impl Moment {
    pub(super) fn read(context: &DriveContext) -> Self {
        Self {
            monotonic: Instant::now(),
            wall_micros: context.environment.now().as_micros(),
        }
    }
}

/// For whom an operation is driven, and until when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Errand {
    pub(super) request_id: RequestId,
    /// No attempt begins that could not end before.
    pub(super) deadline: Instant,
    pub(super) purpose: Purpose,
}

pub(super) struct Held<'a> {
    context: &'a DriveContext,
    errand: Errand,
    standing: Standing,
    /// Since when it is held.
    asked: Moment,
    /// Providers that were certainly not reached by this drive.
    refused_by: Vec<String>,
    /// Room for the first call, where it was taken ahead.
    room: Option<LimiterPermit>,
}

impl<'a> Held<'a> {
    pub(super) fn new(
        context: &'a DriveContext,
        errand: Errand,
        standing: Standing,
        asked: Moment,
    ) -> Self {
        Self {
            context,
            errand,
            standing,
            asked,
            refused_by: Vec::new(),
            room: None,
        }
    }

    pub(super) fn in_room(self, room: Option<LimiterPermit>) -> Self {
        Self { room, ..self }
    }

    /// Tries what may be tried until the operation is settled, released or left in doubt.
    pub(super) async fn drive(mut self) -> Conclusion {
        let routes = self.context.routes_max();
        for _ in 0..routes {
            let Some(route) = self.context.route_of(&self.standing.operation.route) else {
                return self.without_provider().await;
            };
            let (operation, terms) = (&self.standing.operation, terms(route));
            if next_step(operation, terms, self.standing.now) == Step::LookUp {
                return self.look_up(route, "sending_is_over").await;
            }
            let room = self.room.take();
            let lease = self.lease(route);
            let calling = route.actor.call(self.job(room, &lease));
            match lease.renewed_during(calling).await {
                Outcome::Approved(approval) => {
                    return self.settle(Verdict::Approved(approval)).await;
                }
                Outcome::Declined(decline) => {
                    return self.settle(Verdict::Declined(decline)).await;
                }
                Outcome::InDoubt(doubt) => return self.doubted(route, doubt).await,
                Outcome::NotSent(refused) => match self.fail_over(&refused).await {
                    Some(turned) => self = turned,
                    None => return self.release(refused.reason.as_str()).await,
                },
            }
        }
        self.release("no_provider_was_reached").await
    }

    fn lease(&self, route: &'a Route) -> Lease<'a> {
        let standing = self.standing.clone();
        Lease::new(
            self.context,
            route,
            standing,
            self.asked,
            self.errand.deadline,
        )
    }

    fn job(&self, room: Option<LimiterPermit>, lease: &Lease<'_>) -> Job {
        let operation = &self.standing.operation;
        Job {
            call: Call::of(&self.standing, self.errand.request_id),
            in_doubt: operation.in_doubt,
            reference: operation.own_object().map(str::to_owned),
            window: lease.window(),
            deadline: Deadline::at(self.errand.deadline),
            purpose: self.errand.purpose,
            room,
        }
    }

    /// The operation's provider was taken out of the configuration, or stands for another account.
    async fn without_provider(self) -> Conclusion {
        let operation = &self.standing.operation;
        error!(
            operation = %operation.id,
            provider = operation.route.provider,
            "alarm: the operation belongs to a provider or an account that is not configured"
        );
        match operation.in_doubt {
            true => self.leave_in_doubt(left("provider_not_configured")).await,
            false => self.release("provider_not_configured").await,
        }
    }

    /// Another driver, or a later one, goes on; unless looking tells more than sending can.
    async fn doubted(self, route: &Route, doubt: InDoubt) -> Conclusion {
        let reason = doubt.reason.as_str();
        if !doubt.reason.ends_resending() {
            let left = LeftInDoubt {
                reference: doubt.reference,
                ..left(reason)
            };
            return self.leave_in_doubt(left).await;
        }
        // What only a person can settle is left to recovery, which goes on looking, and to the operator.
        if doubt.reason.is_alarming() {
            let left = LeftInDoubt {
                bar_resends: true,
                ..left(reason)
            };
            return self.leave_in_doubt(left).await;
        }
        self.look_up(route, reason).await
    }

    /// Sending is over: only what the provider shows settles.
    async fn look_up(self, route: &Route, reason: &str) -> Conclusion {
        let operation = &self.standing.operation;
        let terms = terms(route);
        let now = self.standing.now.plus(self.asked.monotonic.elapsed());
        let leased = operation.lease_until.since(self.standing.now);
        // As of the beginning: what is read later was not there then either.
        let absence = judge_absence(operation, terms, now);
        let reach = Reach::of(operation, terms, now);
        let inquiry = Inquiry {
            call: Call::of(&self.standing, self.errand.request_id),
            sent: sent_between(operation, terms, now),
            absent_at: operation.absent_at,
            counts_since: counts_since(&self.standing, terms, reach),
            reach,
            purpose: self.errand.purpose,
            // Not the client's: who waits hears that it is in doubt, while the look goes on.
            deadline: Deadline::at(self.asked.monotonic + leased),
        };
        let mut left = LeftInDoubt {
            bar_resends: true,
            ..left(reason)
        };
        let lease = self.lease(route);
        match lease.renewed_during(route.actor.find(inquiry)).await {
            Found::There(Outcome::Approved(approval)) => {
                return self.settle(Verdict::Approved(approval)).await;
            }
            Found::There(Outcome::Declined(decline)) => {
                return self.settle(Verdict::Declined(decline)).await;
            }
            Found::There(Outcome::InDoubt(doubt)) | Found::Unanswered(Outcome::InDoubt(doubt)) => {
                left.reason = doubt.reason.as_str().to_owned();
                // What is not what was asked for is no object of ours to be asked after.
                left.reference = doubt.reference.filter(|_| !doubt.reason.is_alarming());
            }
            Found::There(_) | Found::Unanswered(_) => {}
            Found::More => {
                left.again_in = match (absence, reach) {
                    (Absence::MeansNothing { again_in }, _) => again_in,
                    (Absence::OperatorOnly, Reach::Near) => Duration::ZERO,
                    // The rest is read as soon as there is a turn.
                    _ => self.context.settings.recovery.backoff.base,
                };
            }
            Found::Absent => match absence {
                Absence::Settles => return self.settle_absent().await,
                Absence::First { again_in } => {
                    left.absent = true;
                    left.again_in = again_in;
                }
                Absence::MeansNothing { again_in } => left.again_in = again_in,
                // That all of it was read once is enough.
                Absence::OperatorOnly => left.absent = reach == Reach::Whole,
            },
        }
        self.leave_in_doubt(left).await
    }

    /// Turns to the next provider that takes such payments, unless one attempt may have acted.
    async fn fail_over(&mut self, refused: &NotSent) -> Option<Self> {
        let operation = &self.standing.operation;
        if operation.in_doubt || operation.kind != OperationKind::Create {
            return None;
        }
        self.refused_by.push(operation.route.provider.clone());
        let route = failover_route(self.context, &self.standing, &self.refused_by)?;
        let asked = Moment::read(self.context);
        let change = Change::FailOver {
            route,
            lease: self.context.settings.lease,
            reason: refused.reason.as_str().to_owned(),
        };
        match self.change(change).await {
            Ok(turned) if turned.standing.applied => Some(Self {
                context: self.context,
                errand: self.errand,
                standing: turned.standing,
                asked,
                refused_by: std::mem::take(&mut self.refused_by),
                room: None,
            }),
            Ok(_) => None,
            Err(error) => {
                warn!(operation = %self.standing.operation.id, %error, "no failover");
                None
            }
        }
    }

    /// Commits a definite answer. It is true whatever becomes of us, so it is tried for long; the
    /// clients that wait get `202` meanwhile.
    async fn settle(self, verdict: Verdict) -> Conclusion {
        self.insist(Change::Settle(verdict)).await
    }

    async fn settle_absent(self) -> Conclusion {
        self.insist(Change::SettleAbsent).await
    }

    async fn insist(self, change: Change) -> Conclusion {
        let operation = self.standing.operation.id;
        for attempt in 1..=SETTLE_TRIES_MAX {
            match self.change(change.clone()).await {
                Ok(seen) => {
                    let applied = seen.standing.applied;
                    if !applied && matches!(change, Change::Settle(Verdict::Approved(_))) {
                        error!(%operation, "alarm: an approval fits nothing that is recorded");
                    }
                    return concluded(seen);
                }
                Err(WriteError::Rejected(reason)) => {
                    error!(%operation, reason, "alarm: an outcome cannot be kept");
                    break;
                }
                Err(error) => {
                    warn!(%operation, attempt, %error, "an outcome waits");
                    let chance = self.context.environment.random_fraction();
                    sleep(SETTLE_AGAIN.wait(attempt, chance)).await;
                }
            }
        }
        self.unknown()
    }

    async fn release(self, reason: &str) -> Conclusion {
        let change = Change::Release {
            reason: reason.to_owned(),
            expires_in: self.context.settings.pending_ttl,
        };
        let after = self.change(change).await;
        self.ended(after)
    }

    async fn leave_in_doubt(self, left: LeftInDoubt) -> Conclusion {
        let tries = self.standing.operation.recovery_tries.unsigned_abs();
        let backoff = self.context.settings.recovery.backoff;
        let jittered = backoff.wait(tries + 1, self.context.environment.random_fraction());
        // What is known to bring nothing earlier still is looked at now and then.
        let again_in = match left.again_in {
            Duration::ZERO => jittered,
            asked => asked.min(jittered.max(backoff.cap)),
        };
        let by_client = self.errand.purpose == Purpose::Client;
        let left = LeftInDoubt {
            again_in,
            by_client,
            ..left
        };
        let after = self.change(Change::LeaveInDoubt(left)).await;
        self.ended(after)
    }

    /// What stands after a change that ends the drive without an outcome. When even that could not
    /// be written, the lease runs out by itself, and the next driver starts in doubt.
    fn ended(self, after: Result<Seen, WriteError>) -> Conclusion {
        match after {
            Ok(seen) => concluded(seen),
            Err(error) => {
                let operation = self.standing.operation.id;
                warn!(%operation, %error, "the lease is left to run out");
                self.unknown()
            }
        }
    }

    /// All that is known is how it stood when it was taken.
    fn unknown(self) -> Conclusion {
        Conclusion::InDoubt(Box::new(Seen {
            standing: self.standing,
            since: self.asked.monotonic,
        }))
    }

    async fn change(&self, change: Change) -> Result<Seen, WriteError> {
        let (operation, since) = (&self.standing.operation, Instant::now());
        let standing = self.context.change(operation, change).await?;
        Ok(Seen { standing, since })
    }
}

/// The conclusion that the rows allow, whoever wrote them.
pub(super) fn concluded(mut seen: Seen) -> Conclusion {
    let operation = &mut seen.standing.operation;
    tell_of_stray(operation);
    match (operation.state, operation.answer.take()) {
        (OperationState::Settled, Some(answer)) => Conclusion::Settled {
            answer,
            driven: true,
        },
        (OperationState::Released, _) => Conclusion::Released(Box::new(seen)),
        _ => Conclusion::InDoubt(Box::new(seen)),
    }
}

/// Raises the alarm for money that moved after the operation had ended without.
pub(super) fn tell_of_stray(operation: &Operation) {
    if let Some(reference) = &operation.stray_reference {
        let (id, kind) = (operation.id, operation.kind);
        if kind != OperationKind::Create {
            let kind = kind.as_str();
            error!(operation = %id, kind, reference, "alarm: carried out after it was refused");
        } else if operation.stray_reversed_at.is_none() {
            error!(operation = %id, reference, "alarm: a stray charge, to be given back");
        }
    }
}

/// When the operation can have been carried out, as seen at `now`, from when on nothing is sent.
pub(super) fn sent_between(
    operation: &Operation,
    terms: ProviderTerms,
    now: Timestamp,
) -> SentBetween {
    SentBetween {
        first: made_from(operation, terms),
        last: made_until(operation, terms, now),
    }
}

/// Since when a reading of the list that shows nothing of the operation is evidence of a look that begins
/// now: as long ago as the store's clock says now.
pub(super) fn counts_since(
    standing: &Standing,
    terms: ProviderTerms,
    reach: Reach,
) -> Option<Instant> {
    let now = Instant::now();
    match reach {
        Reach::Near => None,
        Reach::WholeSoFar => Some(now),
        Reach::Whole => {
            let from = absence_is_read_from(&standing.operation, terms);
            now.checked_sub(standing.now.since(from))
        }
    }
}

pub(super) fn terms(route: &Route) -> ProviderTerms {
    let profile = route.provider.profile();
    ProviderTerms {
        key_retention: profile.key_retention,
        absence_wait: profile.absence_wait,
    }
}

fn left(reason: &str) -> LeftInDoubt {
    LeftInDoubt {
        reason: reason.to_owned(),
        ..LeftInDoubt::default()
    }
}
