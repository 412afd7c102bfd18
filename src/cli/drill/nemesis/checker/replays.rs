//! `Idempotent-Replayed`: it stands where an operation is settled and the request has neither begun it
//! nor taken it over.
//!
//! Who has taken an operation over cannot be seen from outside, and two requests may both have driven
//! it, one after the other: a settled answer of each then comes without the header. What is judged here
//! holds whoever drove. How many can have driven it at most, the record tells (`recorded`).

use super::{
    super::history::{Entry, Via},
    Operation, What,
};

pub(super) fn of_one(operation: &Operation<'_>, mut found: impl FnMut(What)) {
    let answers = operation.entries.iter().filter_map(|entry| entry.answer());
    let open = answers
        .clone()
        .find(|answer| answer.replayed && !answer.is_definite());
    if let Some(answer) = open {
        let status = answer.status;
        found(What::ReplayedOpen { status });
    }
    if is_first_replayed(operation) {
        found(What::ReplayedFirst);
    }
    if is_settled_one_driven(operation) {
        found(What::DrivenAfterwards);
    }
}

/// The first request was answered before there was any other, and nothing between the client and the
/// node repeats one: so it has begun the operation.
fn is_first_replayed(operation: &Operation<'_>) -> bool {
    let first = operation.entries.iter().min_by_key(|entry| entry.from);
    let Some(first) = first.filter(|entry| entry.via != Via::Balancer) else {
        return false;
    };
    let is_later = |entry: &&Entry| std::ptr::eq(*entry, *first) || entry.from > first.until;
    let is_replayed = first.definite().is_some_and(|answer| answer.replayed);
    is_replayed && operation.entries.iter().all(is_later)
}

/// What is settled is neither begun nor taken over by a request that is made afterwards.
fn is_settled_one_driven(operation: &Operation<'_>) -> bool {
    let known_at = operation.definite().map(|(entry, _)| entry.until).min();
    known_at.is_some_and(|known_at| {
        operation
            .definite()
            .any(|(entry, answer)| entry.from > known_at && !answer.replayed)
    })
}
