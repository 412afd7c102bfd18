//! What a call must pass before anything is sent: room, breaker, retry budget.
//!
//! Start reading at [`Gate::enter`]. The machines are those of `resilience`; here they get their
//! clock and chance, and what they decide is counted, logged and told.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;
use tracing::{error, info};

use super::feed::{BreakerFeed, wall_time};
use crate::{
    environment::Environment,
    provider::{InDoubtReason, NotSent, NotSentReason, Outcome},
    resilience::{
        Breaker, BreakerPermit, BreakerSettings, BreakerSnapshot, BreakerState, BudgetSettings,
        CallResult, Limiter, LimiterPermit, LimiterSettings, LimiterSnapshot, OperatorSwitch,
        Purpose, RetryBudget,
    },
    telemetry::{GateSeries, Metrics},
};

/// The numbers of every provider's gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateSettings {
    pub breaker: BreakerSettings,
    /// Of what is sent again for clients.
    pub budget: BudgetSettings,
    /// Of what is sent again to settle operations in doubt.
    pub settling: BudgetSettings,
    pub limiter: LimiterSettings,
}

impl Default for GateSettings {
    fn default() -> Self {
        Self {
            breaker: BreakerSettings::default(),
            budget: BudgetSettings::default(),
            settling: BudgetSettings {
                percent: 0,
                per_s: 10,
                ..BudgetSettings::default()
            },
            limiter: LimiterSettings::default(),
        }
    }
}

pub(crate) struct Gate {
    provider: Arc<str>,
    breaker: Breaker,
    limiter: Limiter,
    budget: RetryBudget,
    settling: RetryBudget,
    environment: Environment,
    series: GateSeries,
    feed: BreakerFeed,
    /// Held while transitions are told, so that nobody hears them in another order.
    telling: Mutex<()>,
}

impl Gate {
    pub(crate) fn new(
        provider: &str,
        settings: GateSettings,
        environment: Environment,
        metrics: &Metrics,
        feed: BreakerFeed,
    ) -> Self {
        let now = Instant::now();
        let gate = Self {
            provider: Arc::from(provider),
            breaker: Breaker::new(settings.breaker, now),
            limiter: Limiter::new(settings.limiter),
            budget: RetryBudget::new(settings.budget, now),
            settling: RetryBudget::new(settings.settling, now),
            environment,
            series: metrics.provider.gate(provider),
            feed,
            telling: Mutex::new(()),
        };
        gate.observe(now);
        gate
    }

    pub(super) fn reserve(&self, purpose: Purpose, now: Instant) -> Option<LimiterPermit> {
        self.limiter.acquire(purpose, now)
    }

    /// Lets one call pass, in `room` that was taken ahead, or in what there is.
    ///
    /// # Errors
    /// Why it may not be sent; nothing was.
    pub(super) fn enter(
        &self,
        purpose: Purpose,
        room: Option<LimiterPermit>,
        now: Instant,
    ) -> Result<Passage<'_>, NotSent> {
        // Room first: a call without it must not make an open breaker half-open.
        let Some(room) = room.or_else(|| self.reserve(purpose, now)) else {
            return Err(NotSent {
                reason: NotSentReason::NoRoom,
                detail: "too many calls to the provider are under way".to_owned(),
                retry_after: None,
            });
        };
        let permitted = self.breaker.acquire(purpose, now, self.chance());
        self.tell(now);
        match permitted {
            Ok(permit) => Ok(Passage {
                gate: self,
                permit,
                room: room.begun(now),
                began: now,
            }),
            Err(refused) => {
                self.series.breaker_refusals.inc();
                Err(NotSent {
                    reason: NotSentReason::BreakerOpen,
                    detail: format!("the provider's breaker is {}", refused.state.as_str()),
                    retry_after: refused.retry_at.map(|at| at.saturating_duration_since(now)),
                })
            }
        }
    }

    /// Whether a question of a long search may take room for settling: it leaves the last to what is sent
    /// again, which is over sooner, unless there is only one.
    pub(super) fn has_room_to_search(&self) -> bool {
        self.limiter.room(Purpose::Settling) > 1 || self.limiter.snapshot().settling == 0
    }

    /// Books a first call, which pays for a part of a retry.
    pub(super) fn first_call(&self, now: Instant) {
        self.budget.deposit(now);
    }

    /// Whether a request may be sent once more; if so, it has been paid for.
    pub(super) fn may_send_again(&self, purpose: Purpose, now: Instant) -> bool {
        let paid = self.budget_of(purpose).withdraw(now);
        if paid {
            self.series.retries.inc();
        }
        paid
    }

    /// How many requests could be sent once more now.
    pub(super) fn resends(&self, purpose: Purpose, now: Instant) -> u32 {
        let paid = self.budget_of(purpose).tokens(now);
        let permitted = self.breaker.room(purpose, now, self.chance());
        let room = self.limiter.room(purpose).min(permitted);
        u32::try_from(paid).unwrap_or(u32::MAX).min(room)
    }

    fn budget_of(&self, purpose: Purpose) -> &RetryBudget {
        match purpose {
            Purpose::Client => &self.budget,
            Purpose::Settling => &self.settling,
        }
    }

    pub(super) fn is_available(&self, purpose: Purpose, now: Instant) -> bool {
        self.limiter.has_room(purpose) && self.breaker.permits(purpose, now, self.chance())
    }

    pub(super) fn operate(&self, switch: OperatorSwitch, now: Instant) {
        self.breaker.operate(switch, now);
        self.tell(now);
    }

    /// Brings the gauges up to date.
    pub(super) fn observe(&self, now: Instant) {
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.series.state.set(self.breaker.state().number());
        self.series.limit.set(self.limiter.snapshot().limit.into());
        self.series.tokens.set(count(self.budget.tokens(now)));
    }

    pub(super) fn breaker(&self, now: Instant) -> BreakerSnapshot {
        self.breaker.snapshot(now)
    }

    pub(super) fn limiter(&self) -> LimiterSnapshot {
        self.limiter.snapshot()
    }

    pub(super) fn budget_tokens(&self, now: Instant) -> u64 {
        self.budget.tokens(now)
    }

    fn chance(&self) -> f64 {
        self.environment.random_fraction()
    }

    /// Counts, logs and publishes what the breaker went through since the last time.
    fn tell(&self, now: Instant) {
        let _in_order = self.telling.lock().unwrap_or_else(PoisonError::into_inner);
        let transitions = self.breaker.take_transitions();
        if transitions.is_empty() {
            return;
        }
        for transition in &transitions {
            let (from, to) = (transition.from.as_str(), transition.to.as_str());
            let (provider, reason) = (&*self.provider, transition.reason.as_str());
            match transition.to {
                BreakerState::Open => error!(provider, from, to, reason, "the breaker opened"),
                _ => info!(provider, from, to, reason, "the breaker changed its state"),
            }
            self.series.transition(from, to);
            let at = wall_time(transition.at, now, &self.environment);
            self.feed.tell(&self.provider, transition, at);
        }
        self.observe(now);
    }
}

