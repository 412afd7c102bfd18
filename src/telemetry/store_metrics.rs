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
    queue_wait: Family<BatchLabels, Histogram>,
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

impl BatchKind {
    fn labels(self) -> BatchLabels {
        let kind = match self {
            Self::Begin => "begin",
            Self::Change => "change",
        };
        BatchLabels { kind }
    }
}

fn time_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.000_25, 2.0, 16)) // To 8 s.
}

impl StoreMetrics {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let metrics = Self {
            rows: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(1.0, 2.0, 13)) // To 4,096, the most of a batch.
            }),
            duration: Family::new_with_constructor(time_buckets),
            queue_wait: Family::new_with_constructor(time_buckets),
        };
        for kind in [BatchKind::Begin, BatchKind::Change] {
            let labels = kind.labels();
            for histograms in [&metrics.rows, &metrics.duration, &metrics.queue_wait] {
                drop(histograms.get_or_create(&labels));
            }
        }
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
        registry.register_with_unit(
            "store_queue_wait",
            "Time that a write waited for its batch",
            Unit::Seconds,
            metrics.queue_wait.clone(),
        );
        metrics
    }

    /// A batch was written, or failed (`oncepay_store_batch_rows`,
    /// `oncepay_store_batch_duration_seconds`).
    pub fn written(&self, kind: BatchKind, rows: usize, took: Duration) {
        let labels = kind.labels();
        let rows = u32::try_from(rows).unwrap_or(u32::MAX);
        self.rows.get_or_create(&labels).observe(rows.into());
        self.duration
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
    }

    /// A write is in its batch now (`oncepay_store_queue_wait_seconds`).
    pub fn waited(&self, kind: BatchKind, wait: Duration) {
        self.queue_wait
            .get_or_create(&kind.labels())
            .observe(wait.as_secs_f64());
    }
}
