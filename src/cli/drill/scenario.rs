//! The rows: which failure, how it is brought about, and what the clients do meanwhile.
//!
//! They are the rows of the failure table, each with a provider that is as slow as a near one.

use std::time::Duration;

use super::gate::Way;
use crate::sandbox::FaultKind;

/// A row of the drill.
#[derive(Debug)]
pub(super) struct Scenario {
    /// What `--only` takes.
    pub(super) name: &'static str,
    /// What the table says.
    pub(super) failure: &'static str,
    pub(super) faults: Faults,
    pub(super) crowd: Crowd,
    pub(super) disturbance: Disturbance,
}

/// What the provider does wrong, and how slow it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Faults {
    /// Half of all calls take less, one of a hundred takes more: milliseconds.
    pub(super) latency_ms: (u32, u32),
    /// The first that fires decides.
    pub(super) rules: &'static [Fault],
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    pub(super) kind: FaultKind,
    /// From 0 to 1.
    pub(super) rate: f64,
    /// At most so often.
    pub(super) times: Option<u32>,
}

/// Who pays in this row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crowd {
    /// All sorts: most wait for the answer, some ask twice at once, some leave before it, some do not
    /// come back after an answer that is not definite.
    Mixed,
    /// Everyone asks twice at once, and once more later.
    Twice,
    /// Everyone leaves before the first answer, and comes back.
    Leaving,
    /// Every card is declined.
    Declined,
    /// So many requests for one payment at once.
    Storm { requests: u32 },
    /// So many times the clients, at once.
    Surge { times: u32 },
}

/// What happens to the world beside the provider's faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disturbance {
    None,
    /// The server is killed and started again, so often.
    KillServer {
        times: u32,
        moment: KillMoment,
    },
    /// The way between the server and its database is closed for a while, so often.
    Database {
        times: u32,
        way: Way,
    },
    /// The way between the server and Redis is closed in each of these ways for a while, and whatever
    /// was there is gone.
    Redis {
        ways: &'static [Way],
    },
}

/// When a server is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KillMoment {
    /// While calls are under way that the provider has not acted upon.
    BeforeTheCharge,
    /// While the provider has charged, and has not answered.
    AfterTheCharge,
}

/// How long faults last at most: afterwards the provider heals, and everything must settle.
pub(super) const FAULTS_LAST_MAX: Duration = Duration::from_secs(6);

/// How long the way to the database or to Redis stays closed.
pub(super) const CLOSED_FOR: Duration = Duration::from_secs(2);

const NEAR: (u32, u32) = (10, 60);
const QUIET: Faults = Faults {
    latency_ms: NEAR,
    rules: &[],
};

/// So slow that there are calls under way at any time.
const SLOW: Faults = Faults {
    latency_ms: (300, 500),
    rules: &[],
};

const fn rate(kind: FaultKind, rate: f64) -> Fault {
    Fault {
        kind,
        rate,
        times: None,
    }
}

const fn first(kind: FaultKind, times: u32) -> Fault {
    Fault {
        kind,
        rate: 1.0,
        times: Some(times),
    }
}

/// The first calls are struck for certain, and then almost a third.
macro_rules! often {
    ($kind:ident) => {
        Faults {
            latency_ms: NEAR,
            rules: &[first(FaultKind::$kind, 2), rate(FaultKind::$kind, 0.3)],
        }
    };
}

const fn row(name: &'static str, failure: &'static str, faults: Faults) -> Scenario {
    Scenario {
        name,
        failure,
        faults,
        crowd: Crowd::Mixed,
        disturbance: Disturbance::None,
    }
}

const fn crowd(name: &'static str, failure: &'static str, crowd: Crowd) -> Scenario {
    Scenario {
        crowd,
        ..row(name, failure, QUIET)
    }
}

const fn disturbed(
    name: &'static str,
    failure: &'static str,
    faults: Faults,
    disturbance: Disturbance,
) -> Scenario {
    Scenario {
        disturbance,
        ..row(name, failure, faults)
    }
}

const KILLS: u32 = 3;

