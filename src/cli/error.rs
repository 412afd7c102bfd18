//! What can go wrong on the command line, and what a person does about it.

use std::{error::Error, io, net::SocketAddr};

use super::{drill::DrillError, routes, wiring::WiringError};
use crate::{
    config::ConfigError,
    reconcile::{ReconcileError, RecoverError},
    sandbox::SandboxError,
    store::{ReadError, StoreStartError, WriteError},
    telemetry::LogError,
};

#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    #[error("the configuration cannot be used")]
    Config(#[from] ConfigError),
    #[error("environment variable {0} is not UTF-8")]
    NotUnicode(String),
    #[error("logging cannot begin")]
    Log(#[from] LogError),
    #[error("the runtime cannot start")]
    Runtime(#[source] io::Error),
    #[error("the result cannot be printed")]
    Output(#[source] io::Error),
    #[error("{database} cannot be used")]
    Store {
        database: String,
        #[source]
        source: StoreStartError,
    },
    #[error("the store failed while it was read")]
    Read(#[from] ReadError),
    #[error("the store failed while it was written to")]
    Write(#[from] WriteError),
    #[error("the sandbox cannot start")]
    Sandbox(#[from] SandboxError),
    #[error("the providers cannot be used")]
    Providers(#[source] WiringError),
    #[error("the HTTP API cannot listen on {listen}")]
    Listen {
        listen: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("serving failed")]
    Serve(#[source] WiringError),
    #[error("unsettled operations need a provider that is configured no longer: {}", .0.join("; "))]
    Routes(Vec<String>),
    #[error("{name:?} is no name for a merchant")]
    MerchantName { name: String },
    #[error("there is no merchant {name:?}; there are: {}", known.join(", "))]
    UnknownMerchant { name: String, known: Vec<String> },
    #[error("merchant {name:?} is disabled: a key of it would open nothing")]
    DisabledMerchant { name: String },
    #[error("there is no key {id}")]
    UnknownKey { id: String },
    #[error("there is no provider {name:?} in the configuration")]
    UnknownProvider { name: String },
    #[error("another program has {database} open")]
    InUse { database: String },
    #[error("the recovery was not finished")]
    Recover(#[from] RecoverError),
    #[error("our records cannot be compared with the providers'")]
    Reconcile(#[from] ReconcileError),
    #[error("the drill cannot be run")]
    Drill(#[from] DrillError),
}

impl CliError {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::NotUnicode(_) | Self::Log(_) | Self::MerchantName { .. } => 2,
            Self::UnknownProvider { .. } => 2,
            Self::Drill(error) if error.is_usage() => 2,
            _ => 1,
        }
    }

    /// What a person can do about it.
    pub(super) fn advice(&self) -> Option<String> {
        let advice = match self {
            Self::Config(_) => "correct it, then see what `oncepay check` says",
            Self::NotUnicode(_) => "set it to UTF-8 text, or unset it",
            Self::Log(_) => "set log.filter or ONCEPAY_LOG to something like `info,oncepay=debug`",
            Self::Runtime(_) => "see whether this machine limits threads or open files",
            Self::Store { .. } => {
                "see whether the database runs and database_url (or DATABASE_URL) is right; a SQLite \
                 file that does not exist yet is made only with `?mode=rwc`"
            }
            Self::Read(_) => "see whether the database runs, then try again",
            Self::Write(_) => {
                "see whether the database runs, then try again: nothing is made twice"
            }
            Self::Sandbox(_) => "take another address, or stop what listens there",
            Self::Listen { .. } => "take another --listen address, or stop what listens there",
            Self::Routes(_) => routes::ADVICE,
            Self::MerchantName { .. } => {
                "take 1 to 64 characters, none of them a control character"
            }
            Self::UnknownMerchant { name, .. } => {
                return Some(format!("make it with `oncepay merchants create {name}`"));
            }
            Self::UnknownKey { .. } => "`oncepay keys list` shows the ids",
            Self::UnknownProvider { .. } => "see `[[providers]]` in the configuration file",
            Self::InUse { .. } => "stop every server that uses it, then try again",
            Self::Recover(_) => {
                "see whether database and providers answer, then run it again: nothing is made twice"
            }
            Self::Reconcile(_) => {
                "see whether database and providers answer, then try again, for a shorter time"
            }
            Self::Drill(error) => return error.advice().map(str::to_owned),
            Self::Providers(_)
            | Self::Serve(_)
            | Self::DisabledMerchant { .. }
            | Self::Output(_) => return None,
        };
        Some(advice.to_owned())
    }
}

/// An error and its causes.
pub(super) fn in_one_line(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}
