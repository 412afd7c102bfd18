//! What can be wrong.

use std::fmt;

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Finding {
    /// The key of the operation; `None` for what concerns all.
    pub(in super::super) key: Option<String>,
    pub(in super::super) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum What {
    ChargedTwice {
        charges: usize,
    },
    /// It is done, as we or an answer says, and the provider knows of no charge.
    ChargeLost {
        status: String,
    },
    /// Money was taken or is held for what is not done.
    Charged {
        status: String,
    },
    /// A sum that the provider has in another size.
    Amount {
        which: &'static str,
        ours: i64,
        theirs: i64,
    },
    /// Of another currency than was asked for; the code as the provider or we have it.
    Currency {
        asked: &'static str,
        found: String,
    },
    /// Nothing breaks any more, and it is still under way.
    Unsettled {
        status: String,
    },
    InDoubt(String),
    /// A client was told one thing, and another is true.
    Untrue {
        answered: String,
        status: String,
    },
    /// Two definite answers that are not the same bytes, or not the same status.
    AnswersDiffer,
    /// A definite answer was given, and a later request was told that it is still open.
    Forgotten {
        status: u16,
    },
    /// An answer to what is open, and it is said to be a replay.
    ReplayedOpen {
        status: u16,
    },
    /// The first request of all was told that it was answered before.
    ReplayedFirst,
    /// A request after a definite answer was told that it had begun or taken over the operation.
    DrivenAfterwards,
    /// More requests were told that they had begun or taken over the operation than there were drivers.
    DrivenByMore {
        answers: usize,
        drivers: i64,
    },
    /// An answer about something else than what was asked.
    AnotherAnswer {
        field: &'static str,
        asked: String,
        told: String,
    },
    /// An answer that has no place in the contract of that request.
    Unexpected {
        status: u16,
        code: Option<String>,
    },
    /// The last word was that nothing was sent and that it waits for the client; it did not.
    DoneBehindTheBack,
    /// It is decided, and whoever asks gets no definite answer.
    Unanswered,
    /// A payment or an operation that no client asked for.
    NeverAsked,
    /// Two operations of one key in the database.
    RecordedTwice,
    /// The database has something else than was asked for.
    RecordedOtherwise {
        field: &'static str,
    },
    /// Two payments under one key.
    TwoPayments,
    /// Two keys, one payment.
    SharedPayment,
    /// Charges that belong to no payment of a client.
    StrayCharges {
        count: u64,
    },
    /// Something was still under way when it had to be settled.
    NeverSettled,
    /// A node or the balancer has ended, and nobody killed it.
    EndedByItself {
        log: String,
    },
    /// The campaign could not go on to its end.
    BrokenOff {
        why: String,
    },
    /// No payment succeeded, which proves nothing.
    NothingDone,
}

impl Finding {
    pub(in super::super) fn of(key: &str, what: What) -> Self {
        let key = Some(key.to_owned());
        Self { key, what }
    }

    pub(in super::super) fn of_all(what: What) -> Self {
        Self { key: None, what }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => write!(f, "{key}: {}", self.what),
            None => write!(f, "{}", self.what),
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ChargedTwice { charges } => write!(f, "was charged {charges} times"),
            Self::ChargeLost { status } => write!(f, "is {status}, and there is no charge"),
            Self::Charged { status } => write!(f, "is {status}, and was charged"),
            Self::Amount {
                which,
                ours,
                theirs,
            } => write!(f, "{which}: {ours} by our word, {theirs} at the provider"),
            Self::Currency { asked, found } => {
                write!(f, "was asked for in {asked}, and is in {found}")
            }
            Self::Unsettled { status } => write!(f, "is not settled: {status}"),
            Self::InDoubt(what) => write!(f, "in doubt still: {what}"),
            Self::Untrue { answered, status } => {
                write!(f, "was answered {answered}, and is {status}")
            }
            Self::AnswersDiffer => f.write_str("got different definite answers"),
            Self::Forgotten { status } => {
                write!(f, "was answered {status} after a definite answer")
            }
            Self::ReplayedOpen { status } => {
                write!(f, "was answered {status}, which is said to be a replay")
            }
            Self::ReplayedFirst => f.write_str("was said to be replayed to its first request"),
            Self::DrivenAfterwards => {
                f.write_str("was settled, and a later request was said to have carried it out")
            }
            Self::DrivenByMore { answers, drivers } => write!(
                f,
                "was carried out by {answers} requests, they were told, and had {drivers} drivers"
            ),
            Self::AnotherAnswer { field, asked, told } => {
                write!(f, "asked with {field} {asked}, and was told {told}")
            }
            Self::Unexpected { status, code } => {
                let code = code.as_deref().unwrap_or("no code");
                write!(f, "was answered {status} ({code})")
            }
            Self::DoneBehindTheBack => {
                f.write_str("was said to wait for its client, and was done without it")
            }
            Self::Unanswered => f.write_str("is decided, and a replay has no answer"),
            Self::NeverAsked => f.write_str("was never asked for"),
            Self::RecordedTwice => f.write_str("is recorded twice"),
            Self::RecordedOtherwise { field } => {
                write!(f, "is recorded with another {field} than was asked for")
            }
            Self::TwoPayments => f.write_str("has two payments"),
            Self::SharedPayment => f.write_str("shares its payment with another key"),
            Self::StrayCharges { count } => write!(f, "{count} charges belong to no payment"),
            Self::NeverSettled => f.write_str("something was not settled in its time"),
            Self::EndedByItself { log } => write!(f, "a server ended by itself; see {log}"),
            Self::BrokenOff { why } => write!(f, "the campaign could not go on: {why}"),
            Self::NothingDone => f.write_str("no payment succeeded: nothing is shown"),
        }
    }
}