/// A call that was let pass. Dropped without an end, as when its task is lost, it gives permit and
/// room back.
pub(super) struct Passage<'a> {
    gate: &'a Gate,
    permit: BreakerPermit,
    room: LimiterPermit,
    began: Instant,
}

impl Passage<'_> {
    pub(super) fn end(self, outcome: &Outcome, now: Instant) {
        let result = result_of(outcome);
        self.finish(result, load(outcome, result), now);
    }

    /// The provider answered well, and that there is nothing.
    pub(super) fn answered(self, now: Instant) {
        self.finish(CallResult::Success, Load::Fine, now);
    }

    fn finish(self, result: CallResult, load: Load, now: Instant) {
        let took = now.saturating_duration_since(self.began);
        match load {
            Load::Fine => self.room.complete(false, now),
            Load::TooMuch => self.room.complete(true, now),
            Load::Unknown => drop(self.room),
        }
        self.permit.record(result, took, now, self.gate.chance());
        self.gate.tell(now);
    }
}

/// What an outcome says of the way to the provider. What the provider answered is a success of the
/// way, whatever it says of the payment: no client can open the breaker for the others.
fn result_of(outcome: &Outcome) -> CallResult {
    match outcome {
        Outcome::Approved(_) | Outcome::Declined(_) => CallResult::Success,
        Outcome::NotSent(refused) => match refused.reason {
            NotSentReason::ConnectFailed => CallResult::Failure,
            NotSentReason::RateLimited => CallResult::Throttled,
            // It answers well; that it refuses our secret raises an alarm of its own.
            NotSentReason::Unauthorized => CallResult::Success,
            NotSentReason::Withheld | NotSentReason::BreakerOpen | NotSentReason::NoRoom => {
                CallResult::Ignored
            }
        },
        Outcome::InDoubt(doubt) => match doubt.reason {
            InDoubtReason::Timeout | InDoubtReason::ConnectionLost | InDoubtReason::ServerError => {
                CallResult::Failure
            }
            // It tells of the past: it was stored when the key was used first.
            InDoubtReason::StoredServerError | InDoubtReason::CallLost => CallResult::Ignored,
            InDoubtReason::KeyInUse
            | InDoubtReason::KeyMismatch
            | InDoubtReason::Unfinished
            | InDoubtReason::Unreadable
            | InDoubtReason::Mismatch => CallResult::Success,
        },
    }
}

/// What an outcome says of how much the provider can bear.
enum Load {
    Fine,
    TooMuch,
    Unknown,
}

fn load(outcome: &Outcome, result: CallResult) -> Load {
    let timed_out =
        matches!(outcome, Outcome::InDoubt(doubt) if doubt.reason == InDoubtReason::Timeout);
    match result {
        CallResult::Success => Load::Fine,
        CallResult::Throttled => Load::TooMuch,
        CallResult::Failure if timed_out => Load::TooMuch,
        CallResult::Failure | CallResult::Ignored => Load::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Section 5 of the design: what the provider answered is a success of the way to it.
    #[test]
    fn the_table_of_results() {
        use {CallResult::*, InDoubtReason as D, NotSentReason as N};
        let not_sent = [
            (N::ConnectFailed, Failure),
            (N::RateLimited, Throttled),
            (N::Unauthorized, Success),
            (N::Withheld, Ignored),
            (N::BreakerOpen, Ignored),
            (N::NoRoom, Ignored),
        ];
        for (reason, expected) in not_sent {
            let outcome = Outcome::NotSent(NotSent {
                reason,
                detail: String::new(),
                retry_after: None,
            });
            assert_eq!(result_of(&outcome), expected, "{reason:?}");
        }
        let in_doubt = [
            (D::Timeout, Failure),
            (D::ConnectionLost, Failure),
            (D::ServerError, Failure),
            (D::StoredServerError, Ignored),
            (D::CallLost, Ignored),
            (D::KeyInUse, Success),
            (D::KeyMismatch, Success),
            (D::Unfinished, Success),
            (D::Unreadable, Success),
            (D::Mismatch, Success),
        ];
        for (reason, expected) in in_doubt {
            let outcome = Outcome::InDoubt(crate::provider::InDoubt {
                reason,
                detail: String::new(),
                reference: None,
            });
            assert_eq!(result_of(&outcome), expected, "{reason:?}");
        }
    }
}
