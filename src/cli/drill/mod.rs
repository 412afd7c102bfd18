//! `oncepay drill`: breaks a world on purpose while payments flow, and counts at the provider.
//! Start reading at [`run`], then `row::run_row`; `scenario` is the table of what is broken.
//!
//! **Invariant:** the sandbox is the judge: no charge counts because our own database says so.
//! **Invariant:** however it ends, no fault, no process and no file of a drill is left, unless it is
//! itself killed: only a campaign has a watchdog for that.

mod api;
mod error;
mod gate;
mod judge;
mod ledger;
mod nemesis;
mod process;
mod programs;
mod provider;
mod redis_server;
mod report;
mod row;
mod scenario;
mod stage;
mod throw_away;
mod traffic;
mod visit;
mod world;

use std::{io::IsTerminal, process::ExitCode, time::Duration};

use clap::Args;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use tokio::{sync::mpsc, time::interval};
use tokio_util::sync::CancellationToken;

use self::{
    report::{HEADINGS, Report},
    row::{Size, last_count, run_row},
    scenario::{SCENARIOS, Scenario},
    stage::Stage,
    world::{Given, World},
};
use super::{error::CliError, printer::Printer, runtime, signals};
use crate::environment::Environment;

pub(super) use error::DrillError;

/// What a drill is run against, and how much is asked of it.
#[derive(Debug, Args)]
pub(super) struct DrillArgs {
    /// A running server to drill; it must use the sandbox of --sandbox-url
    #[arg(long, value_name = "URL", requires_all = ["sandbox_url", "key"])]
    url: Option<Url>,
    /// The control port of that server's `oncepay sandbox`
    #[arg(long, value_name = "URL", requires = "url")]
    sandbox_url: Option<Url>,
    /// A test key of that server
    #[arg(long, value_name = "KEY", requires = "url")]
    key: Option<SecretString>,
    /// A PostgreSQL database for the throw-away world: an empty one of your own, for its payments stay
    /// in it [default: a SQLite file that is removed]
    #[arg(long, value_name = "URL", conflicts_with = "url")]
    database_url: Option<SecretString>,
    /// Payments of each row
    #[arg(long, value_name = "N", default_value_t = 200,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    payments: u32,
    /// Clients that pay at once
    #[arg(long, value_name = "N", default_value_t = 16,
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    clients: u32,
    /// Seconds that payments may take to settle once their clients have given up
    #[arg(long, value_name = "SECONDS", default_value_t = 60,
          value_parser = clap::value_parser!(u32).range(1..=3_600))]
    settle_max_s: u32,
    /// Only these rows, with commas between them [default: all]
    #[arg(long, value_name = "ROWS", value_delimiter = ',', value_parser = scenario::find)]
    only: Vec<&'static Scenario>,
    /// Instead of rows, a campaign: HAProxy, two servers, PostgreSQL and a sandbox under load, while a
    /// nemesis kills, stops and cuts them by a plan; then everything is judged
    #[arg(long, conflicts_with_all = ["url", "database_url", "only", "payments", "settle_max_s"])]
    nemesis: bool,
    /// The plan of a campaign is a function of this number [default: by chance]
    #[arg(long, value_name = "N", requires = "nemesis")]
    seed: Option<u64>,
    /// How long a campaign breaks things, such as 180s or 3m [default: 60s]
    #[arg(long, value_name = "TIME", requires = "nemesis", value_parser = nemesis::duration)]
    duration: Option<Duration>,
    /// Break a promise that all rests on, which a campaign must notice
    #[arg(long, hide = true, requires = "nemesis")]
    careless: Option<nemesis::Careless>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// How long a campaign breaks things, unless it is told.
const CAMPAIGN: Duration = Duration::from_secs(60);
/// How often the bar is drawn.
const REDRAW: Duration = Duration::from_millis(100);
/// Lines that wait to be printed.
const NOTES_MAX: usize = 16;

/// 0 when every row that was run is `once`, 1 when not.
pub(super) fn run(args: &DrillArgs, printer: &mut Printer) -> Result<ExitCode, CliError> {
    let io = runtime::io()?;
    let stop = signals::stop_in_order(io.handle())?;
    if args.nemesis {
        let report = io.block_on(campaign(args, printer, &stop))?;
        if args.json {
            printer.result(&report.json().map_err(DrillError::from)?)?;
        } else {
            for line in report.lines() {
                printer.result(&line)?;
            }
        }
        return Ok(ExitCode::from(u8::from(!report.is_once())));
    }
    let report = io.block_on(drill(args, printer, &stop))?;
    if args.json {
        printer.result(&report.json().map_err(DrillError::from)?)?;
    } else {
        printer.table(HEADINGS, &report.table())?;
        for line in report.lines() {
            printer.result(&line)?;
        }
    }
    Ok(ExitCode::from(u8::from(!report.is_once())))
}

