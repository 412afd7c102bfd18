//! The migrations, which the program carries in itself, and which other programs' migrations it works
//! beside.
//!
//! Old and new programs serve side by side during an upgrade. A migration that only adds leaves the
//! programs from before it at work; one that takes away raises the floor (table `schema_floor`) to
//! itself, and then only programs that know it may work on the database.

use diesel::{
    QueryResult, QueryableByName, RunQueryDsl,
    backend::Backend,
    migration::{Migration, MigrationSource},
    pg::Pg,
    sql_types::Text,
    sqlite::Sqlite,
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::{StoreStartError, StoreUrl, postgres, sqlite};

const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");
const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
/// The migration that made the floor.
const FLOOR_SINCE: &str = "20261125233000";
const FLOOR: &str = "select version from schema_floor";

/// What a database is found to be, before anything is done to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// The names of the migrations that [`migrate`] would run.
    pub pending: Vec<String>,
    /// Migrations of newer programs, which let this one work.
    pub newer: Vec<String>,
    /// Settings of PostgreSQL under which a commit can be lost: name and value.
    pub unsafe_settings: Vec<(String, String)>,
}

impl Inspection {
    /// What an operator should know of a database that is used as it is.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if !self.newer.is_empty() {
            remarks.push(format!(
                "a newer program has run the migrations {}, and lets this one work",
                self.newer.join(", ")
            ));
        }
        for (setting, value) in &self.unsafe_settings {
            remarks.push(format!(
                "PostgreSQL runs with `{setting} = {value}`, so that a committed payment can be lost"
            ));
        }
        remarks
    }

    /// # Errors
    /// [`StoreStartError::Unsafe`] for the first setting under which a commit can be lost, unless it
    /// is allowed.
    pub fn check_safety(&self, allow_unsafe: bool) -> Result<(), StoreStartError> {
        match self.unsafe_settings.first() {
            Some((setting, value)) if !allow_unsafe => Err(StoreStartError::Unsafe {
                setting: setting.clone(),
                value: value.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// Checks, and tells the log what an operator should know.
    pub(super) fn accept(&self, allow_unsafe: bool) -> Result<(), StoreStartError> {
        if !self.pending.is_empty() {
            return Err(StoreStartError::MigrationsPending(self.pending.clone()));
        }
        self.check_safety(allow_unsafe)?;
        for remark in self.remarks() {
            tracing::warn!("{remark}");
        }
        Ok(())
    }
}

/// Brings the database up to date; gives the names of the migrations that were run.
///
/// Several programs may do this at once: they take turns.
///
/// # Errors
/// When the database cannot be reached, when a migration fails, and when newer programs have shut
/// this one out.
pub async fn migrate(url: &StoreUrl) -> Result<Vec<String>, StoreStartError> {
    Ok(with_harness(url, true).await?.pending)
}

/// Looks at the database and leaves it as it is.
///
/// # Errors
/// When the database cannot be reached, and when newer programs have shut this one out.
pub async fn inspect(url: &StoreUrl) -> Result<Inspection, StoreStartError> {
    with_harness(url, false).await
}

async fn with_harness(url: &StoreUrl, run: bool) -> Result<Inspection, StoreStartError> {
    let url = url.clone();
    // Diesel's harness blocks, and its asynchronous form may not run on every runtime.
    let work = tokio::task::spawn_blocking(move || match url {
        StoreUrl::Postgres(url) => {
            let mut connection = postgres::connect_to_migrate(&url)?;
            let floor = |connection: &mut _| diesel::sql_query(FLOOR).get_result(connection);
            let mut found = harnessed::<Pg, _>(&mut connection, POSTGRES, run, floor)?;
            found.unsafe_settings = postgres::unsafe_settings(&mut connection)?;
            Ok(found)
        }
        StoreUrl::Sqlite { path, create } => {
            let mut connection = sqlite::connect_to_migrate(&path, create)?;
            let floor = |connection: &mut _| diesel::sql_query(FLOOR).get_result(connection);
            if !run {
                return harnessed::<Sqlite, _>(&mut connection, SQLITE, run, floor);
            }
            // Each migration's own transaction becomes a part of this one, which others wait for.
            connection.immediate_transaction(|connection| harnessed(connection, SQLITE, run, floor))
        }
    });
    work.await
        .map_err(|error| StoreStartError::Migration(error.to_string()))?
}

#[derive(QueryableByName)]
struct Floor {
    #[diesel(sql_type = Text)]
    version: String,
}

fn harnessed<DB: Backend, C: MigrationHarness<DB>>(
    connection: &mut C,
    source: EmbeddedMigrations,
    run: bool,
    floor: impl FnOnce(&mut C) -> QueryResult<Floor>,
) -> Result<Inspection, StoreStartError> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
        StoreStartError::Migration(error.to_string())
    };
    let known: Vec<Box<dyn Migration<DB>>> = source.migrations().map_err(failed)?;
    let knows =
        |version: &str| (known.iter()).any(|one| one.name().version().to_string() == version);
    let applied = connection.applied_migrations().map_err(failed)?;
    let applied: Vec<String> = applied.iter().map(ToString::to_string).collect();
    let mut newer: Vec<String> =
        (applied.iter().filter(|version| !knows(version)).cloned()).collect();
    newer.sort();
    if !newer.is_empty() {
        // Nobody vouches for migrations of a database without a floor.
        let has_floor = applied.iter().any(|version| version == FLOOR_SINCE);
        let floor = has_floor.then(|| floor(connection)).transpose()?;
        if floor.is_none_or(|floor| !knows(&floor.version)) {
            return Err(StoreStartError::NewerSchema(newer));
        }
    }
    let pending = connection.pending_migrations(source).map_err(failed)?;
    if run {
        for one in &pending {
            (connection.run_migration(one))
                .map_err(|error| StoreStartError::Migration(format!("{}: {error}", one.name())))?;
        }
    }
    Ok(Inspection {
        pending: pending.iter().map(|one| one.name().to_string()).collect(),
        newer,
        unsafe_settings: Vec::new(),
    })
}
