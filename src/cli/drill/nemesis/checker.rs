//! The checker: a pure function over the whole history, the provider's charges and our own word at the
//! end. Start reading at [`check`].
//!
//! The provider is the judge: no money counts as moved because our own database says so. What the
//! database has recorded can only be a finding more.
//!
//! **Invariant:** no finding, no violation.

mod answers;
mod finding;
mod money;
mod recorded;
mod replays;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub(super) use finding::{Finding, What};

use super::{
    history::{Asked, Entry, Kind},
    truth::{Ours, Truth},
};

/// All requests of one operation, in the order in which their answers came.
struct Operation<'a> {
    asked: &'a Asked,
    entries: Vec<&'a Entry>,
}

/// A creation, and what was asked for the payment later.
struct Story<'a> {
    creation: Operation<'a>,
    follow_ups: Vec<Operation<'a>>,
}

/// Everything that is wrong. It is asked once nothing breaks any more and everything had its time to
/// settle; `last` says that everyone has asked again and must have been answered.
pub(super) fn check(history: &[Entry], ours: &Ours, truth: &Truth, last: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let stories = stories(history, &mut findings);
    for story in stories.values() {
        money::of_one(story, ours, truth, &mut findings);
        answers::of_one(story, ours, truth, last, &mut findings);
    }
    recorded::of_all(&stories, ours, &mut findings);
    findings.extend(never_asked(&stories, ours));
    answers::payments_are_apart(&stories, &mut findings);
    money::in_all(&stories, ours, truth, &mut findings);
    let in_doubt = ours.in_doubt.iter();
    findings.extend(in_doubt.map(|what| Finding::of_all(What::InDoubt(what.clone()))));
    if !ours.all().any(|payment| payment.status == "succeeded") {
        findings.push(Finding::of_all(What::NothingDone));
    }
    each_once(findings)
}

fn each_once(findings: Vec<Finding>) -> Vec<Finding> {
    let mut all = Vec::new();
    for finding in findings {
        if !all.contains(&finding) {
            all.push(finding);
        }
    }
    all
}

/// The history by payment. A follow-up of a payment that was never asked for is a finding of its own
/// kind: the client made it up from an answer.
fn stories<'a>(history: &'a [Entry], findings: &mut Vec<Finding>) -> BTreeMap<&'a str, Story<'a>> {
    let mut operations: BTreeMap<&str, Operation<'_>> = BTreeMap::new();
    for entry in history {
        let operation = operations.entry(&entry.asked.key);
        let operation = operation.or_insert_with(|| Operation {
            asked: &entry.asked,
            entries: Vec::new(),
        });
        operation.entries.push(entry);
    }
    let (creations, follow_ups): (Vec<_>, Vec<_>) = operations
        .into_values()
        .partition(|operation| operation.asked.kind == Kind::Create);
    let mut stories: BTreeMap<_, _> = creations
        .into_iter()
        .map(|creation| {
            let follow_ups = Vec::new();
            let key = creation.asked.key.as_str();
            let story = Story {
                creation,
                follow_ups,
            };
            (key, story)
        })
        .collect();
    for operation in follow_ups {
        match stories.get_mut(operation.asked.payment_key.as_str()) {
            Some(story) => story.follow_ups.push(operation),
            None => findings.push(Finding::of(&operation.asked.key, What::NeverAsked)),
        }
    }
    stories
}

/// Payments of ours that nobody wanted.
fn never_asked(stories: &BTreeMap<&str, Story<'_>>, ours: &Ours) -> Vec<Finding> {
    let keys: BTreeSet<&str> = stories.keys().copied().collect();
    let unknown = ours.all().map(|payment| payment.idempotency_key.as_str());
    unknown
        .filter(|key| !keys.contains(key))
        .map(|key| Finding::of(key, What::NeverAsked))
        .collect()
}

impl<'a> Operation<'a> {
    fn definite(&self) -> impl Iterator<Item = (&'a Entry, &'a super::history::Answer)> {
        let entries = self.entries.iter();
        entries.filter_map(|entry| Some((*entry, entry.definite()?)))
    }

    /// Whether someone was told that it was done.
    fn is_acknowledged(&self) -> bool {
        self.definite().any(|(_, answer)| answer.status != 402)
    }

    /// Whether someone was told that it was not done, and never will be.
    fn is_refused(&self) -> bool {
        self.definite().any(|(_, answer)| answer.status == 402)
    }
}

impl<'a> Story<'a> {
    fn operations(&self) -> impl Iterator<Item = &Operation<'a>> {
        std::iter::once(&self.creation).chain(&self.follow_ups)
    }

    fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Operation<'a>> {
        let follow_ups = self.follow_ups.iter();
        follow_ups.filter(move |operation| operation.asked.kind == kind)
    }

    /// Whether something of that kind was asked for and not refused for good.
    fn may_have_done(&self, kind: Kind) -> bool {
        self.of_kind(kind).any(|operation| !operation.is_refused())
    }
}
