//! What a campaign prints, and the evidence that it leaves when something is wrong.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Serialize;

use super::{
    super::error::DrillError,
    Known,
    checker::Finding,
    history::{self, Came, Entry, Kind},
    plan::Plan,
};

#[derive(Debug, Serialize)]
pub(in super::super) struct Report {
    verdict: &'static str,
    seed: u64,
    duration_s: f64,
    world: String,
    /// What was broken, and how often.
    survived: BTreeMap<String, u64>,
    /// How many calls each fault of the provider struck.
    struck: BTreeMap<String, u64>,
    payments: usize,
    /// How many of them were captured, and how many are held only.
    succeeded: usize,
    authorized: usize,
    requests: usize,
    /// Requests that repeated another one.
    duplicates: usize,
    answers: BTreeMap<String, u64>,
    charges: u64,
    settled_ms: Option<u64>,
    findings: Vec<String>,
    /// Where the evidence is.
    folder: Option<PathBuf>,
}

/// The findings that are shown to a person; a hundred more say the same.
const SHOWN_FINDINGS: usize = 10;
/// What the nemesis did so long before and after the requests of a key is shown beside them.
const AROUND: Duration = Duration::from_secs(3);

impl Report {
    pub(super) fn new(plan: &Plan, world: String, history: &[Entry], known: &Known) -> Self {
        let operations: BTreeSet<_> = history.iter().map(|entry| &entry.asked.key).collect();
        let created = history
            .iter()
            .filter(|entry| entry.asked.kind == Kind::Create);
        let payments: BTreeSet<_> = created.map(|entry| &entry.asked.key).collect();
        let mut answers = BTreeMap::new();
        for entry in history {
            let came = match &entry.came {
                Came::Answer(answer) => answer.status.to_string(),
                Came::Cut => "cut".to_owned(),
                Came::Left => "left".to_owned(),
            };
            *answers.entry(came).or_default() += 1;
        }
        let that_are = |status: &str| {
            let payments = known.ours.all();
            payments.filter(|payment| payment.status == status).count()
        };
        let millis = |after: Duration| u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        Self {
            verdict: if known.findings.is_empty() {
                "once"
            } else {
                "failed"
            },
            seed: plan.seed,
            duration_s: plan.duration.as_secs_f64(),
            world,
            survived: known.survived.done.clone(),
            struck: known.survived.struck.clone(),
            payments: payments.len(),
            succeeded: that_are("succeeded"),
            authorized: that_are("authorized"),
            requests: history.len(),
            duplicates: history.len() - operations.len(),
            answers,
            charges: known.truth.in_all.count,
            settled_ms: known.settled.map(millis),
            findings: known.findings.iter().map(ToString::to_string).collect(),
            folder: None,
        }
    }

    pub(in super::super) fn is_once(&self) -> bool {
        self.findings.is_empty()
    }

    pub(super) fn kept_in(&mut self, folder: PathBuf) {
        self.folder = Some(folder);
    }

    pub(in super::super) fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    pub(in super::super) fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!("broken: {}", counted(&self.survived)),
            format!(
                "calls struck by the provider's faults: {}",
                counted(&self.struck)
            ),
            format!("answers: {}", counted(&self.answers)),
        ];
        lines.push(match self.settled_ms {
            Some(ms) => format!(
                "settled: {:.1} s after the last client has left",
                ms as f64 / 1_000.0
            ),
            None => "settled: never".to_owned(),
        });
        for finding in self.findings.iter().take(SHOWN_FINDINGS) {
            lines.push(format!("FAILED  {finding}"));
        }
        let more = self.findings.len().saturating_sub(SHOWN_FINDINGS);
        if more > 0 {
            lines.push(format!("FAILED  and {more} more"));
        }
        if let Some(folder) = &self.folder {
            lines.push(format!("evidence: {}", folder.display()));
        }
        let verdict = if self.is_once() { "once" } else { "FAILED" };
        lines.push(format!(
            "{verdict}: seed {}, {} s, {} payments asked for in {} requests ({} of them repeated), \
             {} succeeded, {} authorized, {} charges at the provider ({})",
            self.seed,
            self.duration_s,
            self.payments,
            self.requests,
            self.duplicates,
            self.succeeded,
            self.authorized,
            self.charges,
            self.world,
        ));
        lines
    }
}

fn counted(counts: &BTreeMap<String, u64>) -> String {
    let counts = counts.iter().filter(|(_, count)| **count > 0);
    let counts = counts.map(|(name, count)| format!("{count} x {name}"));
    let text = counts.collect::<Vec<_>>().join(", ");
    if text.is_empty() {
        "nothing".to_owned()
    } else {
        text
    }
}

/// Writes the plan, the whole history, and each finding with its own history and what was broken
/// around it.
pub(super) fn leave_evidence(
    folder: &Path,
    plan: &Plan,
    history: &[Entry],
    findings: &[Finding],
) -> Result<(), DrillError> {
    let write = |name: &str, written: &dyn Fn(&Path) -> std::io::Result<()>| {
        let path = folder.join(name);
        written(&path).map_err(|source| DrillError::Write { path, source })
    };
    let actions: String = plan
        .actions
        .iter()
        .map(|action| format!("{action}\n"))
        .collect();
    write("plan.txt", &|path| std::fs::write(path, &actions))?;
    write("history.jsonl", &|path| history::write(history, path))?;
    let told: String = findings
        .iter()
        .map(|finding| told(finding, plan, history))
        .collect();
    write("findings.txt", &|path| std::fs::write(path, &told))
}

fn told(finding: &Finding, plan: &Plan, history: &[Entry]) -> String {
    let mut text = format!("{finding}\n");
    let Some(key) = &finding.key else {
        text.push('\n');
        return text;
    };
    // All of the payment: a refund that is wrong may have been wrong from the creation on.
    let own = history.iter().find(|entry| entry.asked.key == *key);
    let payment_key = own.map_or(key, |entry| &entry.asked.payment_key);
    let is_own = |entry: &&Entry| entry.asked.payment_key == *payment_key;
    let mut lines: Vec<(Duration, String)> = Vec::new();
    for entry in history.iter().filter(is_own) {
        let came = match &entry.came {
            Came::Answer(answer) => format!(
                "{}{} {}",
                answer.status,
                if answer.replayed { " replayed" } else { "" },
                answer.body
            ),
            Came::Cut => "cut".to_owned(),
            Came::Left => "left".to_owned(),
        };
        let asked = format!(
            "{:?} {} via {:?}",
            entry.asked.kind, entry.asked.key, entry.via
        );
        let until = entry.until.as_secs_f64();
        lines.push((entry.from, format!("{asked}, until {until:.3} s: {came}")));
    }
    let from = lines
        .iter()
        .map(|(from, _)| *from)
        .min()
        .unwrap_or_default();
    let from = from.saturating_sub(AROUND);
    let until = history.iter().filter(is_own).map(|entry| entry.until).max();
    let until = until.unwrap_or_default() + AROUND;
    let around = plan
        .actions
        .iter()
        .filter(|action| action.from <= until && from <= action.from + action.lasts);
    for action in around {
        let lasts = action.lasts.as_secs_f64();
        lines.push((action.from, format!("--- {} for {lasts:.2} s", action.what)));
    }
    lines.sort();
    for (at, line) in lines {
        // A text takes whatever is written to it.
        let _ = writeln!(text, "  {:8.3} s  {line}", at.as_secs_f64());
    }
    text.push('\n');
    text
}
