//! What bounds the work and the waiting.

use std::time::Duration;

use serde::Deserialize;

/// Table `[limits]` of the configuration file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Operations in the house at once; one more is answered `503 overloaded`: 1 to 1,000,000.
    /// Default: 4096.
    pub in_flight_max: u32,
    /// Size of a request's body, in bytes: 1,024 to 1,048,576. Default: 65,536.
    pub body_bytes_max: u32,
    /// How long a client waits for a definite answer, in milliseconds: 100 to 300,000.
    /// Default: 25,000.
    pub deadline_ms: u32,
    /// How long an operation belongs to the process that drives it, in seconds: at least the deadline,
    /// the longest attempt of a provider and 10 s together, at most 3,600. Default: 60.
    pub lease_s: u32,
    /// How long a stop waits for what is under way, in seconds: 0 to 600. Default: 30.
    pub shutdown_timeout_s: u32,
    /// Rows that one transaction writes, at most: 1 to 4,096. Default: 256.
    pub batch_rows_max: u32,
    /// Calls to one provider at once for clients, at most; the limit in force is lower while the
    /// provider shows that it cannot bear as many: 1 to 65,536. Default: 512. Settling what is in
    /// doubt may take a quarter of the limit on top.
    pub provider_calls_max: u32,
    /// Below this the limit in force never falls, if `provider_calls_max` is not lower still: 1 to
    /// 65,536. Default: 16.
    pub provider_calls_min: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            in_flight_max: 4096,
            body_bytes_max: 65_536,
            deadline_ms: 25_000,
            lease_s: 60,
            shutdown_timeout_s: 30,
            batch_rows_max: 256,
            provider_calls_max: 512,
            provider_calls_min: 16,
        }
    }
}

impl LimitsConfig {
    pub fn deadline(&self) -> Duration {
        Duration::from_millis(self.deadline_ms.into())
    }

    pub fn lease(&self) -> Duration {
        Duration::from_secs(self.lease_s.into())
    }

    pub fn shutdown_timeout(&self) -> Duration {
        Duration::from_secs(self.shutdown_timeout_s.into())
    }
}
