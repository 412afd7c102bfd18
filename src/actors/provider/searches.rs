//! Searches that did not come to their end within one look, kept until the next look for the same
//! operation. Start reading at [`Searches::go_on`].
//!
//! They are kept in this process's memory only: after a restart, and by another node, an operation is
//! looked for from the beginning.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::look::{Inquiry, Reach};
use crate::{
    payment::{OperationId, Timestamp},
    provider::Search,
};

/// Searches that are kept at once. One more is not kept, rather than another dropped for it: if each
/// drove out the one that waited longest, none would ever come to its end.
pub(super) const KEPT_MAX: usize = 1_024;
/// After how long one that nobody went on with makes room for another: its operation was settled elsewhere.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(24 * 3_600);

/// Answers after which a search is begun anew, lest a list that leads in a circle be read for ever: a
/// hundred million objects, which is a hundred payments a second in the longest time that can be set.
const ANSWERS_MAX: u32 = 1_000_000;

/// How far one search has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) search: Search,
    /// Questions of it that were answered.
    pub(super) answered: u32,
    /// As in the [`Inquiry`] that it was begun for.
    absent_at: Option<Timestamp>,
    reach: Reach,
}

impl Progress {
    fn new(inquiry: &Inquiry) -> Self {
        Self {
            search: Search::new(inquiry.sent, inquiry.counts_since),
            answered: 0,
            absent_at: inquiry.absent_at,
            reach: inquiry.reach,
        }
    }

    pub(super) fn is_without_end(&self) -> bool {
        self.answered >= ANSWERS_MAX
    }

    /// Whether what was read so far is read for `inquiry`, too.
    fn serves(&self, inquiry: &Inquiry) -> bool {
        let (ours, asked) = (self.search.sent, inquiry.sent);
        let is_of_that_time = match inquiry.reach {
            Reach::Near => false,
            // What was read too early to tell does not tell later.
            Reach::Whole => ours == asked && self.reach == Reach::Whole,
            Reach::WholeSoFar => ours.first == asked.first,
        };
        is_of_that_time && self.absent_at == inquiry.absent_at
    }
}

#[derive(Debug, Default)]
pub(crate) struct Searches(Mutex<HashMap<OperationId, (Instant, Progress)>>);

impl Searches {
    /// What to go on with for `inquiry`: where a look stopped that it is one search with, or the
    /// beginning. Its place stays its own meanwhile, however many others look.
    pub(super) fn go_on(&self, inquiry: &Inquiry) -> Progress {
        let kept = match inquiry.reach {
            Reach::Near => None,
            Reach::Whole | Reach::WholeSoFar => {
                let kept = self.lock();
                kept.get(&inquiry.operation_id()).map(|(_, it)| it.clone())
            }
        };
        kept.filter(|progress| progress.serves(inquiry))
            .unwrap_or_else(|| Progress::new(inquiry))
    }

    /// Keeps how far the look for `inquiry` came, if one may go on from there.
    pub(super) fn keep(&self, inquiry: &Inquiry, progress: Progress, now: Instant) {
        if progress.is_without_end() {
            return self.end(inquiry);
        }
        if !progress.serves(inquiry) {
            return;
        }
        let (mut kept, id) = (self.lock(), inquiry.operation_id());
        if kept.len() >= KEPT_MAX && !kept.contains_key(&id) {
            kept.retain(|_, (since, _)| now.saturating_duration_since(*since) < KEPT_FOR);
        }
        if kept.len() < KEPT_MAX || kept.contains_key(&id) {
            kept.insert(id, (now, progress));
        }
    }

    /// Drops what is kept of that operation: its search is over.
    pub(super) fn end(&self, inquiry: &Inquiry) {
        self.lock().remove(&inquiry.operation_id());
    }

    /// Each change is whole: a panic elsewhere spoils none.
    fn lock(&self) -> MutexGuard<'_, HashMap<OperationId, (Instant, Progress)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
