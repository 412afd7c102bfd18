//! Migrations beside programs that work: nothing that is paid for waits long for one.
//!
//! A statement that changes a table waits until those who read it are done, and whoever comes after it
//! waits behind it. So it gives up soon, lets them pass, and tries again. An index is built beside
//! those who write, in no transaction.

use std::time::Duration;

use diesel::{
    RunQueryDsl,
    connection::SimpleConnection,
    dsl::sql,
    migration::{self, Migration},
    pg::Pg,
    sql_types::Bool,
};
use diesel_async::{AsyncPgConnection, async_connection_wrapper::AsyncConnectionWrapper};
use diesel_migrations::MigrationHarness;
use secrecy::SecretString;
use tokio::{
    runtime::Handle,
    time::{Instant, sleep},
};

use super::{super::StoreStartError, target::Target};

type Blocking = AsyncConnectionWrapper<AsyncPgConnection>;

/// Migrations take their time, whatever the role's own limit is.
const SESSION: &str = "-c statement_timeout=0";
/// The advisory lock under which programs take turns to migrate: `oncepay` in ASCII.
const MIGRATION_LOCK: i64 = 0x6f_6e63_6570_6179;
/// How often the lock is asked for while another program has it.
const LOCK_ASKED_EVERY: Duration = Duration::from_millis(100);
/// How long a migration waits for a table that others use. Less than a payment waits for it, 3 s; and
/// longer than `deadlock_timeout`, 1 s unless it was changed, after which PostgreSQL ends a vacuum of its
/// own that is in the way.
const TABLE_WAIT: Duration = Duration::from_secs(2);
/// How long it lets pass those who waited behind it.
const TABLE_PAUSE: Duration = Duration::from_secs(2);
/// How long it tries, and how long an index waits for the transactions that are open.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection of its own for migrations. Blocks.
pub(in super::super) fn connect_to_migrate(
    url: &SecretString,
) -> Result<Blocking, StoreStartError> {
    let target = Target::parse(url, SESSION)?;
    let connected = Handle::current().block_on(target.connect());
    let connected = connected.map_err(|error| StoreStartError::Unreachable(error.to_string()))?;
    Ok(AsyncConnectionWrapper::from(connected))
}

/// Takes the lock of migrations for as long as the connection lasts; other programs' are waited for
/// `patience`. By asking again: of a wait that the server ends, diesel keeps only the words, which are in
/// the server's language. Blocks.
pub(in super::super) fn lock_to_migrate(
    connection: &mut Blocking,
    patience: Duration,
) -> Result<(), StoreStartError> {
    let since = Instant::now();
    loop {
        let taken = sql::<Bool>(&format!("pg_try_advisory_lock({MIGRATION_LOCK})"));
        let taken = diesel::select(taken).get_result(connection);
        match taken.map_err(|error| StoreStartError::Unreachable(error.to_string()))? {
            true => return Ok(()),
            false if since.elapsed() < patience => {
                Handle::current().block_on(sleep(LOCK_ASKED_EVERY));
            }
            false => return Err(StoreStartError::Migrating { waited: patience }),
        }
    }
}

/// Runs one migration. Blocks.
///
/// What runs in no transaction makes one index, which the migration is named after.
pub(in super::super) fn run_migration(
    connection: &mut Blocking,
    migration: &dyn Migration<Pg>,
) -> migration::Result<()> {
    match migration.metadata().run_in_transaction() {
        true => change_tables(connection, migration),
        false => build_index(connection, migration),
    }
}

fn change_tables(
    connection: &mut Blocking,
    migration: &dyn Migration<Pg>,
) -> migration::Result<()> {
    again_and_again(connection, |connection| {
        connection.run_migration(migration).map(drop)
    })
}

fn build_index(connection: &mut Blocking, migration: &dyn Migration<Pg>) -> migration::Result<()> {
    let name = migration.name().to_string();
    let Some((_, index)) = name.split_once('_') else {
        return Err(format!("`{name}` names no index").into());
    };
    // What an interrupted build left is in the way, and no index.
    let drop_it = format!("drop index concurrently if exists {index}");
    again_and_again(connection, |connection| {
        Ok(connection.batch_execute(&drop_it)?)
    })?;
    // It waits for the transactions that were there before it, and nobody for it but those programs that
    // start and need it: so it does not wait for ever.
    set_wait(connection, PATIENCE)?;
    tracing::info!(
        index,
        "an index is built; it waits for transactions that are open"
    );
    connection.run_migration(migration).map(drop)
}

/// Does what waits for tables that are in use, until it has had its turn.
fn again_and_again(
    connection: &mut Blocking,
    change: impl Fn(&mut Blocking) -> migration::Result<()>,
) -> migration::Result<()> {
    set_wait(connection, TABLE_WAIT)?;
    let since = Instant::now();
    loop {
        let began = Instant::now();
        match change(connection) {
            // That it waited in vain can be seen by the time alone: diesel keeps only the words of such
            // an error, which are in the server's language. Nothing of it stays.
            Err(error) if began.elapsed() >= TABLE_WAIT && since.elapsed() < PATIENCE => {
                tracing::warn!(%error, "a migration is tried again: the tables may be in use");
                Handle::current().block_on(sleep(TABLE_PAUSE));
            }
            done => return done,
        }
    }
}

/// Sets how long a statement waits for a lock.
fn set_wait(connection: &mut Blocking, wait: Duration) -> migration::Result<()> {
    let set = format!("set lock_timeout = {}", wait.as_millis());
    Ok(connection.batch_execute(&set)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::postgres::pool;

    #[test]
    fn a_payment_waits_for_a_table_for_longer_than_a_migration() {
        let (_, rest) = pool::SESSION.split_once("lock_timeout=").unwrap();
        let millis = rest.split(' ').next().unwrap().parse().unwrap();
        assert!(TABLE_WAIT < Duration::from_millis(millis));
        assert!(
            TABLE_WAIT > Duration::from_secs(1),
            "the deadlock_timeout as it comes"
        );
    }
}
