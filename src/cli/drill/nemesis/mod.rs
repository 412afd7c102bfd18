//! The campaign: `oncepay drill --nemesis`. Real processes under load through a load balancer, while a
//! nemesis with a seed breaks them; then a checker judges the whole history by what the provider
//! holds. Start reading at [`run`], then `plan` for what is broken and `checker` for what is promised.
//!
//! **Invariant:** nothing that is broken stays broken: what is judged is a world in which everything
//! runs and every way is open.
//! **Invariant:** however it ends, no process of it is left, and no file unless it is evidence.
//! **Invariant:** once clients pay there is a verdict: what keeps the campaign from its end is a finding.

mod balancer;
mod checker;
mod clients;
mod desk;
mod faults;
mod history;
mod node;
mod plan;
mod postgres;
mod records;
mod report;
mod runs;
mod settings;
mod survey;
mod truth;
mod watchdog;
mod world;

use std::{sync::Arc, time::Duration};

use clap::ValueEnum;
use tokio::time::Instant;

use self::{
    checker::{Finding, What, check},
    desk::Desk,
    faults::{Nemesis, Survived},
    plan::Plan,
    truth::{Ours, Truth},
    world::World,
};
use super::{
    super::{error::in_one_line, printer::Printer},
    error::DrillError,
};
use crate::environment::Environment;

pub(super) use report::Report;

/// What is asked of a campaign.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) seed: u64,
    pub(super) duration: Duration,
    pub(super) clients: u32,
    pub(super) careless: Option<Careless>,
    /// What every key begins with.
    pub(super) run: String,
}

/// A promise that everything rests on, broken on purpose, to see that a campaign notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Careless {
    /// The provider forgets every idempotency key at once.
    ForgetfulProvider,
    /// The second node has a database of its own.
    TwoDatabases,
}

/// How long the campaign breaks things, from a text such as `180s`, `3m` or `180`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit_s) = match text.strip_suffix('m') {
        Some(minutes) => (minutes, 60),
        None => (text.strip_suffix('s').unwrap_or(text), 1),
    };
    let seconds = number
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(unit_s));
    match seconds {
        Some(seconds @ 10..=86_400) => Ok(Duration::from_secs(seconds)),
        _ => Err("must be 10s to 1440m, in whole seconds or minutes".to_owned()),
    }
}

/// Runs a whole campaign. The world is gone when it returns.
pub(super) async fn run(
    order: &Order,
    environment: &Environment,
    printer: &mut Printer,
) -> Result<Report, DrillError> {
    let plan = Plan::of(order.seed, order.duration);
    let seconds = plan.duration.as_secs();
    printer.note(&format!(
        "a campaign of {seconds} s with seed {}:",
        plan.seed
    ));
    for action in &plan.actions {
        printer.note(&action.to_string());
    }
    let world = World::start(order.clients, order.careless, environment).await?;
    let desk = Arc::new(Desk::new(world.reach.clone(), Instant::now())?);
    let mut known = Known::default();
    if let Err(error) = fight(order, &plan, &world, &desk, printer, &mut known).await {
        // A world that does not come back is the worst finding of all.
        let why = in_one_line(&error);
        known.found(Finding::of_all(What::BrokenOff { why }));
    }
    for log in world.ended().await {
        known.found(Finding::of_all(What::EndedByItself { log }));
    }
    let history = desk.history();
    let mut report = Report::new(&plan, world.describe(), &history, &known);
    if !known.findings.is_empty() {
        // The verdict stands even if there is no room for what shows it.
        let folder = world.keep();
        if let Err(error) = report::leave_evidence(&folder, &plan, &history, &known.findings) {
            printer.note(&format!("no evidence: {}", in_one_line(&error)));
        }
        report.kept_in(folder);
    }
    Ok(report)
}

/// What has become known so far.
#[derive(Debug, Default)]
struct Known {
    survived: Survived,
    ours: Ours,
    truth: Truth,
    /// How long it took until nothing was under way any more, `None` if that never came.
    settled: Option<Duration>,
    findings: Vec<Finding>,
}

async fn fight(
    order: &Order,
    plan: &Plan,
    world: &World,
    desk: &Arc<Desk>,
    printer: &mut Printer,
    known: &mut Known,
) -> Result<(), DrillError> {
    let nemesis = Nemesis::of(world, order.careless);
    let start = desk.start;
    let until = start + plan.duration;
    if world.redis.is_none() {
        printer.note("redis-server is not installed: what is planned for Redis is left out");
    }
    printer.note(&format!(
        "{} clients pay at {}",
        order.clients,
        world.describe()
    ));
    let (paid, fought) = tokio::join!(
        clients::run(desk, &order.run, order.seed, order.clients, until),
        nemesis.run(plan, start)
    );
    known.survived = nemesis.survived();
    fought?;
    paid?;
    world.revive().await?;

    printer.note(&format!("{} requests; all is mended", desk.requests()));
    known.settled = survey::settle(desk, world).await?;
    if known.settled.is_none() {
        known.found(Finding::of_all(What::NeverSettled));
    }
    // Before anyone asks again: what was settled, was settled without its client.
    known.judge(desk, world, false).await?;
    printer.note("all is asked once more");
    survey::ask_again(desk, &known.ours).await;
    if survey::settle(desk, world).await?.is_none() {
        known.found(Finding::of_all(What::NeverSettled));
    }
    known.judge(desk, world, true).await
}

impl Known {
    async fn judge(&mut self, desk: &Desk, world: &World, last: bool) -> Result<(), DrillError> {
        self.ours = survey::ours(desk, world).await?;
        self.truth = survey::truth(desk, &world.provider).await?;
        for finding in check(&desk.history(), &self.ours, &self.truth, last) {
            self.found(finding);
        }
        Ok(())
    }

    fn found(&mut self, finding: Finding) {
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_seconds_or_minutes_within_bounds() {
        let seconds = |text: &str| duration(text).map(|duration| duration.as_secs());
        assert_eq!(seconds("180s"), Ok(180));
        assert_eq!(seconds("180"), Ok(180));
        assert_eq!(seconds("3m"), Ok(180));
        for wrong in [
            "",
            "s",
            "9s",
            "1h",
            "1.5m",
            "-3m",
            "86401",
            "99999999999999999999m",
        ] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
