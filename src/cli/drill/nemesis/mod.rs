//! The campaign: `oncepay drill --nemesis`. Real processes under load through a load balancer, while a
//! nemesis with a seed breaks them; then a checker judges the whole history by what the provider
//! holds. Start reading at [`run`], then `plan` for what is broken and `checker` for what is promised.
//!
//! **Invariant:** nothing that is broken stays broken: what is judged is a world in which everything
//! runs and every way is open.
//! **Invariant:** however it ends, no process of it is left, and no file unless it is evidence.

mod checker;
mod clients;
mod desk;
mod faults;
mod history;
mod node;
mod plan;
mod postgres;
mod report;
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
    faults::Nemesis,
    plan::Plan,
    world::World,
};
use super::{super::printer::Printer, error::DrillError};
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
    let ended = fight(order, &plan, &world, printer).await;
    let (mut report, history, findings) = match ended {
        Ok(ended) => ended,
        Err(error) => {
            // A world that does not come back is the worst finding of all.
            let folder = world.keep();
            printer.note(&format!("evidence: {}", folder.display()));
            return Err(error);
        }
    };
    if !findings.is_empty() {
        report::leave_evidence(world.folder(), &plan, &history, &findings)?;
        report.kept_in(world.keep());
    }
    Ok(report)
}

type Ended = (Report, Vec<history::Entry>, Vec<Finding>);

async fn fight(
    order: &Order,
    plan: &Plan,
    world: &World,
    printer: &mut Printer,
) -> Result<Ended, DrillError> {
    let start = Instant::now();
    let desk = Arc::new(Desk::new(world.reach.clone(), start)?);
    let nemesis = Nemesis::of(world, order.careless);
    let until = start + plan.duration;
    if world.redis.is_none() {
        printer.note("redis-server is not installed: what is planned for Redis is left out");
    }
    printer.note(&format!(
        "{} clients pay at {}",
        order.clients,
        world.describe()
    ));
    let (paid, survived) = tokio::join!(
        clients::run(&desk, &order.run, order.seed, order.clients, until),
        nemesis.run(plan, start)
    );
    let survived = survived?;
    paid?;
    let mut died = Vec::new();
    for node in &world.nodes {
        if let Some(log) = node.died().await {
            died.push(Finding::of_all(What::NodeEnded { log }));
            node.start().await?;
        }
    }

    printer.note(&format!("{} requests; all is mended", desk.requests()));
    let settled = survey::settle(&desk).await?;
    let (ours, truth) = (
        survey::ours(&desk).await?,
        survey::truth(&desk, &world.provider).await?,
    );
    // Before anyone asks again: what was settled, was settled without its client.
    let mut findings = check(&desk.history(), &ours, &truth, false);
    printer.note("all is asked once more");
    survey::ask_again(&desk, &ours).await;
    survey::settle(&desk).await?;
    let (ours, truth) = (
        survey::ours(&desk).await?,
        survey::truth(&desk, &world.provider).await?,
    );
    let history = desk.history();
    for finding in check(&history, &ours, &truth, true) {
        if !findings.contains(&finding) {
            findings.push(finding);
        }
    }
    if settled.is_none() {
        findings.push(Finding::of_all(What::NeverSettled));
    }
    findings.extend(died);
    let sides = (&ours, &truth);
    let world = world.describe();
    let report = Report::new(plan, world, survived, &history, sides, settled, &findings);
    Ok((report, history, findings))
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
