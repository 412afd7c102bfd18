//! What the database has recorded: against what was asked for, and against time.

use std::collections::BTreeMap;

use super::{
    super::{
        history::{Asked, Kind},
        truth::{Ours, Recorded},
    },
    Finding, Operation, Story, What,
};

pub(super) fn of_all(
    stories: &BTreeMap<&str, Story<'_>>,
    ours: &Ours,
    findings: &mut Vec<Finding>,
) {
    let asked = stories.values().flat_map(Story::operations);
    let asked: BTreeMap<&str, &Operation<'_>> = asked
        .map(|operation| (operation.asked.key.as_str(), operation))
        .collect();
    for (key, recorded) in &ours.operations {
        let mut found = |what| findings.push(Finding::of(key, what));
        if recorded.len() > 1 {
            found(What::RecordedTwice);
        }
        for recorded in recorded {
            of_one(asked.get(key.as_str()).copied(), recorded, &mut found);
        }
    }
}

fn of_one(asked: Option<&Operation<'_>>, recorded: &Recorded, found: &mut impl FnMut(What)) {
    if recorded.is_open() {
        let status = if recorded.has_stray {
            "a charge that came too late is not given back".to_owned()
        } else {
            format!("recorded as {}", recorded.state)
        };
        found(What::Unsettled { status });
    }
    let Some(operation) = asked else {
        found(What::NeverAsked);
        return;
    };
    if let Some(field) = differs(operation.asked, recorded) {
        found(What::RecordedOtherwise { field });
    }
    // One has begun it, and each other has taken it over.
    let drove = operation.definite().filter(|(_, answer)| !answer.replayed);
    let (answers, drivers) = (drove.count(), recorded.epoch);
    if i64::try_from(answers).is_ok_and(|answers| answers > drivers) {
        found(What::DrivenByMore { answers, drivers });
    }
}

fn differs(asked: &Asked, recorded: &Recorded) -> Option<&'static str> {
    let has_amount = matches!(asked.kind, Kind::Capture | Kind::Refund);
    if asked.kind != recorded.kind {
        Some("kind")
    } else if asked.payment_key != recorded.payment_key {
        Some("payment")
    } else if has_amount && asked.amount != recorded.amount {
        Some("amount")
    } else {
        None
    }
}
