//! What is counted of the store.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

/// The batches that are written.
#[derive(Clone, Debug)]
pub struct StoreMetrics {
    rows: Family<BatchLabels, Histogram>,
    duration: Family<BatchLabels, Histogram>,
}

/// What a batch writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchKind {
    /// Intents.
    Begin,
    /// Changes of operations that are there already.
    Change,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct BatchLabels {
    kind: &'static str,
}

impl StoreMetrics {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let metrics = Self {
            rows: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(1.0, 2.0, 13)) // To 4,096, the most of a batch.
            }),
            duration: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.000_25, 2.0, 16)) // To 8 s.
            }),
        };
        registry.register(
            "store_batch_rows",
            "Rows that one transaction wrote",
            metrics.rows.clone(),
        );
        registry.register_with_unit(
            "store_batch_duration",
            "Time of one transaction, the wait for its connection included",
            Unit::Seconds,
            metrics.duration.clone(),
        );
        metrics
    }

    /// A batch was written, or failed (`oncepay_store_batch_rows`,
    /// `oncepay_store_batch_duration_seconds`).
    pub fn written(&self, kind: BatchKind, rows: usize, took: Duration) {
        let kind = match kind {
            BatchKind::Begin => "begin",
            BatchKind::Change => "change",
        };
        let labels = BatchLabels { kind };
        let rows = u32::try_from(rows).unwrap_or(u32::MAX);
        self.rows.get_or_create(&labels).observe(rows.into());
        self.duration
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
    }
}
