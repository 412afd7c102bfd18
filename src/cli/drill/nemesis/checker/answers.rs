//! What clients were told: against what is true, against each other, and against what they asked.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    super::{
        history::{Answer, Asked, Came, Entry, Kind, Via},
        truth::{Ours, Truth},
    },
    Finding, Operation, Story, What, replays,
};

/// Judges all answers about one payment.
pub(super) fn of_one(
    story: &Story<'_>,
    ours: &Ours,
    truth: &Truth,
    last: bool,
    findings: &mut Vec<Finding>,
) {
    for operation in story.operations() {
        let mut found = |what| findings.push(Finding::of(&operation.asked.key, what));
        let answers = operation.entries.iter().filter_map(|entry| entry.answer());
        let odd = answers
            .clone()
            .find(|answer| !is_of_the_contract(operation.asked.kind, answer));
        if let Some(answer) = odd {
            let (status, code) = (answer.status, answer.code());
            found(What::Unexpected { status, code });
        }
        if let Some(what) = answers
            .clone()
            .find_map(|answer| about_another(operation.asked, answer))
        {
            found(what);
        }
        let mut definite = operation.definite();
        if let Some((_, first)) = definite.next()
            && definite.any(|(_, answer)| !is_same(first, answer))
        {
            found(What::AnswersDiffer);
        }
        if let Some(status) = forgotten(operation) {
            found(What::Forgotten { status });
        }
        replays::of_one(operation, found);
    }
    truth_of_answers(story, ours, findings);
    behind_the_back(story, truth, findings);
    if last {
        unsettled(story, ours, findings);
    }
}

/// Whether an answer of that status may come at all, whatever fails.
fn is_of_the_contract(kind: Kind, answer: &Answer) -> bool {
    let is_follow_up = kind != Kind::Create;
    match answer.status {
        201 => matches!(kind, Kind::Create | Kind::Refund),
        200 => matches!(kind, Kind::Capture | Kind::Cancel),
        // 502 and 504 are a balancer's own.
        202 | 402 | 429 | 502 | 503 | 504 => true,
        409 => is_follow_up,
        422 => is_follow_up && answer.code().as_deref() == Some("amount_exceeds_available"),
        _ => false,
    }
}

/// The first field of an answer that is not what was asked for.
fn about_another(asked: &Asked, answer: &Answer) -> Option<What> {
    let text = |value: &Value, field: &str| match value.get(field) {
        Some(Value::String(text)) => text.clone(),
        other => other.cloned().unwrap_or_default().to_string(),
    };
    let differs = |field: &'static str, asked: String, told: String| {
        (asked != told).then_some(What::AnotherAnswer { field, asked, told })
    };
    if let Some(refund) = answer.refund() {
        let payment = asked.payment.clone().unwrap_or_default();
        return differs("payment", payment, text(&refund, "payment"))
            .or_else(|| differs("amount", asked.amount.to_string(), text(&refund, "amount")));
    }
    let payment = answer.payment()?;
    let id = asked.payment.as_ref();
    let capture = if asked.manual { "manual" } else { "automatic" };
    let of_creation = || {
        let amount = asked.amount.to_string();
        differs("amount", amount, text(&payment, "amount"))
            .or_else(|| differs("capture", capture.to_owned(), text(&payment, "capture")))
    };
    let currency = asked.currency.to_owned();
    id.and_then(|id| differs("payment", id.clone(), text(&payment, "id")))
        .or_else(|| {
            differs(
                "reference",
                asked.payment_key.clone(),
                text(&payment, "reference"),
            )
        })
        .or_else(|| {
            differs(
                "idempotency_key",
                asked.payment_key.clone(),
                text(&payment, "idempotency_key"),
            )
        })
        .or_else(|| differs("currency", currency, text(&payment, "currency")))
        .or_else(|| (asked.kind == Kind::Create).then(of_creation).flatten())
}

/// Equal to the byte. HTTP leaves a balancer nothing to change in a body.
fn is_same(one: &Answer, other: &Answer) -> bool {
    (one.status, &one.body) == (other.status, &other.body)
}

/// The status of an answer that says that it is open, to a request that was made after a definite
/// answer had arrived.
fn forgotten(operation: &Operation<'_>) -> Option<u16> {
    let known_at = operation.definite().map(|(entry, _)| entry.until).min()?;
    let later = operation
        .entries
        .iter()
        .filter(|entry| entry.from > known_at);
    later
        .filter_map(|entry| entry.answer())
        .find(|answer| {
            let says_open =
                answer.status == 503 && answer.code().as_deref() == Some("provider_unavailable");
            answer.status == 202 || answer.status == 409 || says_open
        })
        .map(|answer| answer.status)
}

