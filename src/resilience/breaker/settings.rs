//! The numbers of a breaker.

use std::time::Duration;

/// Bounds and defaults of a breaker. Sources: resilience4j (its machine), Hystrix (20 calls, 50 %),
/// Finagle (5 consecutive failures, 300 s), Envoy (waits that grow with each ejection).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// How far back the rates look: whole seconds, 1 to 600. Default: 30 s (Polly, Finagle).
    pub window: Duration,
    /// Calls in the window below which no rate is known: 1 to 100,000. Default: 20 (Hystrix).
    pub calls_min: u32,
    /// It opens at this share of failures: 1 to 100 %. Default: 50 % (resilience4j).
    pub failure_rate_percent: u32,
    /// It opens at this share of slow calls: 1 to 100 %. Default: 50 % (resilience4j: 100 %, for
    /// calls slower than 60 s, of which a payment has no use).
    pub slow_rate_percent: u32,
    /// A call is slow when it takes longer: 1 ms to 60 s. Default: 5 s.
    pub slow_call: Duration,
    /// It opens after so many hard failures in a row, however few calls there are: 1 to 1,000.
    /// Default: 5 (Finagle, Envoy). A rate alone is slow to see a total outage (linkerd).
    pub consecutive_failures_max: u32,
    /// How long it stays open the first time; doubled whenever the probes fail: 1 to 600 s.
    /// Default: 10 s.
    pub open: Duration,
    /// Bound of the doubling, before jitter: `open` to 3,600 s. Default: 300 s (Finagle, Envoy).
    pub open_max: Duration,
    /// Probes of a half-open breaker; their results decide: 1 to 100. Default: 3.
    pub half_open_permits: u32,
    /// How long probes may take together: then it closes if all that came back were good, and opens
    /// again otherwise. Longer than an attempt's timeout, at
    /// most 600 s. Default: 30 s (resilience4j: for ever, so that a lost probe hangs it).
    pub half_open_max: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(30),
            calls_min: 20,
            failure_rate_percent: 50,
            slow_rate_percent: 50,
            slow_call: Duration::from_secs(5),
            consecutive_failures_max: 5,
            open: Duration::from_secs(10),
            open_max: Duration::from_secs(300),
            half_open_permits: 3,
            half_open_max: Duration::from_secs(30),
        }
    }
}

/// The longest jitter, as a part of the wait. It only ever adds, so that no probe comes early.
const JITTER: f64 = 0.25;

impl BreakerSettings {
    /// How long to stay open after `failed_probes` rounds of probes, with jitter: between the wait and
    /// a quarter more, evenly, so that several servers do not probe in step.
    pub(super) fn wait(&self, failed_probes: u32, chance: f64) -> Duration {
        let doubled = self.open.saturating_mul(1 << failed_probes.min(31));
        doubled
            .min(self.open_max)
            .mul_f64(1.0 + JITTER * chance.clamp(0.0, 1.0))
    }
}
