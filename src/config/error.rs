//! Why a configuration is refused, in words that say which setting and what to do.

use std::{io, path::PathBuf};

use super::layers::Source;

/// A configuration cannot be used. No text of it holds the value of a secret.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("the configuration file {} cannot be read", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{source_name}: {message}")]
    Source {
        source_name: Source,
        message: String,
    },
    #[error("{setting} is {value}, but must be {bounds}")]
    OutOfBounds {
        setting: String,
        value: u64,
        bounds: String,
    },
    #[error("{setting} {problem}")]
    Refused { setting: String, problem: String },
}

impl ConfigError {
    pub(super) fn refused(setting: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Refused {
            setting: setting.into(),
            problem: problem.into(),
        }
    }
}
