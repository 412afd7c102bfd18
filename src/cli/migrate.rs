//! `oncepay migrate`

use super::{error::CliError, printer::Printer, runtime, settings::StoreArgs, wiring};
use crate::config::describe_database;

pub(super) fn run(args: &StoreArgs, printer: &mut Printer) -> Result<(), CliError> {
    let config = args.load()?;
    let database = describe_database(&config.database_url);
    let done = runtime::io()?.block_on(wiring::migrate(&config));
    let done = done.map_err(|source| CliError::Store {
        database: database.clone(),
        source,
    })?;
    for migration in done {
        printer.result(&migration)?;
    }
    printer.note(&format!("{database} is up to date"));
    Ok(())
}
