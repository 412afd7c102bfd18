//! Faults as they are asked for: what can go wrong ([`FaultKind`]), and how often and to which calls
//! ([`FaultRule`]). What comes of them is decided in `faults_in_force`.

use super::latency::Latency;

/// Everything that the sandbox can do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The main port is closed, so that connects are refused. Works in slots of 100 ms: in each,
    /// the port is closed with probability `rate`, and `times` counts closed slots.
    RefuseConnection,
    /// 500 ahead of execution; not stored under the key.
    ErrorBefore,
    /// Acted, and then a 500, which is stored under the key. Passes over replays.
    ErrorAfter,
    /// Not acted; the 500 is stored under the key. Passes over replays.
    ErrorStored,
    /// No answer, and never executed. The key counts as running until the caller leaves, or until
    /// the connection is closed without an answer after 60 s; then it is free.
    HangBefore,
    /// Executed, and no answer. The key counts as running until the caller leaves, or until the
    /// connection is closed without an answer after 60 s; then it holds the answer.
    HangAfter,
    /// TCP reset ahead of execution.
    ResetBefore,
    /// Executed, and then a TCP reset in place of the answer.
    ResetAfter,
    /// 503, not acted, not stored.
    Unavailable,
    /// 429, not acted, not stored.
    RateLimit,
    /// Every stored key is dropped ahead of the call; with `rate` 1 and no `times`, no key is ever
    /// remembered. Running keys are spared.
    ForgetKeys,
    /// A search does not see what is younger than `lag_ms`; retrieve and list always do.
    LookupLag,
}

impl FaultKind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 12] = [
        Self::RefuseConnection,
        Self::ErrorBefore,
        Self::ErrorAfter,
        Self::ErrorStored,
        Self::HangBefore,
        Self::HangAfter,
        Self::ResetBefore,
        Self::ResetAfter,
        Self::Unavailable,
        Self::RateLimit,
        Self::ForgetKeys,
        Self::LookupLag,
    ];

    /// The name that stands in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::RefuseConnection => "refuse_connection",
            Self::ErrorBefore => "error_before",
            Self::ErrorAfter => "error_after",
            Self::ErrorStored => "error_stored",
            Self::HangBefore => "hang_before",
            Self::HangAfter => "hang_after",
            Self::ResetBefore => "reset_before",
            Self::ResetAfter => "reset_after",
            Self::Unavailable => "unavailable",
            Self::RateLimit => "rate_limit",
            Self::ForgetKeys => "forget_keys",
            Self::LookupLag => "lookup_lag",
        }
    }

    /// Whether it can happen to a call of which nothing will execute: a replay or a 409.
    pub(super) fn strikes(self, prospect: Prospect) -> bool {
        match self {
            Self::RefuseConnection | Self::ForgetKeys | Self::LookupLag => false,
            Self::ErrorBefore | Self::ResetBefore | Self::Unavailable | Self::RateLimit => true,
            Self::HangBefore | Self::HangAfter | Self::ResetAfter => prospect != Prospect::Refused,
            Self::ErrorAfter | Self::ErrorStored => prospect == Prospect::Executes,
        }
    }
}

/// What will become of a call if no fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prospect {
    /// It will execute.
    Executes,
    /// It will be answered from the idempotency store.
    Replays,
    /// Its key is running, or was used for something else.
    Refused,
}

/// The calls that a rule can be bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallClass {
    /// `POST /v1/payment_intents`.
    Create,
    /// `POST /v1/payment_intents/{id}/capture`.
    Capture,
    /// `POST /v1/payment_intents/{id}/cancel`.
    Cancel,
    /// `POST /v1/refunds`.
    Refund,
    /// Every `GET` under `/v1`.
    Lookup,
}

impl CallClass {
    /// Every class, in the order of the documentation.
    pub const ALL: [Self; 5] = [
        Self::Create,
        Self::Capture,
        Self::Cancel,
        Self::Refund,
        Self::Lookup,
    ];
    /// The `POST`s that move money: what a rule hits unless it says otherwise.
    pub const MONEY: [Self; 4] = [Self::Create, Self::Capture, Self::Cancel, Self::Refund];

    /// The name that stands in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Capture => "capture",
            Self::Cancel => "cancel",
            Self::Refund => "refund",
            Self::Lookup => "lookup",
        }
    }
}

/// One fault, with how often and to which calls it happens.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultRule {
    pub(super) kind: FaultKind,
    pub(super) rate: f64, // Invariant: 0 <= rate <= 1.
    pub(super) times: Option<u64>,
    pub(super) on: Vec<CallClass>,
    pub(super) lag_ms: u64,
}

impl FaultRule {
    /// Age from which a search sees an object under `lookup_lag`, unless the rule says otherwise.
    pub const LAG_MS_DEFAULT: u64 = 60_000;

    /// Always, for ever, on the `POST`s that move money ([`FaultKind::LookupLag`]: on look-ups).
    pub fn new(kind: FaultKind) -> Self {
        let on = match kind {
            FaultKind::LookupLag => vec![CallClass::Lookup],
            _ => CallClass::MONEY.to_vec(),
        };
        Self {
            kind,
            rate: 1.0,
            times: None,
            on,
            lag_ms: Self::LAG_MS_DEFAULT,
        }
    }

    /// Fires with this probability, held to `0..=1`.
    #[must_use]
    pub fn rate(self, rate: f64) -> Self {
        Self {
            rate: if rate.is_nan() {
                0.0
            } else {
                rate.clamp(0.0, 1.0)
            },
            ..self
        }
    }

    /// Fires this often at most.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self {
            times: Some(times),
            ..self
        }
    }

    /// Fires only on these calls. Nothing to [`FaultKind::RefuseConnection`], which cannot know
    /// them, nor to [`FaultKind::LookupLag`], which concerns only the search.
    #[must_use]
    pub fn on(self, classes: &[CallClass]) -> Self {
        Self {
            on: classes.to_vec(),
            ..self
        }
    }

    /// Age in milliseconds from which a search sees an object, under [`FaultKind::LookupLag`].
    #[must_use]
    pub fn lag_ms(self, lag_ms: u64) -> Self {
        Self { lag_ms, ..self }
    }
}

/// Everything that is to go wrong from now on, and how slow the provider is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FaultPlan {
    /// Added to every provider call.
    pub latency: Option<Latency>,
    /// Tried in this order; the first that fires decides.
    pub rules: Vec<FaultRule>,
}

impl FaultPlan {
    /// These rules, and no latency.
    pub fn rules(rules: impl IntoIterator<Item = FaultRule>) -> Self {
        Self {
            latency: None,
            rules: rules.into_iter().collect(),
        }
    }

    /// This latency, and no rules.
    pub fn latency(latency: Latency) -> Self {
        Self {
            latency: Some(latency),
            rules: Vec::new(),
        }
    }
}

impl From<FaultRule> for FaultPlan {
    fn from(rule: FaultRule) -> Self {
        Self::rules([rule])
    }
}
