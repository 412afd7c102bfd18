//! All that is counted, and its text for Prometheus. Start reading at [`Metrics`].

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use super::{AdmissionMetrics, HttpMetrics, LookupMetrics, ProviderMetrics, StoreMetrics};

/// Built once at start and passed down, never a global. A clone counts into the same.
///
/// What alerts watch stands at 0 before anything happens: to Prometheus, a series that begins with its
/// first event has not risen.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub http: HttpMetrics,
    pub store: StoreMetrics,
    pub provider: ProviderMetrics,
    pub actors: ActorMetrics,
    pub admission: AdmissionMetrics,
    pub lookups: LookupMetrics,
    registry: Arc<Registry>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("oncepay");
        Self {
            http: HttpMetrics::registered(&mut registry),
            store: StoreMetrics::registered(&mut registry),
            provider: ProviderMetrics::registered(&mut registry),
            actors: ActorMetrics::registered(&mut registry),
            admission: AdmissionMetrics::registered(&mut registry),
            lookups: LookupMetrics::registered(&mut registry),
            registry: Arc::new(registry),
        }
    }
}

impl Metrics {
    /// The media type of what [`Self::encode`] gives.
    pub const CONTENT_TYPE: &'static str =
        "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// Everything, in the text format of OpenMetrics.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        if let Err(error) = text::encode(&mut text, &self.registry) {
            tracing::error!(%error, "the metrics cannot be written as text");
        }
        text
    }
}

