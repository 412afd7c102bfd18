//! The fault plan in force: which of its rules fires for the call at hand.
//!
//! Rules are tried in their order and the first that fires decides. `forget_keys`, `lookup_lag` and
//! `refuse_connection` are apart from that: each acts beside whatever else happens to a call.

use std::time::Duration;

use super::faults::{CallClass, FaultKind, FaultPlan, FaultRule, Prospect};
use super::latency::Latency;
use super::random::Random;

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
