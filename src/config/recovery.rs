//! How what was left behind is settled.

use std::time::Duration;

use serde::Deserialize;

/// Table `[recovery]` of the configuration file. Recovery cannot be switched off: without it, a
/// payment in doubt would wait for its client for ever.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecoveryConfig {
    /// Time between two looks at what was left behind, in milliseconds: 100 to 60,000. Each comes up
    /// to as long again later. Default: 1,000.
    pub sweep_every_ms: u32,
    /// The first wait before an operation in doubt is tried again, in milliseconds: 10 to 60,000. Each
    /// further one is up to twice as long, at random between nothing and its full length ("full
    /// jitter"). Default: 1,000.
    pub backoff_base_ms: u32,
    /// The longest such wait, in seconds: 1 to 3,600. Default: 300.
    pub backoff_max_s: u32,
    /// Operations that are settled at once: 1 to 1,024. Half of them at most, or one, read the provider's
    /// list. Default: 16.
    pub at_once_max: u32,
    /// After how long in doubt an operation is said to need a person, in seconds: 1 to 604,800.
    /// Default: 3,600.
    pub alarm_after_s: u32,
}

impl Default for RecoveryConfig {
    fn default() -> Self {
        Self {
            sweep_every_ms: 1_000,
            backoff_base_ms: 1_000,
            backoff_max_s: 300,
            at_once_max: 16,
            alarm_after_s: 3_600,
        }
    }
}

impl RecoveryConfig {
    pub fn sweep_every(&self) -> Duration {
        Duration::from_millis(self.sweep_every_ms.into())
    }

    pub fn backoff_base(&self) -> Duration {
        Duration::from_millis(self.backoff_base_ms.into())
    }

    pub fn backoff_max(&self) -> Duration {
        Duration::from_secs(self.backoff_max_s.into())
    }

    pub fn alarm_after(&self) -> Duration {
        Duration::from_secs(self.alarm_after_s.into())
    }
}
