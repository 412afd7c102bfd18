//! The judge: a pure function over what clients were told and what the provider counts.
//!
//! It asks the provider and never our own database: a payment counts as charged only because the
//! sandbox holds money for it.
//!
//! **Invariant:** no finding, no failure; a row without findings is `once`.

use std::fmt;

/// One payment of a row, as everyone saw it who can be believed.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) key: String,
    /// What was asked for, in minor units.
    pub(super) amount: i64,
    /// Every answer that claimed to be the last word, in order of arrival.
    pub(super) answers: Vec<Definite>,
    /// What the server says of it at the end.
    pub(super) fate: Fate,
    /// The amounts that the provider holds or moved for it, one a charge.
    pub(super) charges: Vec<i64>,
}

/// A `201` or a `402`, to the byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Definite {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// How a payment stands once the clients have gone and the wait for it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Succeeded,
    /// Failed or canceled.
    Failed,
    /// Certainly not sent: it waits for a client that has given up.
    Pending,
    /// The server has never recorded it.
    NotRecorded,
    /// In doubt still, or not to be learned.
    Undecided,
}

/// A broken promise, or a row that proves nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    ChargedTwice {
        key: String,
        charges: usize,
    },
    /// The client was told that it has paid, and has not.
    ChargeLost {
        key: String,
    },
    /// There is a charge, and the payment is not one that succeeded.
    ChargedFor {
        key: String,
        fate: Fate,
    },
    WrongAmount {
        key: String,
        asked: i64,
        charged: i64,
    },
    Undecided {
        key: String,
    },
    /// Two definite answers that are not the same bytes.
    AnswersDiffer {
        key: String,
    },
    /// It is decided, and whoever asks again does not get to know.
    Unanswered {
        key: String,
    },
    /// A definite answer that is not how the payment stands.
    AnswerUntrue {
        key: String,
        status: u16,
        fate: Fate,
    },
    /// Charges that belong to none of the payments of the drill.
    StrayCharges {
        count: u64,
    },
    /// Charges that came after the row was counted.
    ChargedLate {
        count: u64,
    },
    /// The fault struck nothing, so that nothing is shown.
    NeverStruck,
    NothingAsked,
    /// The server did not serve before the row began, whatever the reason.
    NotWell(String),
}

/// Everything that is wrong with a row whose fault has struck so often; `None` where there is none
/// to strike.
pub(super) fn judge(cases: &[Case], struck: Option<u64>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = cases.iter().flat_map(of_one).collect();
    if cases.is_empty() {
        findings.push(Finding::NothingAsked);
    }
    if struck == Some(0) {
        findings.push(Finding::NeverStruck);
    }
    findings
}

/// What is wrong with the drill as a whole: charges that belong to no payment, where nobody else
/// can have made any (`in_all` is known).
pub(super) fn strays<'a>(
    cases: impl Iterator<Item = &'a Case>,
    in_all: Option<u64>,
) -> Vec<Finding> {
    let ours: u64 = cases.map(|case| case.charges.len() as u64).sum();
    match in_all.map_or(0, |all| all.saturating_sub(ours)) {
        0 => Vec::new(),
        count => vec![Finding::StrayCharges { count }],
    }
}

fn of_one(case: &Case) -> Vec<Finding> {
    let mut findings = Vec::new();
    let key = || case.key.clone();
    match (case.fate, case.charges.len()) {
        (_, charges @ 2..) => findings.push(Finding::ChargedTwice {
            key: key(),
            charges,
        }),
        (Fate::Succeeded, 0) => findings.push(Finding::ChargeLost { key: key() }),
        (Fate::Failed | Fate::Pending | Fate::NotRecorded, 1) => {
            findings.push(Finding::ChargedFor {
                key: key(),
                fate: case.fate,
            });
        }
        _ => {}
    }
    let wrong = case.charges.iter().find(|charged| **charged != case.amount);
    if let Some(charged) = wrong {
        findings.push(Finding::WrongAmount {
            key: key(),
            asked: case.amount,
            charged: *charged,
        });
    }
    if case.fate == Fate::Undecided {
        findings.push(Finding::Undecided { key: key() });
    }
    if case.answers.is_empty() && matches!(case.fate, Fate::Succeeded | Fate::Failed) {
        findings.push(Finding::Unanswered { key: key() });
    }
    if let Some((first, others)) = case.answers.split_first() {
        if others.iter().any(|other| other != first) {
            findings.push(Finding::AnswersDiffer { key: key() });
        }
        let is_true = match case.fate {
            Fate::Succeeded => first.status == 201,
            Fate::Failed => first.status == 402,
            Fate::Undecided => true, // Found already.
            Fate::Pending | Fate::NotRecorded => false,
        };
        if !is_true {
            findings.push(Finding::AnswerUntrue {
                key: key(),
                status: first.status,
                fate: case.fate,
            });
        }
    }
    findings
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Pending => "pending",
            Self::NotRecorded => "not recorded",
            Self::Undecided => "undecided",
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ChargedTwice { key, charges } => write!(f, "{key} was charged {charges} times"),
            Self::ChargeLost { key } => write!(f, "{key} succeeded, and there is no charge"),
            Self::ChargedFor { key, fate } => write!(f, "{key} is {fate}, and was charged"),
            Self::WrongAmount {
                key,
                asked,
                charged,
            } => write!(f, "{key} asked for {asked}, and was charged {charged}"),
            Self::Undecided { key } => write!(f, "{key} is not decided"),
            Self::AnswersDiffer { key } => write!(f, "{key} got different definite answers"),
            Self::Unanswered { key } => write!(f, "{key} is decided, and a replay has no answer"),
            Self::AnswerUntrue { key, status, fate } => {
                write!(f, "{key} was answered {status}, and is {fate}")
            }
            Self::StrayCharges { count } => write!(f, "{count} charges belong to no payment"),
            Self::ChargedLate { count } => write!(f, "{count} charges came after the count"),
            Self::NeverStruck => f.write_str("the fault struck nothing; ask for more payments"),
            Self::NothingAsked => f.write_str("no payment was asked for"),
            Self::NotWell(why) => write!(f, "the server was not well before it began: {why}"),
        }
    }
}

#[cfg(test)]
mod tests;
