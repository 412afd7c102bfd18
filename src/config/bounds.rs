//! The bounds of numbers, and what several settings must be together.

use std::ops::RangeInclusive;

use super::{Config, ConfigError, LimitsConfig};

/// Between the end of an attempt and the end of the lease: time to commit what it brought.
const COMMIT_MARGIN_MS: u64 = 10_000;

impl Config {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let limits = &self.limits;
        within("database_pool_max", self.database_pool_max, 1..=200)?;
        if let Some(workers) = self.http_workers {
            within("http_workers", workers.into(), 1..=256)?;
        }
        limits.check()?;
        self.check_breaker()?;
        self.check_redis()?;
        within("retry.budget_percent", self.retry.budget_percent, 0..=100)?;
        within("retry.budget_per_s", self.retry.budget_per_s, 0..=1_000)?;
        within("retry.settling_per_s", self.retry.settling_per_s, 1..=1_000)?;
        let recovery = &self.recovery;
        let setting = |name: &str| format!("recovery.{name}");
        for (name, value, bounds) in [
            ("sweep_every_ms", recovery.sweep_every_ms, 100..=60_000),
            ("backoff_base_ms", recovery.backoff_base_ms, 10..=60_000),
            ("backoff_max_s", recovery.backoff_max_s, 1..=3_600),
            ("at_once_max", recovery.at_once_max, 1..=1_024),
            ("alarm_after_s", recovery.alarm_after_s, 1..=604_800),
        ] {
            within(&setting(name), value, bounds)?;
        }

        for (place, provider) in self.providers.iter().enumerate() {
            let setting = |field: &str| format!("providers[{place}].{field}");
            let attempt = setting("attempt_timeout_ms");
            // No attempt begins that could not end before the deadline, and some of that time has
            // passed before the first one.
            within(
                &attempt,
                provider.attempt_timeout_ms,
                10..=limits.deadline_ms / 5 * 4,
            )?;
            let connect = setting("connect_timeout_ms");
            let longest = provider.attempt_timeout_ms.saturating_sub(1);
            within(&connect, provider.connect_timeout_ms(), 1..=longest)?;
            let retention = setting("key_retention_s");
            within(&retention, provider.key_retention_s, 1..=86_400)?;
            let absence = setting("absence_wait_s");
            within(&absence, provider.absence_wait_s, 1..=604_800)?;
        }
        self.check_lease()
    }

    fn check_breaker(&self) -> Result<(), ConfigError> {
        let breaker = &self.breaker;
        for (field, value, bounds) in [
            ("window_s", breaker.window_s, 1..=600),
            ("calls_min", breaker.calls_min, 1..=100_000),
            (
                "failure_rate_percent",
                breaker.failure_rate_percent,
                1..=100,
            ),
            ("slow_rate_percent", breaker.slow_rate_percent, 1..=100),
            ("slow_call_ms", breaker.slow_call_ms, 1..=60_000),
            (
                "consecutive_failures_max",
                breaker.consecutive_failures_max,
                1..=1_000,
            ),
            ("open_s", breaker.open_s, 1..=600),
            ("open_max_s", breaker.open_max_s, breaker.open_s..=3_600),
            ("half_open_permits", breaker.half_open_permits, 1..=100),
        ] {
            within(&format!("breaker.{field}"), value, bounds)?;
        }
        // A probe that is cut off by its own time limit must bring a result.
        let attempts = self.providers.iter().map(|p| p.attempt_timeout_ms);
        let least_s = attempts.max().unwrap_or(0) / 1_000 + 1;
        within(
            "breaker.half_open_max_s",
            breaker.half_open_max_s,
            least_s..=600,
        )
    }

    /// Rule 13 of the protocol: nobody takes an operation over while its driver may still be at it.
    fn check_lease(&self) -> Result<(), ConfigError> {
        let attempts = self.providers.iter().map(|p| p.attempt_timeout_ms);
        let attempt_ms = u64::from(attempts.max().unwrap_or(0));
        let deadline_ms = u64::from(self.limits.deadline_ms);
        let least_s = (deadline_ms + attempt_ms + COMMIT_MARGIN_MS).div_ceil(1_000);
        let lease_s = u64::from(self.limits.lease_s);
        if (least_s..=3_600).contains(&lease_s) {
            return Ok(());
        }
        Err(ConfigError::OutOfBounds {
            setting: "limits.lease_s".to_owned(),
            value: lease_s,
            bounds: format!(
                "{least_s} to 3600: the deadline ({deadline_ms} ms), the longest attempt of a \
                 provider ({attempt_ms} ms) and 10 s must fit into it"
            ),
        })
    }
}

impl LimitsConfig {
    fn check(&self) -> Result<(), ConfigError> {
        let milliseconds = 100..=60_000;
        for (setting, value, bounds) in [
            ("in_flight_max", self.in_flight_max, 1..=1_000_000),
            ("duplicates_max", self.duplicates_max, 1..=65_536),
            ("queue_wait_ms", self.queue_wait_ms, 10..=60_000),
            ("queue_rows_max", self.queue_rows_max, 1..=1_000_000),
            ("connections_max", self.connections_max, 1..=1_000_000),
            (
                "head_timeout_ms",
                self.head_timeout_ms,
                milliseconds.clone(),
            ),
            (
                "body_timeout_ms",
                self.body_timeout_ms,
                milliseconds.clone(),
            ),
            ("send_timeout_ms", self.send_timeout_ms, milliseconds),
            ("keep_alive_s", self.keep_alive_s, 1..=3_600),
            ("body_bytes_max", self.body_bytes_max, 1_024..=1_048_576),
            ("deadline_ms", self.deadline_ms, 100..=300_000),
            ("shutdown_timeout_s", self.shutdown_timeout_s, 0..=600),
            ("batch_rows_max", self.batch_rows_max, 1..=4_096),
            ("provider_calls_max", self.provider_calls_max, 1..=65_536),
            ("provider_calls_min", self.provider_calls_min, 1..=65_536),
            ("pending_ttl_s", self.pending_ttl_s, 1..=2_592_000),
        ] {
            within(&format!("limits.{setting}"), value, bounds)?;
        }
        Ok(())
    }
}

pub(super) fn within(
    setting: &str,
    value: u32,
    bounds: RangeInclusive<u32>,
) -> Result<(), ConfigError> {
    if bounds.contains(&value) {
        return Ok(());
    }
    Err(ConfigError::OutOfBounds {
        setting: setting.to_owned(),
        value: value.into(),
        bounds: format!("{} to {}", bounds.start(), bounds.end()),
    })
}
