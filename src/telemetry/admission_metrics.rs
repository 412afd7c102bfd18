//! What is counted at the front door.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// Who is inside, and who was turned away.
#[derive(Clone, Debug)]
pub struct AdmissionMetrics {
    in_flight: Gauge,
    refusals: Family<ReasonLabels, Counter>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

impl AdmissionMetrics {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let metrics = Self {
            in_flight: Gauge::default(),
            refusals: Family::default(),
        };
        registry.register(
            "admission_in_flight",
            "Operations in the house, of the limits.in_flight_max that it takes",
            metrics.in_flight.clone(),
        );
        registry.register(
            "admission_refusals",
            "Requests turned away unrecorded, by reason: full, share (of one merchant), seats (of one \
             key), queue (waited too long for the database), closed (the server stops)",
            metrics.refusals.clone(),
        );
        metrics
    }

    /// How many operations are in the house now (`oncepay_admission_in_flight`).
    pub fn in_flight(&self, operations: usize) {
        self.in_flight
            .set(i64::try_from(operations).unwrap_or(i64::MAX));
    }

    /// A request was turned away (`oncepay_admission_refusals_total`).
    pub fn refused(&self, reason: &'static str) {
        self.refusals.get_or_create(&ReasonLabels { reason }).inc();
    }
}
