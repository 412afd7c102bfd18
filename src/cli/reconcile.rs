//! `oncepay reconcile`

use std::{process::ExitCode, time::Duration};

use clap::Args;
use serde_json::json;
use tokio::runtime::Handle;

use super::{
    error::{CliError, SpanEnd},
    printer::Printer,
    settings::StoreArgs,
    standing_store_command, wiring,
};
use crate::{
    config::Config,
    environment::Environment,
    payment::Timestamp,
    provider::Span,
    reconcile::{Finding, Pace, Scope, Summary, reconcile},
};

#[derive(Debug, Args)]
pub(super) struct ReconcileArgs {
    /// The beginning of the time to compare, as in 2026-11-25T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Timestamp,
    /// Its end [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<Timestamp>,
    /// Only this provider [default: each one]
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// Seconds for which what differs counts as under way [default: the lease and the longest attempt]
    #[arg(long, value_name = "SECONDS")]
    under_way_s: Option<u32>,
    /// One JSON object a line, in place of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) books: BooksArgs,
}

/// How the providers are asked.
#[derive(Clone, Debug, Args)]
pub(super) struct BooksArgs {
    #[command(flatten)]
    pub(super) store: StoreArgs,
    /// Questions to one provider a second, at most [default: 10]
    #[arg(long, value_name = "N", default_value_t = 10, hide_default_value = true,
        value_parser = clap::value_parser!(u32).range(1..=1_000))]
    questions_per_s: u32,
    /// Payments of one provider that are held at once, a million in some gigabyte of memory, with much
    /// metadata in ten [default: 2000000]
    #[arg(long, value_name = "N", default_value_t = 2_000_000, hide_default_value = true,
        value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) payments_max: u32,
}

impl BooksArgs {
    pub(super) fn pace(&self) -> Pace {
        let pause = Duration::from_secs(1) / self.questions_per_s;
        Pace {
            pause,
            records_max: self.payments_max as usize,
        }
    }
}

pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    let refused = || "must be a time as in 2026-11-25T00:00:00Z".to_owned();
    Timestamp::parse_rfc3339(text).ok_or_else(refused)
}

/// How long an operation may take: its lease, and the attempt that is under way as it ends.
pub(super) fn under_way(config: &Config) -> Duration {
    let attempts = config
        .providers
        .iter()
        .map(|provider| provider.attempt_timeout());
    config.limits.lease() + attempts.max().unwrap_or_default()
}

/// 0 when all is equal, 1 when something differs, 2 when that could not be found out.
pub(super) fn run(args: &ReconcileArgs, printer: &mut Printer) -> Result<ExitCode, CliError> {
    match compare(args, printer) {
        Ok(summary) => Ok(ExitCode::from(u8::from(summary.differing > 0))),
        Err(error) => {
            printer.error(&error);
            Ok(ExitCode::from(2))
        }
    }
}

/// The time to compare, `now` being the end of it that is not given.
fn span(args: &ReconcileArgs, now: Timestamp) -> Result<Span, CliError> {
    let (from, to) = (args.from, args.to.unwrap_or(now));
    let end = match args.to {
        Some(to) if to < from => SpanEnd::To(to),
        _ if now < from => SpanEnd::Now(now),
        _ => return Ok(Span { from, to }),
    };
    Err(CliError::ReversedSpan { from, end })
}

fn compare(args: &ReconcileArgs, printer: &mut Printer) -> Result<Summary, CliError> {
    let config = args.books.store.load()?;
    let environment = Environment::of_the_machine();
    let span = span(args, environment.now())?;
    let mut findings = Vec::new();
    let mut summary = Summary::default();
    standing_store_command(&args.books.store, async |store| {
        let providers = wiring::build_books(&config, None, &Handle::current());
        let mut providers = providers.map_err(CliError::Providers)?;
        if let Some(name) = &args.provider {
            providers.retain(|provider| provider.profile().name == *name);
            if providers.is_empty() {
                return Err(CliError::UnknownProvider { name: name.clone() });
            }
        }
        let scope = Scope {
            span,
            is_partial: args.provider.is_some(),
            under_way: match args.under_way_s {
                Some(seconds) => Duration::from_secs(seconds.into()),
                None => under_way(&config),
            },
            pace: args.books.pace(),
        };
        let report = |finding| findings.push(finding);
        summary = reconcile(store, &providers, &environment, scope, report).await?;
        Ok(())
    })?;
    match args.json {
        true => print_json(&findings, printer)?,
        false => print_table(&findings, printer)?,
    }
    let Summary {
        compared,
        equal,
        under_way,
        differing,
        foreign,
    } = summary;
    printer.note(&format!(
        "{compared} payments compared: {equal} equal, {under_way} under way, {differing} differ; \
         {foreign} at the providers are not ours"
    ));
    if compared == 0 {
        printer.note(
            "nothing was compared: in that time there is no payment here, and none at the providers that \
             is of this database",
        );
    }
    Ok(summary)
}

fn print_json(findings: &[Finding], printer: &mut Printer) -> Result<(), CliError> {
    for finding in findings {
        let line = json!({
            "kind": finding.difference.kind.as_str(),
            "payment": finding.payment_id,
            "provider": finding.provider,
            "ours": finding.difference.ours,
            "theirs": finding.difference.theirs,
        });
        printer.result(&line.to_string())?;
    }
    Ok(())
}

fn print_table(findings: &[Finding], printer: &mut Printer) -> Result<(), CliError> {
    if findings.is_empty() {
        return Ok(());
    }
    let row = |finding: &Finding| {
        let difference = &finding.difference;
        [
            difference.kind.as_str().to_owned(),
            finding.payment_id.to_string(),
            finding.provider.clone(),
            difference.ours.clone(),
            difference.theirs.clone(),
        ]
    };
    let rows: Vec<_> = findings.iter().map(row).collect();
    printer.table(
        ["DIFFERENCE", "PAYMENT", "PROVIDER", "HERE", "THERE"],
        &rows,
    )
}
