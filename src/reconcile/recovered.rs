//! What a recovery is asked for, what it has done, and why it has not.

use super::books::{BooksError, Pace};
use crate::{
    payment::Timestamp,
    store::{ReadError, WriteError},
};

/// What to recover.
#[derive(Clone, Copy, Debug)]
pub struct Recovery {
    /// A time at which the restored state was certainly not yet older than the truth.
    pub since: Timestamp,
    /// Whether to count and change nothing.
    pub dry_run: bool,
    pub pace: Pace,
}

/// What was done, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Unsettled operations that were put in doubt.
    pub put_in_doubt: u64,
    /// Creations in doubt from before the time that is recovered for which a provider's list was not read
    /// so far back: the servers look for them.
    pub not_looked_for: u64,
    /// When the first of them was made.
    pub oldest_not_looked_for: Option<Timestamp>,
    /// Payments that were imported.
    pub payments: u64,
    /// Those of them of which a part of the request is not known any more.
    pub incomplete: u64,
    pub captures: u64,
    pub cancels: u64,
    pub refunds: u64,
    /// Imported operations that are not settled yet; the servers go on with them.
    pub left_in_doubt: u64,
    /// Payments and refunds that other installations made on the same accounts.
    pub others: u64,
}

impl Recovered {
    /// Each number with what it counts.
    pub fn lines(&self) -> [(&'static str, u64); 9] {
        [
            ("unsettled operations put in doubt", self.put_in_doubt),
            (
                "older payments in doubt left to be looked for by the servers",
                self.not_looked_for,
            ),
            ("payments imported", self.payments),
            ("of them without a part of their request", self.incomplete),
            ("captures imported", self.captures),
            ("cancels imported", self.cancels),
            ("refunds imported", self.refunds),
            (
                "imported operations left to be settled by the servers",
                self.left_in_doubt,
            ),
            ("objects of other installations left alone", self.others),
        ]
    }
}

/// Why a recovery was not finished; it may be run again.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// Without one nothing at the providers is our own.
    #[error("no server was ever started over this database")]
    NoInstallation,
    /// There is nothing to work on, here or there: it is another database, or has another id.
    #[error(
        "the database has no payment, and nothing that the providers have since {since} is its own; \
         {others} of it are of other installations"
    )]
    NothingIsOurs { since: Timestamp, others: u64 },
    #[error(transparent)]
    Books(#[from] BooksError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Write(#[from] WriteError),
}
