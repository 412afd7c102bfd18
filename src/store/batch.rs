//! How a batch of writes is run to its end: again after a conflict, in halves after a refused row,
//! and again on a fresh connection when a commit's fate is unknown. Start reading at [`run`].
//!
//! **Invariant:** `Rejected` and `NotAttempted` are answered only when certainly nothing was written.
//! **Invariant:** no two writes of one transaction concern the same operation or payment.

use std::{collections::HashSet, hash::Hash, ops::Range, time::Duration};

use tokio::time::Instant;

use super::WriteError;
use crate::{environment::Environment, payment::Standing, resilience::Backoff};

/// How often one transaction is tried before it is given up or split.
const TRIES_MAX: u32 = 4;
/// No new try begins this long after the first.
const TRYING_MAX: Duration = Duration::from_secs(5);
const BACKOFF: Backoff = Backoff {
    base: Duration::from_millis(20),
    cap: Duration::from_secs(1),
};

/// Why one transaction did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// There was no connection to hand it to.
    NotReached(String),
    /// It was rolled back for certain; another try may do better.
    RolledBack(String),
    /// It was rolled back for certain, because the database refuses one of its rows.
    RowRefused(String),
    /// It may have been committed.
    Unknown(String),
}

/// What one transaction gives for each of its writes: its standing, or why it cannot be.
pub(super) type Written = Vec<Result<Standing, String>>;

/// Something that can write many `T` in one transaction.
pub(super) trait Writer<T> {
    /// Writes all of `items` or none.
    fn write(&self, items: &[T]) -> impl Future<Output = Result<Written, Failure>> + Send;
}

/// Writes a batch; one result for each item, in order.
///
/// Items of one `subject` go into consecutive transactions.
pub(super) async fn run<T, S: Hash + Eq>(
    writer: &impl Writer<T>,
    environment: &Environment,
    batch: &[T],
    subject: impl Fn(&T) -> S,
) -> Vec<Result<Standing, WriteError>> {
    tracing::debug!(size = batch.len(), "writing a batch");
    let mut results = Vec::with_capacity(batch.len());
    for wave in waves(batch, subject) {
        // Later ranges first, so that the next one is at the end.
        let mut ranges = vec![wave];
        while let Some(range) = ranges.pop() {
            let items = batch.get(range.clone()).unwrap_or_default();
            match persist(writer, environment, items).await {
                Ok(written) => {
                    results.extend(written.into_iter().map(|one| one.map_err(rejected)));
                }
                Err(Persisted::InDoubt(error)) => {
                    results.extend(items.iter().map(|_| Err(error.clone())));
                }
                Err(Persisted::Refused(reason)) if items.len() <= 1 => {
                    results.extend(items.iter().map(|_| Err(rejected(reason.clone()))));
                }
                Err(Persisted::Refused(_)) => {
                    let middle = range.start + items.len() / 2;
                    ranges.push(middle..range.end);
                    ranges.push(range.start..middle);
                }
            }
        }
    }
    results
}

fn rejected(reason: String) -> WriteError {
    tracing::error!(%reason, "alarm: the store refused a row");
    WriteError::Rejected(reason)
}

/// Cuts a batch into runs in which no subject comes twice.
fn waves<T, S: Hash + Eq>(batch: &[T], subject: impl Fn(&T) -> S) -> Vec<Range<usize>> {
    let mut waves = Vec::new();
    let mut seen = HashSet::new();
    let mut start = 0;
    for (place, item) in batch.iter().enumerate() {
        if !seen.insert(subject(item)) {
            waves.push(start..place);
            start = place;
            seen.clear();
            seen.insert(subject(item));
        }
    }
    if start < batch.len() {
        waves.push(start..batch.len());
    }
    waves
}

/// Why a transaction is not tried again as it is.
enum Persisted {
    /// It was rolled back each time: a part of it may do better.
    Refused(String),
    /// Its fate is the error's to tell.
    InDoubt(WriteError),
}

async fn persist<T>(
    writer: &impl Writer<T>,
    environment: &Environment,
    items: &[T],
) -> Result<Written, Persisted> {
    let give_up_at = Instant::now() + TRYING_MAX;
    let mut doubt: Option<String> = None;
    let mut tries = 0;
    loop {
        tries += 1;
        let failure = match writer.write(items).await {
            Ok(written) => return Ok(written),
            Err(failure) => failure,
        };
        tracing::warn!(
            ?failure,
            tries,
            size = items.len(),
            "a batch did not commit"
        );
        let rolled_back = match failure {
            // Had an earlier try been committed, this one would have found its own rows.
            Failure::RowRefused(reason) => return Err(Persisted::Refused(reason)),
            Failure::NotReached(reason) if doubt.is_none() => {
                return Err(Persisted::InDoubt(WriteError::NotAttempted(reason)));
            }
            Failure::NotReached(_) => None,
            Failure::RolledBack(reason) => Some(reason),
            Failure::Unknown(reason) => {
                doubt = Some(reason);
                None
            }
        };
        if tries >= TRIES_MAX || Instant::now() >= give_up_at {
            return Err(match (doubt, rolled_back) {
                (Some(reason), _) => Persisted::InDoubt(WriteError::Unknown(reason)),
                (None, reason) => Persisted::Refused(reason.unwrap_or_default()),
            });
        }
        tokio::time::sleep(BACKOFF.wait(tries, environment.random_fraction())).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_that_comes_twice_begins_a_new_transaction() {
        let batch = ["a", "b", "a", "a", "c"];
        assert_eq!(waves(&batch, |one| *one), [0..2, 2..3, 3..5]);
        assert!(waves(&[] as &[&str], |one| *one).is_empty());
    }
}
