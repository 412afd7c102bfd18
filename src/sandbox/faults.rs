//! Faults on request: what can go wrong ([`FaultKind`]), when ([`FaultRule`]), and which of the
//! rules in force fires for the call at hand ([`Faults`]).
//!
//! Rules are tried in their order and the first that fires decides. `forget_keys`, `lookup_lag` and
//! `refuse_connection` are apart from that: each acts beside whatever else happens to a call.

use std::time::Duration;

use super::latency::Latency;
use super::random::Random;

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

/// A rule in force, and what has become of it.
#[derive(Debug)]
pub(super) struct ActiveRule {
    pub(super) rule: FaultRule,
    pub(super) remaining: Option<u64>,
    pub(super) fired: u64,
}

impl ActiveRule {
    fn is_spent(&self) -> bool {
        self.remaining == Some(0)
    }

    fn fires(&mut self, random: &mut Random) -> bool {
        if self.is_spent() || (self.rule.rate < 1.0 && random.unit() >= self.rule.rate) {
            return false;
        }
        self.remaining = self.remaining.map(|times| times.saturating_sub(1));
        self.fired += 1;
        true
    }
}

/// The plan in force.
#[derive(Debug)]
pub(super) struct Faults {
    latency: Option<Latency>,
    rules: Vec<ActiveRule>,
    draws: Random,
    latency_draws: Random,
}

impl Faults {
    pub(super) fn new(draws: Random, latency_draws: Random) -> Self {
        Self {
            latency: None,
            rules: Vec::new(),
            draws,
            latency_draws,
        }
    }

    pub(super) fn replace(&mut self, plan: FaultPlan) {
        self.latency = plan.latency;
        let active = |rule: FaultRule| ActiveRule {
            remaining: rule.times,
            fired: 0,
            rule,
        };
        self.rules = plan.rules.into_iter().map(active).collect();
    }

    pub(super) fn in_force(&self) -> (Option<Latency>, &[ActiveRule]) {
        (self.latency, &self.rules)
    }

    pub(super) fn draw_latency(&mut self) -> Duration {
        self.latency.map_or(Duration::ZERO, |latency| {
            latency.draw(&mut self.latency_draws)
        })
    }

    /// The fault that strikes this call, if any; at most one.
    pub(super) fn strike(&mut self, class: CallClass, prospect: Prospect) -> Option<FaultKind> {
        let rule =
            self.first_that_fires(|rule| rule.kind.strikes(prospect) && rule.on.contains(&class))?;
        Some(rule.kind)
    }

    /// Whether the keys are forgotten ahead of this call.
    pub(super) fn forgets_keys(&mut self, class: CallClass) -> bool {
        let concerned =
            |rule: &FaultRule| rule.kind == FaultKind::ForgetKeys && rule.on.contains(&class);
        self.first_that_fires(concerned).is_some()
    }

    /// How old an object must be for this search to see it.
    pub(super) fn search_lag(&mut self) -> Duration {
        let rule = self.first_that_fires(|rule| rule.kind == FaultKind::LookupLag);
        rule.map_or(Duration::ZERO, |rule| Duration::from_millis(rule.lag_ms))
    }

    /// Whether the main port is closed in the slot that begins now; `None` if nothing asks for it.
    pub(super) fn refuses_connections(&mut self) -> Option<bool> {
        let concerned = |rule: &FaultRule| rule.kind == FaultKind::RefuseConnection;
        if !self
            .rules
            .iter()
            .any(|active| concerned(&active.rule) && !active.is_spent())
        {
            return None;
        }
        Some(self.first_that_fires(concerned).is_some())
    }

    fn first_that_fires(&mut self, concerned: impl Fn(&FaultRule) -> bool) -> Option<&FaultRule> {
        let Self { rules, draws, .. } = self;
        rules.iter_mut().find_map(|active| {
            let fires = concerned(&active.rule) && active.fires(draws);
            fires.then_some(&active.rule)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(rules: impl IntoIterator<Item = FaultRule>) -> Faults {
        let mut faults = Faults::new(Random::stream(1, 1), Random::stream(1, 2));
        faults.replace(FaultPlan::rules(rules));
        faults
    }

    #[test]
    fn times_count_down_and_the_next_rule_takes_over() {
        let mut faults = faults([
            FaultRule::new(FaultKind::Unavailable).times(2),
            FaultRule::new(FaultKind::RateLimit).times(1),
        ]);

        let struck: Vec<_> = (0..4)
            .map(|_| faults.strike(CallClass::Create, Prospect::Executes))
            .collect();

        use FaultKind::{RateLimit, Unavailable};
        assert_eq!(
            struck,
            [Some(Unavailable), Some(Unavailable), Some(RateLimit), None]
        );
    }

    #[test]
    fn a_rule_hits_only_its_calls_and_spares_lookups_by_default() {
        let mut on_money = faults([FaultRule::new(FaultKind::Unavailable)]);
        assert_eq!(on_money.strike(CallClass::Lookup, Prospect::Executes), None);
        assert!(
            on_money
                .strike(CallClass::Refund, Prospect::Executes)
                .is_some()
        );

        let rule = FaultRule::new(FaultKind::Unavailable).on(&[CallClass::Lookup]);
        let mut on_lookups = faults([rule]);
        assert!(
            on_lookups
                .strike(CallClass::Lookup, Prospect::Executes)
                .is_some()
        );
        assert_eq!(
            on_lookups.strike(CallClass::Create, Prospect::Executes),
            None
        );
    }

    #[test]
    fn a_rate_is_met_over_many_calls() {
        let mut faults = faults([FaultRule::new(FaultKind::ErrorBefore).rate(0.25)]);

        let struck = (0..10_000)
            .filter(|_| {
                faults
                    .strike(CallClass::Create, Prospect::Executes)
                    .is_some()
            })
            .count();

        assert!((2_300..2_700).contains(&struck), "{struck}");
    }

    #[test]
    fn what_needs_an_execution_passes_over_replays() {
        let mut faults = faults([FaultRule::new(FaultKind::ErrorAfter)]);

        assert_eq!(faults.strike(CallClass::Create, Prospect::Replays), None);
        assert!(
            faults
                .strike(CallClass::Create, Prospect::Executes)
                .is_some()
        );
    }
}
