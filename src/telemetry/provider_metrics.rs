//! What is counted of providers.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use crate::{provider::Outcome, resilience::BreakerState};

/// Attempts at providers and what came of them. A provider's label is its configured name.
#[derive(Clone, Debug)]
pub struct ProviderMetrics {
    outcomes: Family<OutcomeLabels, Counter>,
    duration: Family<ProviderLabels, Histogram>,
    in_flight: Family<ProviderLabels, Gauge>,
    breaker_state: Family<ProviderLabels, Gauge>,
    breaker_transitions: Family<TransitionLabels, Counter>,
    breaker_refusals: Family<ProviderLabels, Counter>,
    concurrency_limit: Family<ProviderLabels, Gauge>,
    retry_budget_tokens: Family<ProviderLabels, Gauge>,
    retries: Family<ProviderLabels, Counter>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabels {
    provider: String,
    kind: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ProviderLabels {
    provider: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct TransitionLabels {
    provider: String,
    from: &'static str,
    to: &'static str,
}

/// What is counted of one provider's gate.
#[derive(Clone, Debug)]
pub struct GateSeries {
    /// resilience4j's number of the breaker's state (`oncepay_provider_breaker_state`).
    pub state: Gauge,
    /// Calls that the breaker refused (`oncepay_provider_breaker_refusals_total`).
    pub breaker_refusals: Counter,
    /// Calls that may be under way (`oncepay_provider_concurrency_limit`).
    pub limit: Gauge,
    /// Retries that could be made now (`oncepay_provider_retry_budget_tokens`).
    pub tokens: Gauge,
    /// Requests that were sent once more (`oncepay_provider_retries_total`).
    pub retries: Counter,
    provider: String,
    transitions: Family<TransitionLabels, Counter>,
}

impl GateSeries {
    /// The breaker changed its state (`oncepay_provider_breaker_transitions_total`).
    pub fn transition(&self, from: &'static str, to: &'static str) {
        let labels = TransitionLabels {
            provider: self.provider.clone(),
            from,
            to,
        };
        self.transitions.get_or_create(&labels).inc();
    }
}

/// A call that is under way; it ends, however it ends, when this is dropped.
#[derive(Debug)]
pub struct CallInFlight(Gauge);

impl Drop for CallInFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn attempt_buckets() -> Histogram {
    Histogram::new([
        0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0,
    ])
}

impl ProviderMetrics {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let metrics = Self {
            outcomes: Family::default(),
            duration: Family::new_with_constructor(attempt_buckets),
            in_flight: Family::default(),
            breaker_state: Family::default(),
            breaker_transitions: Family::default(),
            breaker_refusals: Family::default(),
            concurrency_limit: Family::default(),
            retry_budget_tokens: Family::default(),
            retries: Family::default(),
        };
        metrics.register_gate(registry);
        registry.register(
            "provider_outcomes",
            "Attempts by what we know of them afterwards; `in_doubt` may have moved money",
            metrics.outcomes.clone(),
        );
        registry.register_with_unit(
            "provider_attempt_duration",
            "Time of one attempt",
            Unit::Seconds,
            metrics.duration.clone(),
        );
        registry.register(
            "provider_calls_in_flight",
            "Calls that are under way",
            metrics.in_flight.clone(),
        );
        metrics
    }

    fn register_gate(&self, registry: &mut Registry) {
        registry.register(
            "provider_breaker_state",
            "0 closed, 1 open, 2 half open, 3 disabled, 4 forced open, 5 metrics only",
            self.breaker_state.clone(),
        );
        registry.register(
            "provider_breaker_transitions",
            "Changes of a breaker's state",
            self.breaker_transitions.clone(),
        );
        registry.register(
            "provider_breaker_refusals",
            "Calls that a breaker refused",
            self.breaker_refusals.clone(),
        );
        registry.register(
            "provider_concurrency_limit",
            "Calls that may be under way",
            self.concurrency_limit.clone(),
        );
        registry.register(
            "provider_retry_budget_tokens",
            "Retries that could be made now",
            self.retry_budget_tokens.clone(),
        );
        registry.register(
            "provider_retries",
            "Requests that were sent once more, under their key",
            self.retries.clone(),
        );
    }

    /// A provider is configured: whatever may be counted of it stands at 0.
    pub fn configured(&self, provider: &str) {
        for (kind, reason) in Outcome::kinds_and_reasons() {
            let outcome = OutcomeLabels {
                provider: provider.to_owned(),
                kind,
                reason,
            };
            drop(self.outcomes.get_or_create(&outcome));
        }
        let labels = labels(provider);
        drop(self.duration.get_or_create(&labels));
        drop(self.in_flight.get_or_create(&labels));
        for from in BreakerState::ALL {
            for to in BreakerState::ALL.into_iter().filter(|to| *to != from) {
                let transition = TransitionLabels {
                    provider: provider.to_owned(),
                    from: from.as_str(),
                    to: to.as_str(),
                };
                drop(self.breaker_transitions.get_or_create(&transition));
            }
        }
    }

    /// The series of one provider's gate, all at 0.
    pub fn gate(&self, provider: &str) -> GateSeries {
        let labels = labels(provider);
        GateSeries {
            state: self.breaker_state.get_or_create(&labels).clone(),
            breaker_refusals: self.breaker_refusals.get_or_create(&labels).clone(),
            limit: self.concurrency_limit.get_or_create(&labels).clone(),
            tokens: self.retry_budget_tokens.get_or_create(&labels).clone(),
            retries: self.retries.get_or_create(&labels).clone(),
            provider: labels.provider,
            transitions: self.breaker_transitions.clone(),
        }
    }

    /// A call begins (`oncepay_provider_calls_in_flight`).
    #[must_use = "the call ends when this is dropped"]
    pub fn call_begins(&self, provider: &str) -> CallInFlight {
        let gauge = self.in_flight.get_or_create(&labels(provider)).clone();
        gauge.inc();
        CallInFlight(gauge)
    }

    /// An attempt ended (`oncepay_provider_outcomes_total`,
    /// `oncepay_provider_attempt_duration_seconds`). A definite answer has no reason of ours.
    pub fn called(&self, provider: &str, outcome: &Outcome, took: Duration) {
        let outcome = OutcomeLabels {
            provider: provider.to_owned(),
            kind: outcome.kind(),
            reason: outcome.reason(),
        };
        self.outcomes.get_or_create(&outcome).inc();
        self.duration
            .get_or_create(&labels(provider))
            .observe(took.as_secs_f64());
    }
}

fn labels(provider: &str) -> ProviderLabels {
    ProviderLabels {
        provider: provider.to_owned(),
    }
}
