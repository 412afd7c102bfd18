//! The times of a campaign's nodes: within all bounds of the settings, and as short as these allow, so
//! that leases run out and keys are forgotten while somebody watches.

use std::time::Duration;

use reqwest::Url;

const DEADLINE_MS: u64 = 3_000;
const ATTEMPT_MS: u64 = 1_000;
/// The least that those two allow: 10 s more than both.
const LEASE_S: u64 = 14;
const RETENTION_S: u64 = 44;
const ABSENCE_S: u64 = 7;
const BACKOFF_MAX_S: u64 = 2;

/// How long a node is stopped so that others take over what it holds, in milliseconds: longer than the
/// lease; and so short that even a byte that it sends right after it awoke comes before an absence
/// counts. Sending ends at three quarters of the retention, an absence counts from the retention and
/// the wait on.
pub(super) const LONG_STOP_MS: (u64, u64) = (LEASE_S * 1_000 + 500, LEASE_S * 1_000 + 3_000);

/// How long a client waits for an answer: a node answers by its deadline, if it can.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_millis(DEADLINE_MS + 4_000);

/// After so long nobody holds what a driver held that died in the last moment.
pub(super) const LEASE_GONE: Duration = Duration::from_secs(LEASE_S + 3);

/// How long after everything was mended the last payment may take to settle: the lease of a driver
/// that died in the last moment, a retention that began then, the absence that is seen twice, and
/// half a minute for the waits between tries, an open breaker, and a busy machine.
pub(super) const SETTLE_MAX: Duration =
    Duration::from_secs(LEASE_S + RETENTION_S + ABSENCE_S + ABSENCE_S / 2 + 30);

/// The settings of a node that reaches its provider at `provider`.
pub(super) fn config(provider: &Url, clients: u32) -> String {
    let in_flight_max = (clients * 4).max(64);
    format!(
        r#"
listen = "127.0.0.1:0"
database_pool_max = 12

[log]
filter = "warn"

[limits]
in_flight_max = {in_flight_max}
deadline_ms = {DEADLINE_MS}
lease_s = {LEASE_S}
shutdown_timeout_s = 5

[recovery]
sweep_every_ms = 200
backoff_base_ms = 100
backoff_max_s = {BACKOFF_MAX_S}
at_once_max = 64

[retry]
settling_per_s = 100

[breaker]
window_s = 5
open_s = 1
open_max_s = 2
half_open_max_s = 3

[[providers]]
name = "sandbox"
url = "{provider}"
secret = "drill"
account = "drill"
attempt_timeout_ms = {ATTEMPT_MS}
connect_timeout_ms = 500
key_retention_s = {RETENTION_S}
absence_wait_s = {ABSENCE_S}
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Flags};

    #[test]
    fn the_settings_of_the_nodes_are_within_all_bounds_and_the_times_fit_together() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.toml");
        let provider = Url::parse("http://127.0.0.1:8081").unwrap();
        std::fs::write(&path, config(&provider, 64)).unwrap();
        let config = Config::load(Flags::default(), std::iter::empty(), Some(path)).unwrap();

        let lease_ms = config.limits.lease().as_millis();
        assert!(u128::from(LONG_STOP_MS.0) > lease_ms);
        let provider = &config.providers[0];
        let sends_until = provider.key_retention() * 3 / 4;
        let absent_from = provider.key_retention() + provider.absence_wait();
        assert!(sends_until + Duration::from_millis(LONG_STOP_MS.1) < absent_from);
        assert!(
            sends_until > config.limits.lease() * 2,
            "a take-over can send again"
        );
    }
}
