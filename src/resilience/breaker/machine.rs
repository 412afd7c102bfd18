//! The decisions of a breaker. Start reading at [`Machine::acquire`] and [`Machine::record`].

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::{
    super::Purpose,
    settings::BreakerSettings,
    state::{
        BreakerSnapshot, BreakerState, CallResult, NotPermitted, OperatorSwitch, Transition,
        TransitionReason,
    },
    window::{Tally, TimeWindow},
};

/// Transitions that are kept, to be shown and to be published.
const TRANSITIONS_MAX: usize = 20;

#[derive(Debug)]
pub(super) struct Machine {
    settings: BreakerSettings,
    phase: Phase,
    window: TimeWindow,
    /// Hard failures since the last success.
    consecutive_failures: u32,
    /// Rounds of probes that failed since it was last closed: the doublings of the wait.
    failed_probes: u32,
    /// Counts transitions. A result of an earlier era is recorded and decides nothing.
    era: u64,
    not_permitted: u64,
    late: u64,
    transitions: VecDeque<Transition>,
    unpublished: VecDeque<Transition>,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Closed,
    Open {
        retry_at: Instant,
    },
    HalfOpen {
        until: Instant,
        permits: u32,
        probes: Tally,
    },
    Disabled,
    ForcedOpen,
    MetricsOnly,
}

/// Leave for one call, in the era that gave it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    era: u64,
}

impl Machine {
    pub(super) fn new(settings: BreakerSettings, now: Instant) -> Self {
        Self {
            settings,
            phase: Phase::Closed,
            window: TimeWindow::new(settings.window, now),
            consecutive_failures: 0,
            failed_probes: 0,
            era: 0,
            not_permitted: 0,
            late: 0,
            transitions: VecDeque::new(),
            unpublished: VecDeque::new(),
        }
    }

    /// Whether a call may begin. The first one after the wait of an open breaker makes it half-open.
    pub(super) fn acquire(
        &mut self,
        purpose: Purpose,
        now: Instant,
        chance: f64,
    ) -> Result<Ticket, NotPermitted> {
        self.expire_probes(now, chance);
        if let Phase::Open { retry_at } = self.phase
            && now >= retry_at
        {
            let half_open = Phase::HalfOpen {
                until: now + self.settings.half_open_max,
                permits: self.settings.half_open_permits.max(1),
                probes: Tally::default(),
            };
            self.enter(half_open, TransitionReason::WaitOver, now);
        }
        let permitted = match &mut self.phase {
            Phase::Closed | Phase::Disabled | Phase::MetricsOnly => true,
            Phase::ForcedOpen => purpose == Purpose::Settling,
            Phase::Open { .. } => false,
            Phase::HalfOpen { permits, .. } => {
                let left = permits.checked_sub(1);
                *permits = left.unwrap_or_default();
                left.is_some()
            }
        };
        if permitted {
            return Ok(Ticket { era: self.era });
        }
        self.not_permitted = self.not_permitted.saturating_add(1);
        Err(NotPermitted {
            state: self.state(),
            retry_at: self.retry_at(),
        })
    }

    /// Whether [`Self::acquire`] would permit a call, without taking a permit. Probes whose time is
    /// over are ended first: whoever only asks must not wait for them for ever.
    pub(super) fn permits(&mut self, purpose: Purpose, now: Instant, chance: f64) -> bool {
        self.room(purpose, now, chance) > 0
    }

    /// How many calls [`Self::acquire`] would permit now, one after the other.
    pub(super) fn room(&mut self, purpose: Purpose, now: Instant, chance: f64) -> u32 {
        self.expire_probes(now, chance);
        match self.phase {
            Phase::Closed | Phase::Disabled | Phase::MetricsOnly => u32::MAX,
            Phase::ForcedOpen if purpose == Purpose::Settling => u32::MAX,
            Phase::Open { retry_at } if now >= retry_at => self.settings.half_open_permits.max(1),
            Phase::ForcedOpen | Phase::Open { .. } => 0,
            Phase::HalfOpen { permits, .. } => permits,
        }
    }

    /// A call ended without a result: its permit is there for another.
    pub(super) fn release(&mut self, ticket: &Ticket) {
        if ticket.era == self.era
            && let Phase::HalfOpen { permits, .. } = &mut self.phase
        {
            *permits = permits.saturating_add(1);
        }
    }

    pub(super) fn record(
        &mut self,
        ticket: &Ticket,
        result: CallResult,
        took: Duration,
        now: Instant,
        chance: f64,
    ) {
        self.expire_probes(now, chance);
        let failed = match result {
            CallResult::Ignored => return self.release(ticket),
            CallResult::Success => false,
            CallResult::Failure | CallResult::Throttled => true,
        };
        let slow = took > self.settings.slow_call;
        let late = ticket.era != self.era;
        self.late = self.late.saturating_add(late.into());
        match &mut self.phase {
            Phase::Disabled => {}
            // What judges counts its own era only, lest an old outage close or open it.
            Phase::Closed | Phase::HalfOpen { .. } if late => {}
            Phase::Open { .. } | Phase::ForcedOpen | Phase::MetricsOnly => {
                self.window.add(failed, slow, now);
            }
            Phase::Closed => {
                self.window.add(failed, slow, now);
                match result {
                    CallResult::Failure => self.consecutive_failures += 1,
                    CallResult::Success => self.consecutive_failures = 0,
                    CallResult::Throttled | CallResult::Ignored => {}
                }
                self.judge_window(now, chance);
            }
            Phase::HalfOpen { probes, .. } => {
                probes.add(failed, slow);
                let probes = *probes;
                self.judge_probes(probes, now, chance);
            }
        }
    }

