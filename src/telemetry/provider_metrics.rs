//! What is counted of providers.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use crate::provider::Outcome;

/// Attempts at providers and what came of them. A provider's label is its configured name.
#[derive(Clone, Debug)]
pub struct ProviderMetrics {
    outcomes: Family<OutcomeLabels, Counter>,
    duration: Family<ProviderLabels, Histogram>,
    in_flight: Family<ProviderLabels, Gauge>,
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
        };
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
        let reason = match outcome {
            Outcome::Approved(_) | Outcome::Declined(_) => "",
            Outcome::NotSent(not_sent) => not_sent.reason.as_str(),
            Outcome::InDoubt(in_doubt) => in_doubt.reason.as_str(),
        };
        let outcome = OutcomeLabels {
            provider: provider.to_owned(),
            kind: outcome.kind(),
            reason,
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
