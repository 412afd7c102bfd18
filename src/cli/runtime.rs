//! The I/O runtime, on which everything lives that must outlive the HTTP server.
//!
//! A pooled connection is driven by the runtime that opened it and dies with it. Store, providers
//! and sandbox live here; actors and HTTP live in actix' system, on the main thread.

use tokio::runtime::{Builder, Runtime};

use super::error::CliError;

pub(super) fn io() -> Result<Runtime, CliError> {
    Builder::new_multi_thread()
        .thread_name("oncepay-io")
        .enable_all()
        .build()
        .map_err(CliError::Runtime)
}