async fn campaign(
    args: &DrillArgs,
    printer: &mut Printer,
    stop: &CancellationToken,
) -> Result<nemesis::Report, DrillError> {
    let environment = Environment::of_the_machine();
    let by_chance = || u64::from(u32::from_le_bytes(environment.random_bytes()));
    let order = nemesis::Order {
        seed: args.seed.unwrap_or_else(by_chance),
        duration: args.duration.unwrap_or(CAMPAIGN),
        clients: args.clients,
        careless: args.careless,
        run: world::run_name(&environment),
    };
    tokio::select! {
        report = nemesis::run(&order, &environment, printer) => report,
        () = stop.cancelled() => Err(DrillError::Interrupted),
    }
}

async fn drill(
    args: &DrillArgs,
    printer: &mut Printer,
    stop: &CancellationToken,
) -> Result<Report, DrillError> {
    let environment = Environment::of_the_machine();
    let mut world = tokio::select! {
        world = args.world(&environment) => world?,
        () = stop.cancelled() => return Err(DrillError::Interrupted),
    };
    printer.note(&format!(
        "{}: {} payments a row, {} clients",
        args.describe_world(),
        args.payments,
        args.clients
    ));
    let report = tokio::select! {
        report = show(args, &mut world, printer) => report,
        () = stop.cancelled() => Err(DrillError::Interrupted),
    };
    printer.clear_bar();
    world.take_down().await;
    report
}

/// Runs the rows, and shows how far they are.
async fn show(
    args: &DrillArgs,
    world: &mut World,
    printer: &mut Printer,
) -> Result<Report, DrillError> {
    let scenarios = args.scenarios();
    let stage = Stage::of(scenarios.len());
    let (notes, mut noted) = mpsc::channel(NOTES_MAX);
    let is_terminal = std::io::stderr().is_terminal();
    let mut redraw = interval(REDRAW);
    let rows = run_rows(args, scenarios, world, &stage, notes);
    tokio::pin!(rows);
    loop {
        tokio::select! {
            report = &mut rows => return report,
            Some(note) = noted.recv() => {
                printer.clear_bar();
                printer.note(&note);
            }
            _ = redraw.tick(), if is_terminal => printer.bar(&stage.line()),
        }
    }
}

async fn run_rows(
    args: &DrillArgs,
    scenarios: Vec<&'static Scenario>,
    world: &mut World,
    stage: &Stage,
    notes: mpsc::Sender<String>,
) -> Result<Report, DrillError> {
    let size = Size {
        payments: args.payments,
        clients: args.clients,
        settle_max: Duration::from_secs(args.settle_max_s.into()),
    };
    let (all, mut rows) = (scenarios.len(), Vec::new());
    for (done, scenario) in scenarios.into_iter().enumerate() {
        stage.row(done, scenario.failure);
        let row = run_row(world, scenario, size, stage).await?;
        let note = format!("{}/{all} {}: {}", done + 1, scenario.failure, row.verdict());
        rows.push(row);
        // Whoever shows it outlives us.
        drop(notes.send(note).await);
    }
    stage.row(all, "all rows together");
    let strays = last_count(world, &mut rows).await?;
    Ok(Report {
        world: args.describe_world(),
        rows,
        strays,
    })
}

impl DrillArgs {
    fn scenarios(&self) -> Vec<&'static Scenario> {
        if self.only.is_empty() {
            SCENARIOS.iter().collect()
        } else {
            self.only.clone()
        }
    }

    async fn world(&self, environment: &Environment) -> Result<World, DrillError> {
        match (&self.url, &self.sandbox_url, &self.key) {
            (Some(url), Some(sandbox_url), Some(key)) => {
                let given = Given {
                    url: url.clone(),
                    sandbox_url: sandbox_url.clone(),
                    key: key.clone(),
                };
                World::given(given, environment).await
            }
            _ => World::throw_away(self.database_url.as_ref(), self.clients, environment).await,
        }
    }

    fn describe_world(&self) -> String {
        match (&self.url, &self.database_url) {
            (Some(url), _) => format!("the server at {url}"),
            (None, Some(url)) if url.expose_secret().starts_with("postgres") => {
                "a throw-away server on PostgreSQL".to_owned()
            }
            (None, _) => "a throw-away server on SQLite".to_owned(),
        }
    }
}
