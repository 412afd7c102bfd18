//! What the drill prints: a table for people, JSON for machines.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::Serialize;

use super::{
    judge::Finding,
    row::{Row, RowResult, Run},
    visit::Came,
};

/// All rows, and what is wrong with the drill as a whole.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) world: String,
    pub(super) rows: Vec<Row>,
    pub(super) strays: Vec<Finding>,
}

/// The findings of one row that are shown to a person; a hundred more say the same.
const SHOWN_FINDINGS: usize = 5;

pub(super) const HEADINGS: [&str; 8] = [
    "FAILURE", "ASKED", "PAID", "CHARGES", "ANSWERS", "STRUCK", "SETTLED", "VERDICT",
];

impl Report {
    pub(super) fn is_once(&self) -> bool {
        self.strays.is_empty() && self.rows.iter().all(|row| !row.has_failed())
    }

    pub(super) fn table(&self) -> Vec<[String; HEADINGS.len()]> {
        self.rows.iter().map(Row::cells).collect()
    }

    /// What there is to say below the table.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for row in &self.rows {
            match &row.result {
                RowResult::Run(run) if !run.findings.is_empty() => {
                    lines.push(format!("FAILED  {}:", row.scenario.failure));
                    lines.extend(told(&run.findings));
                }
                RowResult::Skipped(why) => {
                    lines.push(format!("skipped  {}: {why}", row.scenario.failure));
                }
                RowResult::Run(_) => {}
            }
        }
        if !self.strays.is_empty() {
            lines.push("FAILED  all rows together:".to_owned());
            lines.extend(told(&self.strays));
        }
        let runs = || self.rows.iter().filter_map(Row::run);
        let asked: usize = runs().map(|run| run.ledger.len()).sum();
        let paid: usize = runs().map(|run| run.ledger.succeeded()).sum();
        let charges: usize = runs().map(|run| run.ledger.charges()).sum();
        let verdict = if self.is_once() { "once" } else { "FAILED" };
        lines.push(format!(
            "{verdict}: {asked} payments asked for, {paid} succeeded, {charges} charges at the provider ({})",
            self.world
        ));
        lines
    }

    pub(super) fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(&JsonReport {
            verdict: if self.is_once() { "once" } else { "failed" },
            world: &self.world,
            rows: self.rows.iter().map(JsonRow::of).collect(),
            findings: self.strays.iter().map(ToString::to_string).collect(),
        })
    }
}

fn told(findings: &[Finding]) -> impl Iterator<Item = String> {
    let shown = findings.iter().take(SHOWN_FINDINGS);
    let more = findings.len().saturating_sub(SHOWN_FINDINGS);
    let more = (more > 0).then(|| format!("  and {more} more"));
    shown.map(|finding| format!("  {finding}")).chain(more)
}

impl Row {
    pub(super) fn run(&self) -> Option<&Run> {
        match &self.result {
            RowResult::Run(run) => Some(run),
            RowResult::Skipped(_) => None,
        }
    }

    fn has_failed(&self) -> bool {
        self.run().is_some_and(|run| !run.findings.is_empty())
    }

    pub(super) fn verdict(&self) -> &'static str {
        match &self.result {
            RowResult::Skipped(_) => "skipped",
            RowResult::Run(run) if run.findings.is_empty() => "once",
            RowResult::Run(_) => "FAILED",
        }
    }

    fn cells(&self) -> [String; HEADINGS.len()] {
        let none = || "-".to_owned();
        let cells = match self.run() {
            None => [none(), none(), none(), none(), none(), none()],
            Some(run) => [
                run.ledger.len().to_string(),
                run.ledger.succeeded().to_string(),
                run.ledger.charges().to_string(),
                answers(&run.ledger.came),
                run.struck.map_or_else(none, |struck| struck.to_string()),
                match run.settled {
                    Some(after) => seconds(after),
                    None => "never".to_owned(),
                },
            ],
        };
        let [asked, paid, charges, answers, struck, settled] = cells;
        let (failure, verdict) = (self.scenario.failure.to_owned(), self.verdict().to_owned());
        [
            failure, asked, paid, charges, answers, struck, settled, verdict,
        ]
    }
}

fn answers(came: &BTreeMap<Came, u64>) -> String {
    let counts = came.iter().map(|(came, count)| format!("{count}x{came}"));
    counts.collect::<Vec<_>>().join(" ")
}

fn seconds(after: Duration) -> String {
    format!("{:.1} s", after.as_secs_f64())
}

impl fmt::Display for Came {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "{status}"),
            Self::Cut => f.write_str("cut"),
            Self::Left => f.write_str("left"),
        }
    }
}

#[derive(Serialize)]
struct JsonReport<'a> {
    verdict: &'static str,
    world: &'a str,
    rows: Vec<JsonRow>,
    findings: Vec<String>,
}

#[derive(Serialize)]
struct JsonRow {
    name: &'static str,
    failure: &'static str,
    verdict: String,
    skipped: Option<&'static str>,
    asked: usize,
    succeeded: usize,
    charges: usize,
    answers: BTreeMap<String, u64>,
    struck: Option<u64>,
    settled_ms: Option<u64>,
    findings: Vec<String>,
}

impl JsonRow {
    fn of(row: &Row) -> Self {
        let run = row.run();
        let ledger = run.map(|run| &run.ledger);
        let came = ledger.iter().flat_map(|ledger| &ledger.came);
        let millis = |after: Duration| u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        Self {
            name: row.scenario.name,
            failure: row.scenario.failure,
            verdict: row.verdict().to_lowercase(),
            skipped: match &row.result {
                RowResult::Skipped(why) => Some(why),
                RowResult::Run(_) => None,
            },
            asked: ledger.map_or(0, |ledger| ledger.len()),
            succeeded: ledger.map_or(0, |ledger| ledger.succeeded()),
            charges: ledger.map_or(0, |ledger| ledger.charges()),
            answers: came
                .map(|(came, count)| (came.to_string(), *count))
                .collect(),
            struck: run.and_then(|run| run.struck),
            settled_ms: run.and_then(|run| run.settled).map(millis),
            findings: run
                .iter()
                .flat_map(|run| &run.findings)
                .map(ToString::to_string)
                .collect(),
        }
    }
}
