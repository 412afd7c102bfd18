//! Why a store cannot be opened, and what an error of the database says about the rows.

use std::time::Duration;

use diesel::result::{DatabaseErrorKind as Kind, Error};

use super::{ReadError, WriteError, batch::Failure, rows::Unreadable};

/// Why a store cannot be opened; its text is for the one who starts the program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreStartError {
    #[error("the database URL must begin with postgres:// or sqlite://, or be a path of a file")]
    UnknownScheme,
    #[error("the database URL cannot be read: {0}")]
    Url(String),
    #[error("the database cannot be reached: {0}")]
    Unreachable(String),
    #[error("there is no SQLite file `{path}`; `?mode=rwc` after the path makes one")]
    NoSuchFile { path: String },
    #[error("the SQLite file `{path}` cannot be opened: {reason}")]
    File { path: String, reason: String },
    #[error(
        "PostgreSQL runs with `{setting} = {value}`, so that a committed payment can be lost; \
         it must be on, unless `database_allow_unsafe` is"
    )]
    Unsafe { setting: String, value: String },
    #[error("the database lacks the migrations {}; run `oncepay migrate`", .0.join(", "))]
    MigrationsPending(Vec<String>),
    #[error(
        "a newer program has run migrations that this one does not know ({}), and has shut it out: \
         this one must not write to the database", .0.join(", ")
    )]
    NewerSchema(Vec<String>),
    #[error("a migration failed, and those after it were not run: {0}")]
    Migration(String),
    #[error(
        "another program is migrating the database, or holds the lock for it: it was waited for for \
         {} s", waited.as_secs()
    )]
    Migrating { waited: Duration },
}

/// What an error of a statement says about its transaction.
///
/// `rolled_back` says that a transaction stood around the statement, so that without a COMMIT
/// nothing of it stays.
pub(super) fn failure(error: &Error, rolled_back: bool) -> Failure {
    let reason = error.to_string();
    match error {
        Error::DatabaseError(
            Kind::UniqueViolation
            | Kind::ForeignKeyViolation
            | Kind::NotNullViolation
            | Kind::CheckViolation
            | Kind::RestrictViolation
            | Kind::ExclusionViolation,
            _,
        ) => Failure::RowRefused(reason),
        Error::DatabaseError(Kind::SerializationFailure | Kind::ReadOnlyTransaction, _) => {
            Failure::RolledBack(reason)
        }
        Error::DatabaseError(Kind::UnableToSendCommand | Kind::ClosedConnection, _) => {
            Failure::Unknown(reason)
        }
        // Diesel keeps no SQLSTATE: a deadlock looks like a full disk.
        _ if rolled_back => Failure::RolledBack(reason),
        _ => Failure::Unknown(reason),
    }
}

/// The error of a row that holds what PostgreSQL's texts cannot: it has no name for this in what
/// diesel tells, and would be taken for a database that cannot write.
pub(super) fn unwritable_text() -> Error {
    let reason = "a text holds the character U+0000".to_owned();
    Error::DatabaseError(Kind::CheckViolation, Box::new(reason))
}

/// The error of the transaction that migrations stand in.
impl From<Error> for StoreStartError {
    fn from(error: Error) -> Self {
        Self::Migration(error.to_string())
    }
}

impl From<Error> for ReadError {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}

impl From<Unreadable> for ReadError {
    fn from(error: Unreadable) -> Self {
        Self(error.to_string())
    }
}

/// The error of a single write that stood in no transaction of ours.
impl From<Error> for WriteError {
    fn from(error: Error) -> Self {
        match failure(&error, false) {
            Failure::RowRefused(reason) => Self::Rejected(reason),
            Failure::NotReached(reason) | Failure::RolledBack(reason) => Self::NotWritten(reason),
            Failure::Unknown(reason) => Self::Unknown(reason),
        }
    }
}

impl From<Unreadable> for WriteError {
    fn from(error: Unreadable) -> Self {
        Self::Unknown(error.to_string())
    }
}
