//! What bounds the work and the waiting.

use std::time::Duration;

use serde::Deserialize;

/// Table `[limits]` of the configuration file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Operations in the house at once; one more is answered `503 overloaded`: 1 to 1,000,000. One
    /// merchant alone gets four fifths of it, and always leaves room for others. Default: 4096.
    pub in_flight_max: u32,
    /// Requests that may wait for one idempotency key at once; one more is answered `503
    /// overloaded`: 1 to 65,536. Default: 256.
    pub duplicates_max: u32,
    /// How long a new payment may wait until it is with the database, in milliseconds; after that it
    /// is answered `503 overloaded`: 10 to 60,000. Default: 2,000.
    pub queue_wait_ms: u32,
    /// New payments that may wait for the database at once; one more is answered `503 overloaded`:
    /// 1 to 1,000,000. Default: 2048.
    pub queue_rows_max: u32,
    /// Connections of clients at once, at least one for each of the `http_workers`; more wait until
    /// one ends: 1 to 1,000,000. Default: 20,000.
    pub connections_max: u32,
    /// How long a client may take to send the head of a request, in milliseconds: 100 to 60,000.
    /// Default: 5,000.
    pub head_timeout_ms: u32,
    /// How long a client may take to send the body of a request, in milliseconds: 100 to 60,000.
    /// Default: 10,000.
    pub body_timeout_ms: u32,
    /// How long a client may take to accept more of an answer, in milliseconds; then its connection
    /// is cut: 100 to 60,000. Default: 10,000.
    pub send_timeout_ms: u32,
    /// How long a connection may rest between two requests, in seconds: 1 to 3,600. A load balancer
    /// in front should let it rest for less. Default: 75.
    pub keep_alive_s: u32,
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
    /// How long a payment that was certainly not sent waits for its client before it expires, in
    /// seconds: 1 to 2,592,000. Default: 86,400.
    pub pending_ttl_s: u32,
    /// Rows that one transaction writes, at most: 1 to 4,096. Default: 256.
    pub batch_rows_max: u32,
    /// Calls to one provider at once: 1 to 65,536. Default: 512.
    pub provider_calls_max: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            in_flight_max: 4096,
            duplicates_max: 256,
            queue_wait_ms: 2_000,
            queue_rows_max: 2_048,
            connections_max: 20_000,
            head_timeout_ms: 5_000,
            body_timeout_ms: 10_000,
            send_timeout_ms: 10_000,
            keep_alive_s: 75,
            body_bytes_max: 65_536,
            deadline_ms: 25_000,
            lease_s: 60,
            shutdown_timeout_s: 30,
            pending_ttl_s: 86_400,
            batch_rows_max: 256,
            provider_calls_max: 512,
        }
    }
}

impl LimitsConfig {
    pub fn deadline(&self) -> Duration {
        Duration::from_millis(self.deadline_ms.into())
    }

    pub fn queue_wait(&self) -> Duration {
        Duration::from_millis(self.queue_wait_ms.into())
    }

    pub fn head_timeout(&self) -> Duration {
        Duration::from_millis(self.head_timeout_ms.into())
    }

    pub fn body_timeout(&self) -> Duration {
        Duration::from_millis(self.body_timeout_ms.into())
    }

    pub fn send_timeout(&self) -> Duration {
        Duration::from_millis(self.send_timeout_ms.into())
    }

    pub fn keep_alive(&self) -> Duration {
        Duration::from_secs(self.keep_alive_s.into())
    }

    pub fn lease(&self) -> Duration {
        Duration::from_secs(self.lease_s.into())
    }

    pub fn pending_ttl(&self) -> Duration {
        Duration::from_secs(self.pending_ttl_s.into())
    }

    pub fn shutdown_timeout(&self) -> Duration {
        Duration::from_secs(self.shutdown_timeout_s.into())
    }
}
