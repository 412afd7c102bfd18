//! What an operator sees of a running process: logs and metrics.

mod admission_metrics;
mod http_metrics;
mod logs;
mod lookup_metrics;
mod metrics;
mod provider_metrics;
mod store_metrics;

pub use admission_metrics::AdmissionMetrics;
pub use http_metrics::HttpMetrics;
pub use logs::{LogError, init_logs};
pub use lookup_metrics::LookupMetrics;
pub use metrics::{ActorMetrics, Metrics};
pub use provider_metrics::{CallInFlight, GateSeries, ProviderMetrics};
pub use store_metrics::{BatchKind, StoreMetrics};
