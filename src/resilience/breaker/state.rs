//! The words of a breaker: its states, what it is told, what it tells.

use std::time::Duration;

use tokio::time::Instant;

/// The states, numbered as resilience4j numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// Every call may pass, and the rates are watched.
    Closed = 0,
    /// No call may pass until a moment that is known.
    Open = 1,
    /// A few probes may pass; their results decide.
    HalfOpen = 2,
    /// Every call may pass, and nothing is watched: an operator said so.
    Disabled = 3,
    /// No call of a client may pass: an operator said so.
    ForcedOpen = 4,
    /// Every call may pass; the rates are watched, and nothing follows from them.
    MetricsOnly = 5,
}

impl BreakerState {
    pub const ALL: [Self; 6] = [
        Self::Closed,
        Self::Open,
        Self::HalfOpen,
        Self::Disabled,
        Self::ForcedOpen,
        Self::MetricsOnly,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
            Self::Disabled => "disabled",
            Self::ForcedOpen => "forced_open",
            Self::MetricsOnly => "metrics_only",
        }
    }

    /// resilience4j's number, for a gauge.
    pub fn number(self) -> i64 {
        self as i64
    }
}

/// What a call says about the way to the provider, not about the payment: a decline is a success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallResult {
    Success,
    /// A hard failure: no connection, no answer in time, or a server error.
    Failure,
    /// Refused for load: a failure to the rates and to a probe, but no sign of an outage.
    Throttled,
    /// It says nothing, as with an answer that was stored long ago.
    Ignored,
}

/// What an operator may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OperatorSwitch {
    ForceOpen,
    Disable,
    MetricsOnly,
    /// Closed, and from there on by itself again.
    Auto,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransitionReason {
    FailureRate,
    SlowRate,
    ConsecutiveFailures,
    /// It was open long enough.
    WaitOver,
    ProbesSucceeded,
    ProbesFailed,
    /// The probes had no results in time.
    ProbesTimedOut,
    Operator,
}

impl TransitionReason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FailureRate => "failure_rate",
            Self::SlowRate => "slow_rate",
            Self::ConsecutiveFailures => "consecutive_failures",
            Self::WaitOver => "wait_over",
            Self::ProbesSucceeded => "probes_succeeded",
            Self::ProbesFailed => "probes_failed",
            Self::ProbesTimedOut => "probes_timed_out",
            Self::Operator => "operator",
        }
    }
}

/// A change of state, for whoever publishes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Counts the transitions of this breaker, from 1.
    pub number: u64,
    pub from: BreakerState,
    pub to: BreakerState,
    pub reason: TransitionReason,
    pub at: Instant,
}

/// A call that may not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotPermitted {
    pub state: BreakerState,
    /// When the next call may pass; unknown while probes run, or an operator holds it open.
    pub retry_at: Option<Instant>,
}

/// What an operator sees of a breaker.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerSnapshot {
    pub state: BreakerState,
    /// Share of failed calls, 0 to 1; unknown below the least number of calls.
    pub failure_rate: Option<f64>,
    /// Share of slow calls, 0 to 1; unknown below the least number of calls.
    pub slow_rate: Option<f64>,
    /// Calls in the window; of a half-open breaker, its probes.
    pub calls: u32,
    pub failed: u32,
    pub slow: u32,
    /// How far back the window looks.
    pub window: Duration,
    /// Calls refused since the last transition.
    pub not_permitted: u64,
    /// Results that came too late to count, since the start.
    pub late: u64,
    /// When an open breaker lets the next call pass; it may have come already.
    pub retry_at: Option<Instant>,
    /// The last transitions, the oldest first.
    pub transitions: Vec<Transition>,
}
