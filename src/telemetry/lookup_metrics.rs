//! What is counted of the look-ups.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

use crate::{
    lookups::{Found, LookupWatch, Put, Refused, Tier},
    resilience::BreakerState,
};

/// Finished answers that were looked for, and how Redis does.
#[derive(Clone, Debug)]
pub struct LookupMetrics {
    lookups: Family<LookupLabels, Counter>,
    refused: Family<ReasonLabels, Counter>,
    duration: Histogram,
    puts: Family<PutLabels, Counter>,
    breaker: Gauge,
    messages: Family<MessageLabels, Counter>,
    listening: Gauge,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct LookupLabels {
    tier: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PutLabels {
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct MessageLabels {
    awaited: &'static str,
}

impl LookupMetrics {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let metrics = Self {
            lookups: Family::default(),
            refused: Family::default(),
            duration: Histogram::new(exponential_buckets(0.000_1, 2.0, 12)), // To 0.2 s.
            puts: Family::default(),
            breaker: Gauge::default(),
            messages: Family::default(),
            listening: Gauge::default(),
        };
        for reason in Refused::ALL {
            metrics.refused(reason);
        }
        registry.register(
            "lookups",
            "Look-ups of finished answers, by tier (memory, redis) and result: hit, miss, refused (not \
             believed), error, timeout, skipped (the breaker is open)",
            metrics.lookups.clone(),
        );
        registry.register(
            "lookups_refused",
            "Values of Redis that were not believed, by reason: too_long, wrong_type, version, \
             truncated, stale, forged, unreadable",
            metrics.refused.clone(),
        );
        registry.register_with_unit(
            "lookup_redis_duration",
            "Time of one look-up in Redis, those that were skipped left out",
            Unit::Seconds,
            metrics.duration.clone(),
        );
        registry.register(
            "lookup_puts",
            "Answers for Redis: written, refused, error, skipped (the breaker is open), dropped (too \
             many waited), too_long",
            metrics.puts.clone(),
        );
        registry.register(
            "lookup_breaker_state",
            "Redis' breaker: 0 closed, 1 open, 2 half-open",
            metrics.breaker.clone(),
        );
        registry.register(
            "lookup_messages",
            "Messages that an operation was settled elsewhere, by whether somebody here waited for it",
            metrics.messages.clone(),
        );
        registry.register(
            "lookup_listening",
            "1 while such messages can come",
            metrics.listening.clone(),
        );
        metrics
    }

    /// The count of a reason, made at 0 where there is none.
    fn refused(&self, refused: Refused) -> Counter {
        let reason = refused.as_str();
        self.refused.get_or_create_owned(&ReasonLabels { reason })
    }
}

impl LookupWatch for LookupMetrics {
    fn looked_up(&self, tier: Tier, found: Found, took: Duration) {
        let labels = LookupLabels {
            tier: tier.as_str(),
            result: found.as_str(),
        };
        self.lookups.get_or_create(&labels).inc();
        if let Found::Refused(refused) = found {
            self.refused(refused).inc();
        }
        if tier == Tier::Redis && found != Found::Skipped {
            self.duration.observe(took.as_secs_f64());
        }
    }

    fn put(&self, put: Put) {
        let result = put.as_str();
        self.puts.get_or_create(&PutLabels { result }).inc();
    }

    fn breaker(&self, state: BreakerState) {
        self.breaker.set(state.number());
    }

    fn message(&self, awaited: bool) {
        let awaited = if awaited { "yes" } else { "no" };
        self.messages
            .get_or_create(&MessageLabels { awaited })
            .inc();
    }

    fn listening(&self, listening: bool) {
        self.listening.set(listening.into());
    }
}
