//! `oncepay recover`

use std::process::ExitCode;

use clap::Args;
use tokio::runtime::Handle;

use super::{
    error::CliError,
    printer::Printer,
    reconcile::{BooksArgs, time},
    runtime, store_command, wiring,
};
use crate::{
    config::describe_database,
    environment::Environment,
    payment::Timestamp,
    reconcile::{Recovery, recover},
};

#[derive(Debug, Args)]
pub(super) struct RecoverArgs {
    /// A time before the last moment that the backup knows, as in 2026-11-25T00:00:00Z; an hour
    /// earlier costs nothing but questions
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Timestamp,
    /// Say what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    books: BooksArgs,
}

/// 0 when all could be recovered, 1 when something needs a person.
pub(super) fn run(args: &RecoverArgs, printer: &mut Printer) -> Result<ExitCode, CliError> {
    let config = args.books.store.load()?;
    let database = describe_database(&config.database_url);
    let in_use = runtime::io()?.block_on(wiring::is_in_use(&config));
    let in_use = in_use.map_err(|source| CliError::Store {
        database: database.clone(),
        source,
    })?;
    if in_use && !args.dry_run {
        return Err(CliError::InUse { database });
    }
    let environment = Environment::of_the_machine();
    let mut needs_a_person = false;
    store_command(&args.books.store, async |store| {
        let installation = store.installation().await?.map(|it| it.id);
        let books = wiring::build_books(&config, installation, &Handle::current());
        let books = books.map_err(CliError::Providers)?;
        let recovery = Recovery {
            since: args.since,
            dry_run: args.dry_run,
            pace: args.books.pace(),
        };
        let mut lines = Vec::new();
        let recovered = recover(store, &books, &environment, recovery, |line| {
            lines.push(line);
        });
        let recovered = recovered.await?;
        if args.dry_run {
            printer.note("Nothing was changed. This is what would be done:");
        }
        for (what, count) in recovered.lines() {
            printer.result(&format!("{count:>8}  {what}"))?;
        }
        needs_a_person = !lines.is_empty();
        for line in lines {
            printer.note(&format!("a person must look: {line}"));
        }
        Ok(())
    })?;
    Ok(ExitCode::from(u8::from(needs_a_person)))
}