/// What lives in the actors.
#[derive(Clone, Debug)]
pub struct ActorMetrics {
    /// Actors that serve a key now (`oncepay_key_actors_alive`).
    pub key_actors_alive: Gauge,
    /// Operations that were admitted and are not done (`oncepay_operations_in_flight`).
    pub operations_in_flight: Gauge,
    /// Operations in doubt that recovery settled (`oncepay_operations_recovered_total`).
    pub recovered: Counter,
    /// Released operations whose client did not come back (`oncepay_operations_expired_total`).
    pub expired: Counter,
    restarts: Family<ActorLabels, Counter>,
    in_doubt: Family<DoubtLabels, Gauge>,
    in_doubt_age: Family<DoubtLabels, Gauge<f64, AtomicU64>>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DoubtLabels {
    provider: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ActorLabels {
    actor: &'static str,
}

impl ActorMetrics {
    fn registered(registry: &mut Registry) -> Self {
        let metrics = Self {
            key_actors_alive: Gauge::default(),
            operations_in_flight: Gauge::default(),
            recovered: Counter::default(),
            expired: Counter::default(),
            restarts: Family::default(),
            in_doubt: Family::default(),
            in_doubt_age: Family::default(),
        };
        registry.register(
            "key_actors_alive",
            "Actors that serve an idempotency key now",
            metrics.key_actors_alive.clone(),
        );
        registry.register(
            "operations_in_flight",
            "Operations that were admitted and are not done",
            metrics.operations_in_flight.clone(),
        );
        registry.register(
            "operations_recovered",
            "Operations in doubt that were settled without their client",
            metrics.recovered.clone(),
        );
        registry.register(
            "operations_expired",
            "Released operations whose client did not come back",
            metrics.expired.clone(),
        );
        registry.register(
            "operations_in_doubt",
            "Operations that may have moved money without our knowing, as last counted",
            metrics.in_doubt.clone(),
        );
        registry.register_with_unit(
            "operations_in_doubt_oldest_age",
            "How long the oldest of them has been in doubt",
            Unit::Seconds,
            metrics.in_doubt_age.clone(),
        );
        registry.register(
            "actor_restarts",
            "Actors that were started anew after a failure",
            metrics.restarts.clone(),
        );
        metrics
    }

    /// So many operations are in doubt at a provider, the oldest for so long
    /// (`oncepay_operations_in_doubt`, `oncepay_operations_in_doubt_oldest_age_seconds`).
    pub fn in_doubt(&self, provider: &str, count: i64, oldest_age: Duration) {
        let labels = DoubtLabels {
            provider: provider.to_owned(),
        };
        self.in_doubt.get_or_create(&labels).set(count);
        let age = self.in_doubt_age.get_or_create(&labels);
        age.set(oldest_age.as_secs_f64());
    }

    /// An actor is kept alive from now on; it was not started anew yet.
    pub fn supervised(&self, actor: &'static str) {
        drop(self.restarts.get_or_create(&ActorLabels { actor }));
    }

    /// An actor was started anew (`oncepay_actor_restarts_total`).
    pub fn restarted(&self, actor: &'static str) {
        self.restarts.get_or_create(&ActorLabels { actor }).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        lookups::{Found, LookupWatch, Put, Refused, Tier},
        provider::Outcome,
        resilience::BreakerState,
        telemetry::BatchKind,
    };

    #[test]
    fn what_is_counted_is_in_the_text_under_its_conventional_name() {
        let metrics = Metrics::default();
        let took = Duration::from_millis(7);
        metrics.http.answered("/payments", "POST", 201, took);
        metrics.http.answered("/payments", "BREW", 405, took);
        metrics.http.payment_answered("succeeded");
        metrics.store.written(BatchKind::Begin, 3, took);
        metrics.store.waited(BatchKind::Begin, took);
        metrics.admission.in_flight(5);
        metrics.admission.refused("share");
        let forged = Found::Refused(Refused::Forged);
        metrics.lookups.looked_up(Tier::Redis, forged, took);
        metrics.lookups.looked_up(Tier::Redis, Found::Skipped, took);
        metrics.lookups.looked_up(Tier::Memory, Found::Hit, took);
        metrics.lookups.put(Put::Dropped);
        metrics.lookups.breaker(BreakerState::Open);
        metrics.lookups.message(true);
        metrics.lookups.listening(true);
        let not_sent = crate::provider::NotSent {
            reason: crate::provider::NotSentReason::RateLimited,
            detail: String::new(),
            retry_after: None,
        };
        metrics
            .provider
            .called("main", &Outcome::NotSent(not_sent), took);
        let in_flight = metrics.provider.call_begins("main");
        let gate = metrics.provider.gate("main");
        gate.state.set(1);
        gate.transition("closed", "open");
        metrics.actors.key_actors_alive.inc();
        metrics.actors.operations_in_flight.inc();
        metrics.actors.restarted("db");

        let text = metrics.encode();
        for line in [
            r#"oncepay_http_requests_total{route="/payments",method="POST",status="201"} 1"#,
            r#"oncepay_http_requests_total{route="/payments",method="other",status="405"} 1"#,
            r#"oncepay_http_request_duration_seconds_count{route="/payments",method="POST"} 1"#,
            r#"oncepay_payment_answers_total{code="succeeded"} 1"#,
            r#"oncepay_store_batch_rows_sum{kind="begin"} 3.0"#,
            r#"oncepay_store_batch_rows_bucket{le="4.0",kind="begin"} 1"#,
            r#"oncepay_store_batch_duration_seconds_count{kind="begin"} 1"#,
            r#"oncepay_store_queue_wait_seconds_count{kind="begin"} 1"#,
            "oncepay_admission_in_flight 5",
            r#"oncepay_admission_refusals_total{reason="share"} 1"#,
            r#"oncepay_lookups_total{tier="memory",result="hit"} 1"#,
            r#"oncepay_lookups_total{tier="redis",result="refused"} 1"#,
            r#"oncepay_lookups_total{tier="redis",result="skipped"} 1"#,
            r#"oncepay_lookups_refused_total{reason="forged"} 1"#,
            "oncepay_lookup_redis_duration_seconds_count 1",
            r#"oncepay_lookup_puts_total{result="dropped"} 1"#,
            "oncepay_lookup_breaker_state 1",
            r#"oncepay_lookup_messages_total{awaited="yes"} 1"#,
            "oncepay_lookup_listening 1",
            r#"oncepay_provider_outcomes_total{provider="main",kind="not_sent",reason="rate_limited"} 1"#,
            r#"oncepay_provider_attempt_duration_seconds_count{provider="main"} 1"#,
            r#"oncepay_provider_calls_in_flight{provider="main"} 1"#,
            r#"oncepay_provider_breaker_state{provider="main"} 1"#,
            r#"oncepay_provider_breaker_transitions_total{provider="main",from="closed",to="open"} 1"#,
            r#"oncepay_provider_breaker_refusals_total{provider="main"} 0"#,
            r#"oncepay_provider_concurrency_limit{provider="main"} 0"#,
            r#"oncepay_provider_retry_budget_tokens{provider="main"} 0"#,
            r#"oncepay_provider_retries_total{provider="main"} 0"#,
            "oncepay_key_actors_alive 1",
            "oncepay_operations_in_flight 1",
            r#"oncepay_actor_restarts_total{actor="db"} 1"#,
            "# UNIT oncepay_http_request_duration_seconds seconds",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        drop(in_flight);
        let ended = r#"oncepay_provider_calls_in_flight{provider="main"} 0"#;
        assert!(metrics.encode().contains(ended));
    }
}
