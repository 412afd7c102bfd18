//! A list over the rows of many merchants: one that cannot be read does not hide the others.

use super::rows::Unreadable;
use crate::payment::Standing;

/// So many of the rows that cannot be read are named in the log.
const NAMED_MAX: usize = 8;

/// A list that is read page by page, until it has as many as were asked for.
#[derive(Debug)]
pub(super) struct List {
    limit: u32,
    /// Rows that were read.
    read: u32,
    is_complete: bool,
    standings: Vec<Standing>,
    unreadable: Vec<Unreadable>,
}

impl List {
    pub(super) fn of(limit: u32) -> Self {
        Self {
            limit,
            read: 0,
            is_complete: false,
            standings: Vec::new(),
            unreadable: Vec::new(),
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Rows of a page.
    pub(super) fn limit(&self) -> i64 {
        self.limit.into()
    }

    /// How many rows to pass over before the next page.
    pub(super) fn offset(&self) -> i64 {
        self.read.into()
    }

    pub(super) fn add(&mut self, page: impl IntoIterator<Item = Result<Standing, Unreadable>>) {
        let before = self.read;
        for row in page {
            self.read += 1;
            match row {
                Ok(standing) => self.standings.push(standing),
                Err(error) => self.unreadable.push(error),
            }
        }
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let is_last = self.read - before < self.limit;
        self.is_complete = is_last || self.standings.len() >= limit;
        self.standings.truncate(limit);
    }

    /// What was read, and a word in the log about what could not be.
    pub(super) fn standings(self) -> Vec<Standing> {
        if !self.unreadable.is_empty() {
            let named = self.unreadable.iter().take(NAMED_MAX);
            let named: Vec<_> = named.map(ToString::to_string).collect();
            let rows = self.unreadable.len();
            tracing::error!(
                rows,
                ?named,
                "alarm: a list is without rows that cannot be read"
            );
        }
        self.standings
    }
}
