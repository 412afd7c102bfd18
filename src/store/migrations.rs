//! The migrations, which the program carries in itself.

use diesel::{
    backend::Backend,
    migration::{Migration, MigrationSource},
    pg::Pg,
    sqlite::Sqlite,
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::{StoreStartError, StoreUrl, postgres, sqlite};

const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");
const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");

/// Brings the database up to date; gives the names of the migrations that were run.
///
/// Several programs may do this at once: they take turns.
///
/// # Errors
/// When the database cannot be reached, when a migration fails, and when the database is newer than
/// this program.
pub async fn migrate(url: &StoreUrl) -> Result<Vec<String>, StoreStartError> {
    with_harness(url, true).await
}

/// The names of the migrations that [`migrate`] would run.
///
/// # Errors
/// When the database cannot be reached, and when it is newer than this program.
pub async fn pending_migrations(url: &StoreUrl) -> Result<Vec<String>, StoreStartError> {
    with_harness(url, false).await
}

async fn with_harness(url: &StoreUrl, run: bool) -> Result<Vec<String>, StoreStartError> {
    let url = url.clone();
    // Diesel's harness blocks, and its asynchronous form may not run on every runtime.
    let work = tokio::task::spawn_blocking(move || match url {
        StoreUrl::Postgres(url) => {
            let mut connection = postgres::connect_to_migrate(&url)?;
            harnessed::<Pg, _>(&mut connection, POSTGRES, run)
        }
        StoreUrl::Sqlite { path, create } => {
            let mut connection = sqlite::connect_to_migrate(&path, create)?;
            if !run {
                return harnessed::<Sqlite, _>(&mut connection, SQLITE, run);
            }
            // Each migration's own transaction becomes a part of this one, which others wait for.
            connection.immediate_transaction(|connection| harnessed(connection, SQLITE, run))
        }
    });
    work.await
        .map_err(|error| StoreStartError::Migration(error.to_string()))?
}

fn harnessed<DB: Backend, C: MigrationHarness<DB>>(
    connection: &mut C,
    source: EmbeddedMigrations,
    run: bool,
) -> Result<Vec<String>, StoreStartError> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
        StoreStartError::Migration(error.to_string())
    };
    let known: Vec<Box<dyn Migration<DB>>> = source.migrations().map_err(failed)?;
    let applied = connection.applied_migrations().map_err(failed)?;
    let unknown: Vec<String> = (applied.iter())
        .filter(|version| !known.iter().any(|one| one.name().version() == **version))
        .map(ToString::to_string)
        .collect();
    if !unknown.is_empty() {
        return Err(StoreStartError::NewerSchema(unknown));
    }
    let pending = connection.pending_migrations(source).map_err(failed)?;
    if run {
        connection.run_migrations(&pending).map_err(failed)?;
    }
    Ok(pending.iter().map(|one| one.name().to_string()).collect())
}
