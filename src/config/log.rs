//! What is logged, and how.

use serde::Deserialize;

/// Table `[log]` of the configuration file. Logs go to the standard error stream.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// How a line looks. Default: `auto`.
    pub format: LogFormat,
    /// What is logged, as `tracing` reads it: `info`, `warn,oncepay=debug`. `ONCEPAY_LOG` sets it
    /// too. Libraries speak from `info` up whatever it says: below, they write what is secret.
    /// Default: `info`.
    pub filter: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            format: LogFormat::Auto,
            filter: "info".to_owned(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// `human` on a terminal, `json` elsewhere.
    Auto,
    /// One line of text an event, in colours on a terminal.
    Human,
    /// One JSON object an event.
    Json,
}
