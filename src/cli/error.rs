//! What can go wrong on the command line, and what a person does about it.

use std::{error::Error, fmt, io, net::SocketAddr};

use super::{drill::DrillError, routes, wiring::WiringError};
use crate::{
    config::ConfigError,
    payment::Timestamp,
    reconcile::{BooksError, ReconcileError, RecoverError},
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
    #[error("there is no {database}")]
    NoDatabase { database: String },
    #[error("{database} has no table of oncepay")]
    BlankDatabase { database: String },
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
    #[error("--from {from} is after {end}")]
    ReversedSpan { from: Timestamp, end: SpanEnd },
    #[error("--since {since} is in the future: it is {now}")]
    SinceTheFuture { since: Timestamp, now: Timestamp },
    #[error("the recovery was not finished")]
    Recover(#[from] RecoverError),
    #[error("our records cannot be compared with the providers'")]
    Reconcile(#[from] ReconcileError),
    #[error("the drill cannot be run")]
    Drill(#[from] DrillError),
}

/// What a span ends with.
#[derive(Clone, Copy, Debug)]
pub(super) enum SpanEnd {
    To(Timestamp),
    Now(Timestamp),
}

impl fmt::Display for SpanEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::To(to) => write!(f, "--to {to}"),
            Self::Now(now) => write!(f, "now, {now}"),
        }
    }
}

impl CliError {
    /// Of a command that makes no database.
    pub(super) fn of_standing_store(database: String, source: StoreStartError) -> Self {
        match source {
            StoreStartError::NoSuchFile { .. } => Self::NoDatabase { database },
            source => Self::Store { database, source },
        }
    }

    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::NotUnicode(_) | Self::Log(_) | Self::MerchantName { .. } => 2,
            Self::UnknownProvider { .. }
            | Self::ReversedSpan { .. }
            | Self::SinceTheFuture { .. } => 2,
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
            Self::Store {
                source: StoreStartError::MigrationsPending(_),
                ..
            } => "first see whether it is the database that you mean",
            Self::Store {
                source: StoreStartError::Migrating { .. },
                ..
            } => {
                "wait until it is done, then try again; if it never is, pg_locks shows (locktype \
                 `advisory`) who holds the lock: see whether that program hangs"
            }
            Self::Store { .. } => {
                "see whether the database runs and database_url (or DATABASE_URL) is right; a SQLite \
                 file that does not exist yet is made only with `?mode=rwc`"
            }
            Self::NoDatabase { .. } | Self::BlankDatabase { .. } => RIGHT_DATABASE,
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
            Self::ReversedSpan { .. } => "take a --from before the end of the time to compare",
            Self::SinceTheFuture { .. } => {
                "take a --since before the last moment that the backup knows"
            }
            Self::Recover(RecoverError::NoInstallation) => {
                "see whether --database-url (or DATABASE_URL) names the database of the servers; over one \
                 that was made anew, start a server once, stop it, and give the database its old id \
                 (deploy/restoring.md): update installation set installation_id = '...'"
            }
            Self::Recover(RecoverError::NothingIsOurs { .. }) => {
                "see whether --database-url (or DATABASE_URL) names the restored database, and --since a \
                 time before what it lacks; a database that was made anew is first given its old id, as \
                 the providers show it (oncepay_installation): \
                 update installation set installation_id = '...'"
            }
            Self::Recover(RecoverError::Books(BooksError::TooMany { .. })) => {
                "nothing was done; take a later --since, but one before the last moment that the backup \
                 knows, or what was paid between is not recovered; if there is none, a higher --payments-max, \
                 on a machine that has the memory"
            }
            Self::Recover(_) => {
                "see whether database and providers answer, then run it again: nothing is made twice"
            }
            Self::Reconcile(ReconcileError::NoInstallation) => RIGHT_DATABASE,
            Self::Reconcile(ReconcileError::NotConfigured(_)) => {
                "configure them as they were, `retired = true` will do, or name one that is with --provider"
            }
            Self::Reconcile(ReconcileError::Books(BooksError::TooMany { .. })) => {
                "compare a shorter time, or take a higher --payments-max, on a machine that has the memory"
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

const RIGHT_DATABASE: &str = "see whether --database-url (or DATABASE_URL), and for a SQLite file the \
    folder that this is run in, are those of the servers; this command makes no database";

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