/// Whether every definite answer is how things stand.
fn truth_of_answers(story: &Story<'_>, ours: &Ours, findings: &mut Vec<Finding>) {
    let payment = ours.payment(&story.creation.asked.key);
    let status = payment.map_or("not recorded", |payment| payment.status.as_str());
    let is_manual = story.creation.asked.manual;
    let asked_for = |kind| story.of_kind(kind).next().is_some();
    for operation in story.operations() {
        let Some((_, answer)) = operation.definite().next() else {
            continue;
        };
        let told = answer.payment();
        let told = told
            .as_ref()
            .and_then(|payment| payment.get("status")?.as_str());
        let is_true = match (operation.asked.kind, answer.status, told) {
            // What was to be held only is charged by a capture alone, and the other way round.
            (Kind::Create, 201, Some("succeeded")) if !is_manual => status == "succeeded",
            (Kind::Create, 201, Some("authorized")) if is_manual => match status {
                "authorized" => true,
                "succeeded" => asked_for(Kind::Capture),
                "canceled" => asked_for(Kind::Cancel),
                _ => false,
            },
            (Kind::Create, 402, Some("canceled")) => status == "canceled",
            (Kind::Create, 402, Some("failed")) => status == "failed",
            (Kind::Capture, 200, Some("succeeded")) => status == "succeeded",
            (Kind::Cancel, 200, Some("canceled")) => status == "canceled",
            (Kind::Refund, 201, _) => status == "succeeded" && is_given_back(answer),
            // Then somebody else has done it: another capture or cancel, under its own key.
            (Kind::Capture, 402, _) if status == "succeeded" => story.may_have_done(Kind::Capture),
            (Kind::Cancel, 402, _) if status == "canceled" => story.may_have_done(Kind::Cancel),
            // Whether a refund that was refused moved money, the provider's sums tell.
            (Kind::Capture | Kind::Cancel | Kind::Refund, 402, _) => true,
            _ => false,
        };
        if !is_true {
            let told = told.map(|told| format!(" {told}")).unwrap_or_default();
            findings.push(Finding::of(
                &operation.asked.key,
                What::Untrue {
                    answered: format!("{}{told}", answer.status),
                    status: status.to_owned(),
                },
            ));
        }
    }
}

fn is_given_back(answer: &Answer) -> bool {
    let refund = answer.refund().unwrap_or_default();
    refund.get("status").and_then(Value::as_str) == Some("succeeded")
}

/// Looks for a charge after a client was told last that nothing was sent. Only where every request
/// came back from a node and none overlaps another: of any other it is not known when it arrived.
fn behind_the_back(story: &Story<'_>, truth: &Truth, findings: &mut Vec<Finding>) {
    let entries = &story.creation.entries;
    let is_plain =
        |entry: &&Entry| matches!(entry.came, Came::Answer(_)) && entry.via != Via::Balancer;
    if !entries.iter().all(is_plain) {
        return;
    }
    let Some(last) = entries.iter().max_by_key(|entry| entry.from) else {
        return;
    };
    let is_alone = |entry: &&&Entry| entry.until < last.from || std::ptr::eq(**entry, *last);
    let waits = last.answer().is_some_and(|answer| {
        answer.status == 503 && answer.code().as_deref() == Some("provider_unavailable")
    });
    let charges = truth.charges.get(&story.creation.asked.key);
    let is_charged = charges.is_some_and(|charges| !charges.is_empty());
    if waits && is_charged && entries.iter().all(|entry| is_alone(&entry)) {
        let key = &story.creation.asked.key;
        findings.push(Finding::of(key, What::DoneBehindTheBack));
    }
}

/// Whether something is still under way, or decided without anybody being able to learn it.
fn unsettled(story: &Story<'_>, ours: &Ours, findings: &mut Vec<Finding>) {
    let asked = story.creation.asked;
    let payment = ours.payment(&asked.key);
    let status = payment.map_or("not recorded", |payment| payment.status.as_str());
    let mut found = |key: &str, what| findings.push(Finding::of(key, what));
    if status == "processing" {
        let status = status.to_owned();
        found(&asked.key, What::Unsettled { status });
    }
    let is_decided = ["succeeded", "authorized", "failed", "canceled"].contains(&status);
    if is_decided && story.creation.definite().next().is_none() {
        found(&asked.key, What::Unanswered);
    }
    for operation in &story.follow_ups {
        let last = operation
            .entries
            .iter()
            .rev()
            .find_map(|entry| entry.answer());
        if last.is_some_and(|answer| answer.status == 202) {
            let status = "answered 202 to the last".to_owned();
            found(&operation.asked.key, What::Unsettled { status });
        }
        // A refusal for state or amount is no answer to what was recorded: that has one of its own.
        if ours.has_settled(&operation.asked.key) && operation.definite().next().is_none() {
            found(&operation.asked.key, What::Unanswered);
        }
    }
}

/// Whether every key has a payment of its own, in all answers.
pub(super) fn payments_are_apart(stories: &BTreeMap<&str, Story<'_>>, findings: &mut Vec<Finding>) {
    let mut owners: BTreeMap<String, &str> = BTreeMap::new();
    for (key, story) in stories {
        let mut own: Option<String> = None;
        let answers = story
            .creation
            .entries
            .iter()
            .filter_map(|entry| entry.answer());
        let ids = answers.filter_map(|answer| {
            let payment = answer.payment()?;
            Some(payment.get("id")?.as_str()?.to_owned())
        });
        for id in ids {
            if own.as_ref().is_some_and(|own| *own != id) {
                findings.push(Finding::of(key, What::TwoPayments));
                break;
            }
            let owner = owners.entry(id.clone()).or_insert(key);
            if owner != key {
                findings.push(Finding::of(key, What::SharedPayment));
                break;
            }
            own = Some(id);
        }
    }
}