    pub(super) fn operate(&mut self, switch: OperatorSwitch, now: Instant) {
        let phase = match switch {
            OperatorSwitch::ForceOpen => Phase::ForcedOpen,
            OperatorSwitch::Disable => Phase::Disabled,
            OperatorSwitch::MetricsOnly => Phase::MetricsOnly,
            OperatorSwitch::Auto => Phase::Closed,
        };
        if phase.state() != self.state() {
            self.enter(phase, TransitionReason::Operator, now);
        }
    }

    pub(super) fn state(&self) -> BreakerState {
        self.phase.state()
    }

    /// Transitions since the last time this was asked, the oldest first; the last
    /// [`TRANSITIONS_MAX`] if there were more.
    pub(super) fn take_transitions(&mut self) -> Vec<Transition> {
        self.unpublished.drain(..).collect()
    }

    pub(super) fn snapshot(&self, now: Instant) -> BreakerSnapshot {
        let (tally, calls_min) = match self.phase {
            Phase::HalfOpen { probes, .. } => (probes, self.settings.half_open_permits),
            _ => (self.window.tally(now), self.settings.calls_min),
        };
        let rate = |part| (tally.calls >= calls_min.max(1)).then(|| tally.rate(part));
        BreakerSnapshot {
            state: self.state(),
            failure_rate: rate(tally.failed),
            slow_rate: rate(tally.slow),
            calls: tally.calls,
            failed: tally.failed,
            slow: tally.slow,
            window: self.settings.window,
            not_permitted: self.not_permitted,
            late: self.late,
            retry_at: self.retry_at(),
            transitions: self.transitions.iter().copied().collect(),
        }
    }

    fn retry_at(&self) -> Option<Instant> {
        match self.phase {
            Phase::Open { retry_at } => Some(retry_at),
            _ => None,
        }
    }

    fn judge_window(&mut self, now: Instant, chance: f64) {
        let tally = self.window.tally(now);
        let known = tally.calls >= self.settings.calls_min;
        let failing = tally.reaches(tally.failed, self.settings.failure_rate_percent);
        let slow = tally.reaches(tally.slow, self.settings.slow_rate_percent);
        let reason = if self.consecutive_failures >= self.settings.consecutive_failures_max {
            TransitionReason::ConsecutiveFailures
        } else if known && failing {
            TransitionReason::FailureRate
        } else if known && slow {
            TransitionReason::SlowRate
        } else {
            return;
        };
        self.open(reason, now, chance);
    }

    fn judge_probes(&mut self, probes: Tally, now: Instant, chance: f64) {
        if probes.calls < self.settings.half_open_permits {
            return;
        }
        let failing = probes.reaches(probes.failed, self.settings.failure_rate_percent);
        let slow = probes.reaches(probes.slow, self.settings.slow_rate_percent);
        if failing || slow {
            self.failed_probes = self.failed_probes.saturating_add(1);
            self.open(TransitionReason::ProbesFailed, now, chance);
        } else {
            self.enter(Phase::Closed, TransitionReason::ProbesSucceeded, now);
        }
    }

    /// Half-open ends at its time, whenever that is noticed: the wait counts from there. Where too
    /// little is asked to use up the probes, those that came back decide, if they were all good: else a
    /// quiet provider would stay open for ever.
    fn expire_probes(&mut self, now: Instant, chance: f64) {
        if let Phase::HalfOpen { until, probes, .. } = self.phase
            && now >= until
        {
            if probes.calls > 0 && probes.failed == 0 && probes.slow == 0 {
                return self.enter(Phase::Closed, TransitionReason::ProbesSucceeded, until);
            }
            self.failed_probes = self.failed_probes.saturating_add(1);
            self.open(TransitionReason::ProbesTimedOut, until, chance);
        }
    }

    fn open(&mut self, reason: TransitionReason, at: Instant, chance: f64) {
        let retry_at = at + self.settings.wait(self.failed_probes, chance);
        self.enter(Phase::Open { retry_at }, reason, at);
    }

    fn enter(&mut self, phase: Phase, reason: TransitionReason, at: Instant) {
        self.era += 1;
        let transition = Transition {
            number: self.era,
            from: self.state(),
            to: phase.state(),
            reason,
            at,
        };
        self.phase = phase;
        self.consecutive_failures = 0;
        self.not_permitted = 0;
        if matches!(phase, Phase::Closed | Phase::Disabled) {
            self.failed_probes = 0;
            self.window.clear();
        }
        for list in [&mut self.transitions, &mut self.unpublished] {
            if list.len() == TRANSITIONS_MAX {
                list.pop_front();
            }
            list.push_back(transition);
        }
    }
}

impl Phase {
    fn state(&self) -> BreakerState {
        match self {
            Self::Closed => BreakerState::Closed,
            Self::Open { .. } => BreakerState::Open,
            Self::HalfOpen { .. } => BreakerState::HalfOpen,
            Self::Disabled => BreakerState::Disabled,
            Self::ForcedOpen => BreakerState::ForcedOpen,
            Self::MetricsOnly => BreakerState::MetricsOnly,
        }
    }
}

#[cfg(test)]
mod tests;
