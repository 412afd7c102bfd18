//! How an operation in doubt is brought to its end, by what is known of it and of the provider's
//! memory. Start reading at [`next_step`].

use std::time::Duration;

use super::{Operation, Timestamp};

/// What a provider promises about its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProviderTerms {
    /// How long it is sure to remember an idempotency key.
    pub key_retention: Duration,
    /// How long after that an operation that it does not know was never carried out, if it still
    /// does not know it after half as long again.
    pub absence_wait: Duration,
}

/// What may be tried next for an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send the stored bytes under the stored key, no later than `until` by the store's clock.
    Send { until: Timestamp },
    /// Ask for the object that an attempt is known to have made.
    Inspect { reference: String },
    /// Look for what the operation may have made: sending is over.
    LookUp,
}

/// What it means that the provider does not know the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// Nothing yet: a late attempt may still arrive, or a key be remembered. Look again after so long.
    MeansNothing { again_in: Duration },
    /// It would have to be there, and is not. If it is so again after so long, it never was.
    First { again_in: Duration },
    /// It was never carried out.
    Settles,
    /// The provider knows the key, but not with our request: only a person can tell what that is.
    OperatorOnly,
}

/// Reasons that say that something was made under the key that is not what was asked for.
const OPERATOR_ONLY: [&str; 2] = [KEY_MISMATCH, "mismatch"];
const KEY_MISMATCH: &str = "key_mismatch";

/// Decides the next step at `now`, the store's clock.
pub fn next_step(operation: &Operation, terms: ProviderTerms, now: Timestamp) -> Step {
    if let Some(reference) = operation.own_object() {
        let reference = reference.to_owned();
        return Step::Inspect { reference };
    }
    let until = send_until(operation, terms);
    // A clock that was set back makes the provider's memory longer than it is: by no more than half of
    // what is left of it, or nothing is sent.
    let is_set_back = now.plus(margin(terms) / 2) < operation.first_sent_at;
    if operation.resends_barred || is_set_back || now >= until {
        return Step::LookUp;
    }
    Step::Send { until }
}

/// Until when a byte may be sent under the operation's key: an hour before the provider may forget it, or a
/// quarter of a retention too short for that.
pub fn send_until(operation: &Operation, terms: ProviderTerms) -> Timestamp {
    let forgets = operation.first_sent_at.plus(terms.key_retention);
    forgets.minus(margin(terms))
}

fn margin(terms: ProviderTerms) -> Duration {
    Duration::from_secs(3_600).min(terms.key_retention / 4)
}

/// From when on the provider can have made it. What was put in doubt by a restore may have been sent ever
/// since the operation was made; and a key that the provider knows with another request was used as long
/// ago as it remembers one, which may be longer than it promises.
pub fn made_from(operation: &Operation, terms: ProviderTerms) -> Timestamp {
    let first = operation.first_sent_at.min(operation.created_at);
    match operation.in_doubt_reason.as_deref() {
        Some(KEY_MISMATCH) => first.minus(2 * terms.key_retention),
        _ => first,
    }
}

/// Until when the provider can have made what was sent, as seen at `now`, from when on nothing is sent:
/// a late attempt takes no longer than the wait for an absence.
pub fn made_until(operation: &Operation, terms: ProviderTerms, now: Timestamp) -> Timestamp {
    now.min(send_until(operation, terms).plus(terms.absence_wait))
}

/// From when on an absence means something: the provider remembers no key any more, and a late attempt
/// has arrived by then if ever.
pub fn absence_counts_from(operation: &Operation, terms: ProviderTerms) -> Timestamp {
    (operation.first_sent_at)
        .plus(terms.key_retention)
        .plus(terms.absence_wait)
}

/// From when on a list that was read without the operation tells what [`judge_absence`] says at that time.
pub fn absence_is_read_from(operation: &Operation, terms: ProviderTerms) -> Timestamp {
    let counts_from = absence_counts_from(operation, terms);
    let again = terms.absence_wait / 2;
    (operation.absent_at).map_or(counts_from, |first| first.plus(again).max(counts_from))
}

/// Judges that the provider, asked at `now`, does not know the operation.
pub fn judge_absence(operation: &Operation, terms: ProviderTerms, now: Timestamp) -> Absence {
    if is_operators(operation.in_doubt_reason.as_deref()) {
        return Absence::OperatorOnly;
    }
    let counts_from = absence_counts_from(operation, terms);
    if now < counts_from {
        let again_in = counts_from.since(now);
        return Absence::MeansNothing { again_in };
    }
    let again = terms.absence_wait / 2;
    match operation.absent_at {
        None => Absence::First { again_in: again },
        Some(first) if now < first.plus(again) => Absence::MeansNothing {
            again_in: first.plus(again).since(now),
        },
        Some(_) => Absence::Settles,
    }
}

/// Whether an operation in doubt for that reason can be settled by a person only, unless the
/// provider shows the very operation.
pub(super) fn is_operators(reason: Option<&str>) -> bool {
    reason.is_some_and(|reason| OPERATOR_ONLY.contains(&reason))
}
