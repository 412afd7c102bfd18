//! Why a drill could not be run. That a row failed is no error: it is what a drill is for.

use std::{io, path::PathBuf};

#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum DrillError {
    #[error("{url} is no base URL: it must begin with http:// or https://")]
    BaseUrl { url: String },
    #[error("--key must be a test key (op_test_..): a drill charges, and on purpose badly")]
    NotATestKey,
    #[error("the HTTP client cannot be built")]
    Client(#[source] reqwest::Error),
    #[error("the world's folder cannot be made")]
    Folder(#[source] io::Error),
    #[error("{} cannot be written", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("there is no port for the way to the database")]
    Gate(#[source] io::Error),
    #[error("`{program}` cannot be started")]
    Spawn {
        program: String,
        #[source]
        source: io::Error,
    },
    #[error("`{program}` does not listen; it said:\n{said}")]
    NotListening { program: String, said: String },
    #[error(
        "a campaign needs `{program}`, which is not installed; on Debian and Ubuntu `apt-get install \
         {package}` does it"
    )]
    Missing {
        program: &'static str,
        package: &'static str,
    },
    #[error("a new database of PostgreSQL's cannot be made: {said}")]
    Cluster { said: String },
    #[error("what the database has recorded cannot be read: {said}")]
    Unrecorded { said: String },
    #[error("{what} cannot be {done}")]
    Nemesis {
        what: &'static str,
        done: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("the history cannot be read back from {url}: it answers {status}")]
    NotListed { url: String, status: String },
    #[error("the sandbox at {url} does not answer")]
    SandboxSilent {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("the sandbox at {url} answers {status} to {request}")]
    SandboxAnswer {
        url: String,
        request: String,
        status: u16,
    },
    #[error("the server at {url} takes no payment: {why}")]
    NoPayment { url: String, why: String },
    #[error(
        "a payment of the server at {server} is not among the charges of the sandbox at {sandbox}"
    )]
    AnotherProvider { server: String, sandbox: String },
    #[error("the drill was interrupted")]
    Interrupted,
    #[error("a task of the drill was lost")]
    TaskLost(#[from] tokio::task::JoinError),
    #[error("the result cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

impl DrillError {
    pub(in crate::cli) fn is_usage(&self) -> bool {
        matches!(self, Self::BaseUrl { .. } | Self::NotATestKey)
    }

    pub(in crate::cli) fn advice(&self) -> Option<&'static str> {
        Some(match self {
            Self::BaseUrl { .. } => "give it as http://127.0.0.1:8080",
            Self::NotATestKey => "make one with `oncepay keys create --test --merchant NAME`",
            Self::Folder(_) | Self::Write { .. } => {
                "see whether TMPDIR has room and may be written to"
            }
            Self::NotListening { .. } => {
                "with --database-url: see whether the database runs and is empty; a drill leaves payments \
                 in it that belong to a sandbox that is gone"
            }
            Self::SandboxSilent { .. } | Self::SandboxAnswer { .. } => {
                "give --sandbox-url the control port of `oncepay sandbox`, which it prints when it starts"
            }
            Self::NoPayment { .. } => "see what its log says, and whether --key is a key of it",
            Self::AnotherProvider { .. } => {
                "start the server with --provider-url and that sandbox's address"
            }
            _ => return None,
        })
    }
}
