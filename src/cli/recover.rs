//! `oncepay recover`

use std::{process::ExitCode, time::Duration};

use clap::Args;
use tokio::runtime::Handle;

use super::{
    error::CliError,
    printer::Printer,
    reconcile::{BooksArgs, time},
    runtime, standing_store_command, wiring,
};
use crate::{
    config::{Config, describe_database},
    environment::Environment,
    payment::Timestamp,
    reconcile::{Recovery, recover},
};

#[derive(Debug, Args)]
pub(super) struct RecoverArgs {
    /// A time before the last moment that the backup knows, as in 2026-11-25T00:00:00Z, not in the
    /// future; an hour earlier costs nothing but questions
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Timestamp,
    /// Say what would be done, and change nothing; that a key has come again since, or a second charge of
    /// what is unsettled, only the recovery itself sees
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    books: BooksArgs,
}

/// How far the clock of who wrote down the time may be ahead of ours.
const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// 0 when all could be recovered, 1 when something needs a person.
pub(super) fn run(args: &RecoverArgs, printer: &mut Printer) -> Result<ExitCode, CliError> {
    let environment = Environment::of_the_machine();
    let now = environment.now();
    if args.since > now.plus(CLOCK_SKEW) {
        let since = args.since;
        return Err(CliError::SinceTheFuture { since, now });
    }
    let config = args.books.store.load()?;
    if !args.dry_run {
        refuse_while_in_use(&config)?;
    }
    let mut needs_a_person = false;
    standing_store_command(&args.books.store, async |store| {
        let installation = store.installation().await?.map(|it| it.id);
        let books = wiring::build_books(&config, installation, &Handle::current());
        let books = books.map_err(CliError::Providers)?;
        let recovery = Recovery {
            since: args.since,
            dry_run: args.dry_run,
            pace: args.books.pace(),
        };
        // At once: whatever ends the recovery later, it was said.
        let report = |line| {
            needs_a_person = true;
            printer.note(&format!("a person must look: {line}"));
        };
        let recovered = recover(store, &books, &environment, recovery, report).await?;
        if args.dry_run {
            printer.note("Nothing was changed. This is what would be done:");
        }
        for (what, count) in recovered.lines() {
            printer.result(&format!("{count:>8}  {what}"))?;
        }
        if let Some(oldest) = recovered.oldest_not_looked_for {
            let max = args.books.payments_max;
            printer.result(&format!(
                "The oldest payment that was not looked for is of {oldest}: the provider has more than {max} \
                 payments since (--payments-max)"
            ))?;
        }
        Ok(())
    })?;
    Ok(ExitCode::from(u8::from(needs_a_person)))
}

fn refuse_while_in_use(config: &Config) -> Result<(), CliError> {
    let database = describe_database(&config.database_url);
    match runtime::io()?.block_on(wiring::is_in_use(config)) {
        Ok(false) => Ok(()),
        Ok(true) => Err(CliError::InUse { database }),
        Err(source) => Err(CliError::of_standing_store(database, source)),
    }
}
