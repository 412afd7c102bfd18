//! Connections to the SQLite file.

use std::{path::Path, thread, time::Duration};

use diesel::{
    Connection, RunQueryDsl, SqliteConnection, connection::SimpleConnection, result::Error,
    sql_types::BigInt,
};
use tokio::time::Instant;

use super::super::StoreStartError;
use crate::payment::Timestamp;

/// A commit is on the disk when it is answered, foreign keys hold, and who finds the file locked
/// waits for 5 s.
const SESSION: &str = "pragma busy_timeout = 5000; pragma journal_mode = wal; \
    pragma synchronous = full; pragma foreign_keys = on;";
/// SQLite does not wait where it may be waited for itself, as when it turns a file that another process
/// writes to its journal mode. Then the same is asked again after a pause, for as long as it would wait.
const LOCKED_MAX: Duration = Duration::from_secs(5);
const LOCKED_PAUSE: Duration = Duration::from_millis(10);
const READ_ONLY: &str = "pragma query_only = on;";
/// Leaves the file in the journal mode that it has; reading its schema shows whether it is a database.
const TO_LOOK: &str = "pragma busy_timeout = 5000; pragma query_only = on; pragma schema_version;";

/// Opens the file to write. Blocks.
pub(super) fn open(path: &Path) -> Result<SqliteConnection, StoreStartError> {
    open_with(path, SESSION)
}

#[expect(
    clippy::disallowed_methods,
    reason = "as SQLite's own wait for a lock does, on a thread that may block"
)]
fn open_with(path: &Path, session: &str) -> Result<SqliteConnection, StoreStartError> {
    let failed = |reason: String| StoreStartError::File {
        path: path.display().to_string(),
        reason,
    };
    // With a dot in front no name is taken for a URI or for a database in memory.
    let file = Path::new(".").join(path);
    let file = file
        .to_str()
        .ok_or_else(|| failed("its name is not UTF-8".into()))?;
    let mut connection =
        SqliteConnection::establish(file).map_err(|error| failed(error.to_string()))?;
    let since = Instant::now();
    while let Err(error) = connection.batch_execute(session) {
        if since.elapsed() >= LOCKED_MAX || !is_locked(&error) {
            return Err(failed(error.to_string()));
        }
        thread::sleep(LOCKED_PAUSE);
    }
    Ok(connection)
}

/// Diesel keeps of such an error only SQLite's words, which are the same everywhere.
fn is_locked(error: &Error) -> bool {
    matches!(error, Error::DatabaseError(_, info) if info.message().contains("is locked"))
}

/// Opens the file to read only. Blocks.
pub(super) fn open_reader(path: &Path) -> Result<SqliteConnection, StoreStartError> {
    let mut connection = open(path)?;
    (connection.batch_execute(READ_ONLY)).map_err(|error| StoreStartError::File {
        path: path.display().to_string(),
        reason: error.to_string(),
    })?;
    Ok(connection)
}

/// A connection for migrations; makes the file only when it may. Blocks.
pub(in super::super) fn connect_to_migrate(
    path: &Path,
    create: bool,
) -> Result<SqliteConnection, StoreStartError> {
    if !create {
        must_exist(path)?;
    }
    open(path)
}

/// A connection for who only looks, which makes and changes nothing. Blocks.
pub(in super::super) fn connect_to_look(path: &Path) -> Result<SqliteConnection, StoreStartError> {
    must_exist(path)?;
    open_with(path, TO_LOOK)
}

fn must_exist(path: &Path) -> Result<(), StoreStartError> {
    match path.exists() {
        true => Ok(()),
        false => Err(StoreStartError::NoSuchFile {
            path: path.display().to_string(),
        }),
    }
}

/// Whether another process has the file open: while one has, the file cannot leave its journal mode,
/// which the next to open it sets again. Blocks.
pub(in super::super) fn is_in_use(path: &Path) -> Result<bool, StoreStartError> {
    #[derive(diesel::QueryableByName)]
    struct Mode {
        #[diesel(sql_type = diesel::sql_types::Text)]
        journal_mode: String,
    }
    let mut connection = connect_to_migrate(path, false)?;
    let left = (connection.batch_execute("pragma busy_timeout = 0")).and_then(|()| {
        diesel::sql_query("pragma journal_mode = delete").get_result(&mut connection)
    });
    match left {
        Ok(Mode { journal_mode }) => Ok(journal_mode != "delete"),
        Err(Error::DatabaseError(..)) => Ok(true),
        Err(error) => Err(StoreStartError::File {
            path: path.display().to_string(),
            reason: error.to_string(),
        }),
    }
}

/// SQLite's clock, which has milliseconds; the column has microseconds.
pub(super) fn now(connection: &mut SqliteConnection) -> Result<Timestamp, Error> {
    let clock = "cast(round(unixepoch('subsec') * 1000) as integer) * 1000";
    diesel::select(diesel::dsl::sql::<BigInt>(clock))
        .get_result(connection)
        .map(Timestamp::from_micros)
}
