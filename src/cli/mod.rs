//! The command line: one file a command. Start reading at [`run`].
//!
//! The edge of the process: its arguments, its environment, its signals and its two output streams
//! are taken here and handed down.
//!
//! **Invariant:** the exit code is 0 when it was done, 1 when it could not be done, and 2 when what
//! was asked for, or configured, makes no sense.

mod check;
mod drill;
mod error;
mod first_start;
mod keys;
mod merchants;
mod migrate;
mod port;
mod printer;
mod reconcile;
mod recover;
mod routes;
mod runtime;
mod sandbox;
mod serve;
mod settings;
mod signals;
mod wiring;

#[cfg(test)]
mod memory_store;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use error::CliError;
use printer::Printer;
use wiring::StoreFinding;

use crate::{
    config::describe_database,
    environment::Environment,
    store::{Store, StoreStartError},
};

/// A payment API that charges a customer once, whatever fails.
///
/// Without a command it serves: with no settings at all, on a SQLite file in this folder and a
/// sandbox in place of a payment provider.
#[derive(Debug, Parser)]
#[command(name = "oncepay", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::ServeArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the HTTP API (what `oncepay` alone does)
    Serve(serve::ServeArgs),
    /// Bring the database's schema up to date
    Migrate(settings::StoreArgs),
    /// Make and list merchants
    #[command(subcommand)]
    Merchants(merchants::MerchantsCommand),
    /// Make, list and revoke API keys
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Serve only the sandbox: a payment provider that fails on request
    Sandbox(sandbox::SandboxArgs),
    /// Check the configuration and the connections, and exit
    Check(serve::ServeArgs),
    /// Compare our payments with those of the providers, and report each difference
    ///
    /// Exits with 0 if there is none, with 1 if there is one, and with 2 if they could not be
    /// compared, for one because this is not the database of the servers. What is younger than an
    /// operation may take, and differs, is said to be under way and is no difference. Nothing is changed, here or there.
    Reconcile(reconcile::ReconcileArgs),
    /// After a restored backup or a lost failover: make our records the providers' again
    ///
    /// With every server stopped. Gives the database a new incarnation, puts whatever is unsettled in
    /// doubt, so that only what its provider shows settles it, and imports the payments, captures,
    /// cancels and refunds that the providers have and we lack. It may be interrupted, and run again.
    Recover(recover::RecoverArgs),
    /// Break a world on purpose while payments flow, and count what was charged
    ///
    /// Without --url the world is a throw-away one: a sandbox and a server of this very program, in a
    /// temporary folder that is removed at the end. With --url it is a running server that uses a
    /// sandbox; rows that need to kill something are skipped then. Exits with 0 only if every row that
    /// was run is `once`: exactly one charge for every payment that succeeded, none for any other, and
    /// nothing left undecided.
    Drill(drill::DrillArgs),
}

/// Does what the process was started for.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors, and go to the standard output.
            let printed = error.print();
            let is_usage = error.use_stderr() || printed.is_err();
            return ExitCode::from(if is_usage { 2 } else { 0 });
        }
    };
    let mut printer = Printer::to_the_process();
    match dispatch(cli, &mut printer) {
        Ok(code) => code,
        Err(error) => {
            printer.error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

fn dispatch(cli: Cli, printer: &mut Printer) -> Result<ExitCode, CliError> {
    let done = match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(args) => serve::run(&args, printer),
        Command::Migrate(args) => migrate::run(&args, printer),
        Command::Merchants(command) => merchants::run(&command, printer),
        Command::Keys(command) => keys::run(&command, printer),
        Command::Sandbox(args) => sandbox::run(&args, printer),
        Command::Check(args) => return check::run(&args, printer),
        Command::Reconcile(args) => return reconcile::run(&args, printer),
        Command::Recover(args) => return recover::run(&args, printer),
        Command::Drill(args) => return drill::run(&args, printer),
    };
    done.map(|()| ExitCode::SUCCESS)
}

/// Opens the store that the settings name and does one thing with it.
fn store_command(
    args: &settings::StoreArgs,
    work: impl AsyncFnOnce(&dyn Store) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let config = args.load()?;
    runtime::io()?.block_on(async {
        let opened = wiring::open_store(&config, &Environment::of_the_machine()).await;
        let store = opened.map_err(|source| CliError::Store {
            database: describe_database(&config.database_url),
            source,
        })?;
        work(&*store).await
    })
}

/// As [`store_command`], with the store as it stands: none is made, and no schema is changed.
fn standing_store_command(
    args: &settings::StoreArgs,
    work: impl AsyncFnOnce(&dyn Store) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let config = args.load()?;
    let database = describe_database(&config.database_url);
    runtime::io()?.block_on(async {
        let found = wiring::inspect_store(&config, &Environment::of_the_machine()).await;
        match found.map_err(|source| CliError::of_standing_store(database.clone(), source))? {
            StoreFinding::UpToDate { store, .. } => work(&*store).await,
            StoreFinding::ToBeMade => Err(CliError::NoDatabase { database }),
            StoreFinding::Blank(_) => Err(CliError::BlankDatabase { database }),
            StoreFinding::Pending(migrations) => Err(CliError::Store {
                database,
                source: StoreStartError::MigrationsPending(migrations),
            }),
        }
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Cli::command().debug_assert();
    }

    #[test]
    fn alone_it_serves_and_takes_the_flags_of_serve() {
        let cli = Cli::try_parse_from(["oncepay"]).unwrap();
        assert!(cli.command.is_none());
        assert!(Cli::try_parse_from(["oncepay", "--listen", "127.0.0.1:1"]).is_ok());
        assert!(Cli::try_parse_from(["oncepay", "serve", "--listen", "here"]).is_err());
    }

    #[test]
    fn a_key_is_of_one_kind_only() {
        let parse = |args: &[&str]| {
            let start = ["oncepay", "keys", "create"];
            Cli::try_parse_from(start.iter().chain(args)).is_ok()
        };
        assert!(parse(&[]));
        assert!(parse(&["--live", "--merchant", "shop"]));
        assert!(parse(&["--admin"]));
        assert!(!parse(&["--live", "--test", "--merchant", "shop"]));
        assert!(!parse(&["--live"]), "for whom?");
        assert!(!parse(&["--admin", "--merchant", "shop"]));
    }
}
