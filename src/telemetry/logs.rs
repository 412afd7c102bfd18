//! Logs, on the standard error stream.
//!
//! **Invariant:** below `info` only this program speaks, whatever the filter says: at `debug`,
//! tokio-postgres writes the parameters of every statement, and HTTP libraries write headers.

use std::io::{self, IsTerminal};

use tracing::{Level, Metadata};
use tracing_subscriber::{
    EnvFilter, filter::filter_fn, layer::SubscriberExt, util::SubscriberInitExt,
};

use crate::config::{LogConfig, LogFormat};

/// Logging cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("log.filter {filter:?} is not understood")]
    Filter {
        filter: String,
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    #[error("logging was begun already")]
    Begun(#[source] tracing_subscriber::util::TryInitError),
}

/// Begins logging, once in a process.
pub fn init_logs(config: &LogConfig) -> Result<(), LogError> {
    let is_terminal = io::stderr().is_terminal();
    let is_json = match config.format {
        LogFormat::Auto => !is_terminal,
        LogFormat::Human => false,
        LogFormat::Json => true,
    };
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter(&config.filter)?)
        .with_writer(io::stderr);
    let begun = if is_json {
        // One object an event, with the fields of the innermost span and not of the same span twice.
        let lines = lines.json().flatten_event(true).with_span_list(false);
        let lines = lines.finish().with(filter_fn(is_discreet));
        lines.try_init()
    } else {
        let lines = lines.with_ansi(is_terminal).finish();
        lines.with(filter_fn(is_discreet)).try_init()
    };
    begun.map_err(LogError::Begun)
}

/// Whether something is sure to hold no secret of a customer's or an operator's.
fn is_discreet(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    let is_ours = target == "oncepay" || target.starts_with("oncepay::");
    is_ours || *metadata.level() <= Level::INFO
}

fn filter(text: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::builder()
        .parse(text)
        .map_err(|source| LogError::Filter {
            filter: text.to_owned(),
            source,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_is_not_understood_is_named() {
        assert!(filter("info,oncepay=debug").is_ok());
        let error = filter("oncepay=loud").unwrap_err().to_string();
        assert_eq!(error, "log.filter \"oncepay=loud\" is not understood");
    }
}
