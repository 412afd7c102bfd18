//! When a provider is left alone, and how often it is asked again.

use std::time::Duration;

use serde::Deserialize;

use crate::resilience::{BreakerSettings, BudgetSettings};

/// Table `[breaker]` of the configuration file: the circuit breaker of each provider.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BreakerConfig {
    /// How far back the rates look, in seconds: 1 to 600. Default: 30.
    pub window_s: u32,
    /// Calls in the window below which no rate counts: 1 to 100,000. Default: 20.
    pub calls_min: u32,
    /// Share of failed calls that opens it, in percent: 1 to 100. Default: 50.
    pub failure_rate_percent: u32,
    /// Share of slow calls that opens it, in percent: 1 to 100. Default: 50.
    pub slow_rate_percent: u32,
    /// A call that takes longer is slow, in milliseconds: 1 to 60,000. Default: 5,000.
    pub slow_call_ms: u32,
    /// Hard failures in a row (no connection, no answer, a server error) that open it: 1 to 1,000.
    /// Default: 5.
    pub consecutive_failures_max: u32,
    /// How long it stays open, in seconds; twice as long whenever its probes fail: 1 to 600.
    /// Default: 10. Up to a quarter is added by chance.
    pub open_s: u32,
    /// How long it stays open at most, in seconds, before that quarter: `open_s` to 3,600.
    /// Default: 300.
    pub open_max_s: u32,
    /// Calls that probe the provider afterwards: 1 to 100. Default: 3.
    pub half_open_permits: u32,
    /// How long the probes may take together, in seconds: longer than the longest attempt of a
    /// provider, at most 600. Default: 30.
    pub half_open_max_s: u32,
}

/// Table `[retry]` of the configuration file: how many requests may be sent once more, so that
/// retries never become the load.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetryConfig {
    /// Retries for each hundred first calls: 0 to 100. Default: 10.
    pub budget_percent: u32,
    /// Retries beside those, per second: 0 to 1,000. Default: 1.
    pub budget_per_s: u32,
    /// Requests that settle what is in doubt by being sent again, per second and provider, beside the
    /// budget for clients: 1 to 1,000. Default: 10, at which a provider that comes back from an outage
    /// is not met by all of it at once.
    pub settling_per_s: u32,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            window_s: 30,
            calls_min: 20,
            failure_rate_percent: 50,
            slow_rate_percent: 50,
            slow_call_ms: 5_000,
            consecutive_failures_max: 5,
            open_s: 10,
            open_max_s: 300,
            half_open_permits: 3,
            half_open_max_s: 30,
        }
    }
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            budget_percent: 10,
            budget_per_s: 1,
            settling_per_s: 10,
        }
    }
}

impl BreakerConfig {
    pub fn settings(&self) -> BreakerSettings {
        let seconds = |s: u32| Duration::from_secs(s.into());
        BreakerSettings {
            window: seconds(self.window_s),
            calls_min: self.calls_min,
            failure_rate_percent: self.failure_rate_percent,
            slow_rate_percent: self.slow_rate_percent,
            slow_call: Duration::from_millis(self.slow_call_ms.into()),
            consecutive_failures_max: self.consecutive_failures_max,
            open: seconds(self.open_s),
            open_max: seconds(self.open_max_s),
            half_open_permits: self.half_open_permits,
            half_open_max: seconds(self.half_open_max_s),
        }
    }
}

impl RetryConfig {
    pub fn settings(&self) -> BudgetSettings {
        BudgetSettings {
            percent: self.budget_percent,
            per_s: self.budget_per_s,
            ..BudgetSettings::default()
        }
    }

    pub fn settling(&self) -> BudgetSettings {
        BudgetSettings {
            percent: 0,
            per_s: self.settling_per_s,
            ..BudgetSettings::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_machines() {
        assert_eq!(
            BreakerConfig::default().settings(),
            BreakerSettings::default()
        );
        assert_eq!(RetryConfig::default().settings(), BudgetSettings::default());
        assert_eq!(RetryConfig::default().settling().per_s, 10);
    }
}