/// Every row, in the order in which it is run.
pub(super) static SCENARIOS: &[Scenario] = &[
    row("none", "nothing fails", QUIET),
    crowd(
        "twice",
        "the same request twice, at once and later",
        Crowd::Twice,
    ),
    crowd(
        "leaves",
        "the client leaves before the answer",
        Crowd::Leaving,
    ),
    crowd("declined", "the provider declines", Crowd::Declined),
    row(
        "refuses",
        "the provider refuses connections, then heals",
        Faults {
            latency_ms: NEAR,
            rules: &[first(FaultKind::RefuseConnection, 40)], // Slots of 100 ms.
        },
    ),
    row(
        "error_after",
        "the provider charges and answers 500",
        often!(ErrorAfter),
    ),
    row(
        "reset_after",
        "the provider charges and cuts the connection",
        often!(ResetAfter),
    ),
    row(
        "hang_after",
        "the provider charges and never answers",
        often!(HangAfter),
    ),
    row(
        "error_before",
        "the provider answers 500 and does nothing",
        often!(ErrorBefore),
    ),
    row(
        "reset_before",
        "the provider cuts the connection and does nothing",
        often!(ResetBefore),
    ),
    row(
        "hang_before",
        "the provider never answers and does nothing",
        often!(HangBefore),
    ),
    row(
        "unavailable",
        "the provider answers 503",
        often!(Unavailable),
    ),
    row(
        "error_stored",
        "the provider answers 500, for good",
        often!(ErrorStored),
    ),
    row(
        "rate_limit",
        "the provider limits the rate (429)",
        often!(RateLimit),
    ),
    row("mixed", "all of these together, and a slow provider", MIXED),
    disturbed(
        "killed_before",
        "the server is killed before the provider charges",
        SLOW,
        Disturbance::KillServer {
            times: KILLS,
            moment: KillMoment::BeforeTheCharge,
        },
    ),
    disturbed(
        "killed_after",
        "the server is killed after the provider charged",
        Faults {
            latency_ms: NEAR,
            rules: &[rate(FaultKind::HangAfter, 0.5)],
        },
        Disturbance::KillServer {
            times: KILLS,
            moment: KillMoment::AfterTheCharge,
        },
    ),
    crowd(
        "storm",
        "one payment, asked for 500 times at once",
        Crowd::Storm { requests: 500 },
    ),
    crowd(
        "surge",
        "ten times the clients at once",
        Crowd::Surge { times: 10 },
    ),
    disturbed(
        "database_cut",
        "the connections to the database are cut",
        SLOW,
        Disturbance::Database {
            times: 3,
            way: Way::Cut,
        },
    ),
    disturbed(
        "database_stalled",
        "the database stops answering for a while",
        SLOW,
        Disturbance::Database {
            times: 2,
            way: Way::Stalled,
        },
    ),
    disturbed(
        "redis",
        "Redis stalls, is slow, is cut off, and is emptied",
        SLOW,
        Disturbance::Redis {
            ways: &[Way::Stalled, Way::Slow, Way::Cut],
        },
    ),
];

const MIXED: Faults = Faults {
    latency_ms: (30, 400),
    rules: &[
        first(FaultKind::ErrorAfter, 1),
        first(FaultKind::ResetAfter, 1),
        rate(FaultKind::RefuseConnection, 0.05),
        rate(FaultKind::ErrorBefore, 0.05),
        rate(FaultKind::ErrorAfter, 0.05),
        rate(FaultKind::ErrorStored, 0.02),
        rate(FaultKind::HangBefore, 0.03),
        rate(FaultKind::HangAfter, 0.03),
        rate(FaultKind::ResetBefore, 0.05),
        rate(FaultKind::ResetAfter, 0.05),
        rate(FaultKind::Unavailable, 0.05),
        rate(FaultKind::RateLimit, 0.05),
        rate(FaultKind::LookupLag, 1.0),
    ],
};

impl Faults {
    /// Whether nothing else goes wrong than this.
    pub(super) fn are_only(&self, kind: FaultKind) -> bool {
        !self.rules.is_empty() && self.rules.iter().all(|fault| fault.kind == kind)
    }

    /// The plan as the sandbox reads it, with one kind left out.
    pub(super) fn json(&self, spared: Option<FaultKind>) -> serde_json::Value {
        let made = |fault: &&Fault| Some(fault.kind) != spared;
        let rules = self.rules.iter().filter(made).map(|fault| {
            serde_json::json!({
                "kind": fault.kind.name(), "rate": fault.rate, "times": fault.times,
            })
        });
        let (p50, p99) = self.latency_ms;
        serde_json::json!({
            "latency_ms": {"p50": p50, "p99": p99},
            "rules": rules.collect::<Vec<_>>(),
        })
    }
}

/// The row of that name, or the names that there are.
pub(super) fn find(name: &str) -> Result<&'static Scenario, String> {
    let found = SCENARIOS.iter().find(|scenario| scenario.name == name);
    found.ok_or_else(|| {
        let names: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        format!("there is no such row; there are {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_row_has_a_name_of_its_own() {
        let names: BTreeSet<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), SCENARIOS.len());
        for scenario in SCENARIOS {
            assert_eq!(find(scenario.name).unwrap().failure, scenario.failure);
        }
        assert!(find("nowhere").unwrap_err().contains("killed_after"));
    }

    #[test]
    fn a_kind_that_is_spared_is_not_ordered() {
        let stored = FaultKind::ErrorStored;
        let kinds = |spared| {
            let plan = MIXED.json(spared);
            let rules = plan["rules"].as_array().unwrap().clone();
            let kind = |rule: serde_json::Value| rule["kind"].as_str().unwrap().to_owned();
            rules.into_iter().map(kind).collect::<Vec<_>>()
        };
        let mut all = kinds(None);
        assert!(all.contains(&stored.name().to_owned()));
        all.retain(|kind| kind != stored.name());
        assert_eq!(kinds(Some(stored)), all);
        assert!(!MIXED.are_only(stored) && !QUIET.are_only(stored));
        assert!(find("error_stored").unwrap().faults.are_only(stored));
    }

    /// `forget_keys` is left out on purpose: against a provider that breaks its own promise about
    /// keys nobody can keep ours.
    #[test]
    fn every_fault_of_the_sandbox_has_its_row() {
        for kind in FaultKind::ALL {
            let is_in = |scenario: &Scenario| scenario.faults.rules.iter().any(|f| f.kind == kind);
            let expected = kind != FaultKind::ForgetKeys;
            assert_eq!(SCENARIOS.iter().any(is_in), expected, "{}", kind.name());
        }
    }
}
