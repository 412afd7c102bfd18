//! How a batch of writes is run to its end: again after a conflict, in halves after a refused row,
//! and again on a fresh connection when a commit's fate is unknown. Start reading at [`run`].
//!
//! **Invariant:** `Rejected` and `NotWritten` are answered only when certainly nothing was written.
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
pub(super) type Written<Answer = Standing> = Vec<Result<Answer, String>>;

/// Something that can write many `T` in one transaction.
pub(super) trait Writer<T> {
    type Answer: Send;

    /// Writes all of `items` or none.
    fn write(
        &self,
        items: &[T],
    ) -> impl Future<Output = Result<Written<Self::Answer>, Failure>> + Send;
}

/// Writes a batch; one result for each item, in order.
///
/// Items that share one of their `subjects` go into consecutive transactions.
pub(super) async fn run<T, S, W>(
    writer: &W,
    environment: &Environment,
    batch: &[T],
    subjects: impl Fn(&T) -> S,
) -> Vec<Result<W::Answer, WriteError>>
where
    S: IntoIterator<Item: Hash + Eq>,
    W: Writer<T>,
{
    tracing::debug!(size = batch.len(), "writing a batch");
    let mut results = Vec::with_capacity(batch.len());
    let mut course = Course::default();
    for wave in waves(batch, subjects) {
        // Later ranges first, so that the next one is at the end.
        let mut ranges = vec![wave];
        while let Some(range) = ranges.pop() {
            let items = batch.get(range.clone()).unwrap_or_default();
            let halves = [
                range.start + items.len() / 2..range.end,
                range.start..range.start + items.len() / 2,
            ];
            let error = match course.persist(writer, environment, items).await {
                Ok(written) => {
                    results.extend(written.into_iter().map(|one| one.map_err(rejected)));
                    continue;
                }
                Err(Persisted::SplitUp(_)) if items.len() > 1 => {
                    ranges.extend(halves);
                    continue;
                }
                Err(Persisted::SplitUp(error) | Persisted::Ended(error)) => error,
            };
            results.extend(items.iter().map(|_| Err(error.clone())));
        }
    }
    results
}

/// What was learned while the parts of a batch were written.
#[derive(Default)]
struct Course {
    /// A lone write was rolled back again and again: perhaps its own fault, perhaps not.
    suspect: bool,
    /// Why nothing more is tried: it is not the rows that the database cannot take.
    hopeless: Option<String>,
    /// A part of the batch was rolled back again and again, so that its halves are tried less.
    is_splitting: bool,
}

impl Course {
    async fn persist<T, W: Writer<T>>(
        &mut self,
        writer: &W,
        environment: &Environment,
        items: &[T],
    ) -> Result<Written<W::Answer>, Persisted> {
        if let Some(reason) = &self.hopeless {
            return Err(Persisted::Ended(WriteError::NotWritten(reason.clone())));
        }
        let tries_max = if self.is_splitting { 1 } else { TRIES_MAX };
        match persist(writer, environment, items, tries_max).await {
            Ok(written) => {
                self.suspect = false;
                Ok(written)
            }
            Err(Failed::InDoubt(error)) => Err(Persisted::Ended(error)),
            Err(Failed::Refused(reason)) if items.len() <= 1 => {
                Err(Persisted::Ended(rejected(reason)))
            }
            Err(Failed::Refused(reason)) => Err(Persisted::SplitUp(WriteError::NotWritten(reason))),
            Err(Failed::RolledBack { reason, slow }) => {
                // A row at fault leaves its neighbours alone; a full disk does not. And what is
                // slow waits for a lock or a disk: halves of it would wait as long.
                if slow || self.suspect {
                    self.hopeless = Some(reason.clone());
                    return Err(Persisted::Ended(WriteError::NotWritten(reason)));
                }
                self.is_splitting = true;
                self.suspect = items.len() <= 1;
                Err(Persisted::SplitUp(WriteError::NotWritten(reason)))
            }
        }
    }
}

/// Why a part of a batch was not written.
enum Persisted {
    /// A part of it may do better; a lone write has this error.
    SplitUp(WriteError),
    Ended(WriteError),
}

fn rejected(reason: String) -> WriteError {
    tracing::error!(%reason, "alarm: the store refused a row");
    WriteError::Rejected(reason)
}

/// Cuts a batch into runs in which no subject comes twice.
fn waves<T, S>(batch: &[T], subjects: impl Fn(&T) -> S) -> Vec<Range<usize>>
where
    S: IntoIterator<Item: Hash + Eq>,
{
    let mut waves = Vec::new();
    let mut seen = HashSet::new();
    let mut start = 0;
    for (place, item) in batch.iter().enumerate() {
        let subjects: Vec<_> = subjects(item).into_iter().collect();
        if subjects.iter().any(|subject| seen.contains(subject)) {
            waves.push(start..place);
            start = place;
            seen.clear();
        }
        seen.extend(subjects);
    }
    if start < batch.len() {
        waves.push(start..batch.len());
    }
    waves
}

/// Why a transaction is not tried again as it is.
enum Failed {
    /// The database refuses one of its rows.
    Refused(String),
    /// It was rolled back each time.
    RolledBack { reason: String, slow: bool },
    /// Its fate is the error's to tell.
    InDoubt(WriteError),
}

async fn persist<T, W: Writer<T>>(
    writer: &W,
    environment: &Environment,
    items: &[T],
    tries_max: u32,
) -> Result<Written<W::Answer>, Failed> {
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
            Failure::RowRefused(reason) => return Err(Failed::Refused(reason)),
            Failure::NotReached(reason) if doubt.is_none() => {
                return Err(Failed::InDoubt(WriteError::NotWritten(reason)));
            }
            Failure::NotReached(_) => None,
            Failure::RolledBack(reason) => Some(reason),
            Failure::Unknown(reason) => {
                doubt = Some(reason);
                None
            }
        };
        let slow = Instant::now() >= give_up_at;
        let unknown_may_be_tried_again = doubt.is_some() && tries < TRIES_MAX;
        if slow || (tries >= tries_max && !unknown_may_be_tried_again) {
            return Err(match (doubt, rolled_back) {
                (Some(reason), _) => Failed::InDoubt(WriteError::Unknown(reason)),
                (None, reason) => Failed::RolledBack {
                    reason: reason.unwrap_or_default(),
                    slow,
                },
            });
        }
        tokio::time::sleep(BACKOFF.wait(tries, environment.random_fraction())).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::environment::Randomness;

    /// Answers as its script says, and then writes; a negative number is a row at fault.
    #[derive(Default)]
    struct Scripted {
        failures: Mutex<Vec<Failure>>,
        tries: Mutex<Vec<usize>>,
    }

    impl Writer<i32> for Scripted {
        type Answer = i32;

        async fn write(&self, items: &[i32]) -> Result<Written<i32>, Failure> {
            self.tries.lock().unwrap().push(items.len());
            if let Some(failure) = self.failures.lock().unwrap().pop() {
                return Err(failure);
            }
            if items.iter().any(|item| *item < 0) {
                return Err(Failure::RowRefused("negative".into()));
            }
            Ok(items.iter().map(|item| Ok(*item)).collect())
        }
    }

    struct Zeros;

    impl Randomness for Zeros {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(0);
        }
    }

    /// Runs a batch after `failures`, the first of them first, and without waiting between tries.
    async fn after(
        mut failures: Vec<Failure>,
        batch: &[i32],
    ) -> (Vec<Result<i32, WriteError>>, Vec<usize>) {
        failures.reverse();
        let writer = Scripted {
            failures: Mutex::new(failures),
            ..Default::default()
        };
        let mut environment = Environment::of_the_machine();
        environment.randomness = Arc::new(Zeros);
        let results = run(&writer, &environment, batch, |item| [*item]).await;
        (results, writer.tries.into_inner().unwrap())
    }

    fn text() -> String {
        "why".into()
    }

    #[test]
    fn a_subject_that_comes_twice_begins_a_new_transaction() {
        let batch = ["a", "b", "a", "a", "c"];
        assert_eq!(waves(&batch, |one| [*one]), [0..2, 2..3, 3..5]);
        assert!(waves(&[] as &[&str], |one| [*one]).is_empty());
        let pairs = [["a", "x"], ["b", "y"], ["c", "x"]];
        assert_eq!(waves(&pairs, |one| *one), [0..2, 2..3]);
    }

    #[tokio::test]
    async fn rule_16_only_a_refused_row_splits_a_batch() {
        let deadlock = || Failure::RolledBack(text());
        let (results, tries) = after(vec![deadlock(), deadlock()], &[1, 2, 3, 4]).await;
        assert_eq!(results, [Ok(1), Ok(2), Ok(3), Ok(4)]);
        assert_eq!(tries, [4, 4, 4]);

        let (results, tries) = after(vec![], &[1, 2, -3, 4]).await;
        let refused = Err(WriteError::Rejected("negative".into()));
        assert_eq!(results, [Ok(1), Ok(2), refused, Ok(4)]);
        assert_eq!(tries, [4, 2, 2, 1, 1]);
    }

    #[tokio::test]
    async fn rule_18_only_what_was_never_handed_over_is_not_attempted() {
        let unreached = || Failure::NotReached(text());
        let (results, tries) = after(vec![unreached()], &[1, 2]).await;
        assert_eq!(results, vec![Err(WriteError::NotWritten(text())); 2]);
        assert_eq!(tries, [2]);

        let unknown = || Failure::Unknown(text());
        let lost = vec![unknown(), unreached(), unreached(), unreached()];
        let (results, _) = after(lost, &[1, 2]).await;
        assert_eq!(results, vec![Err(WriteError::Unknown(text())); 2]);
    }

    #[tokio::test]
    async fn rule_18_a_commit_in_doubt_is_run_again() {
        let (results, tries) = after(vec![Failure::Unknown(text())], &[1, 2]).await;
        assert_eq!((results, tries), (vec![Ok(1), Ok(2)], vec![2, 2]));
    }

    /// A database that takes nothing, or nothing that touches `poison`.
    struct Sick {
        poison: Option<i32>,
        tries: Mutex<usize>,
    }

    impl Writer<i32> for Sick {
        type Answer = i32;

        async fn write(&self, items: &[i32]) -> Result<Written<i32>, Failure> {
            *self.tries.lock().unwrap() += 1;
            match self.poison {
                Some(poison) if !items.contains(&poison) => {
                    Ok(items.iter().map(|item| Ok(*item)).collect())
                }
                _ => Err(Failure::RolledBack(text())),
            }
        }
    }

    async fn on_a_sick_one(poison: Option<i32>) -> (Vec<Result<i32, WriteError>>, usize) {
        let tries = Mutex::new(0);
        let writer = Sick { poison, tries };
        let mut environment = Environment::of_the_machine();
        environment.randomness = Arc::new(Zeros);
        let batch: Vec<_> = (0..512).collect();
        let results = run(&writer, &environment, &batch, |item| [*item]).await;
        (results, writer.tries.into_inner().unwrap())
    }

    #[tokio::test]
    async fn rule_18_what_was_only_ever_rolled_back_was_certainly_not_written() {
        let failures = vec![Failure::RolledBack(text()); TRIES_MAX as usize];
        let (results, tries) = after(failures, &[1]).await;
        assert_eq!(results, [Err(WriteError::NotWritten(text()))]);
        assert_eq!(tries, [1, 1, 1, 1]);
    }

    #[tokio::test]
    async fn rule_16_a_full_disk_does_not_split_a_batch_to_its_rows() {
        let (results, tries) = on_a_sick_one(None).await;
        assert_eq!(results, vec![Err(WriteError::NotWritten(text())); 512]);
        assert!(tries <= 16, "{tries} transactions");
    }

    #[tokio::test]
    async fn a_row_that_rolls_its_batch_back_leaves_its_neighbours_alone() {
        for poison in [0, 1, 255, 300, 511] {
            let (results, _) = on_a_sick_one(Some(poison)).await;
            for (item, result) in (0..).zip(results) {
                match item == poison {
                    true => assert_eq!(result, Err(WriteError::NotWritten(text()))),
                    false => assert_eq!(result, Ok(item)),
                }
            }
        }
    }
}
