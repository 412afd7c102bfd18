//! The migrations, which the program carries in itself, and which other programs' migrations it works
//! beside.
//!
//! Old and new programs serve side by side during an upgrade. A migration that only adds leaves the
//! programs from before it at work; one that takes away raises the floor (table `schema_floor`) to
//! itself, and then only programs that know it may work on the database.

use std::time::Duration;

use diesel::{
    QueryResult, QueryableByName, RunQueryDsl, SqliteConnection,
    backend::Backend,
    migration::{Migration, MigrationSource},
    pg::Pg,
    query_builder::SqlQuery,
    query_dsl::methods::LoadQuery,
    sql_query,
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
const APPLIED: &str = "select version from __diesel_schema_migrations";
/// Gives a row where there is the table of [`APPLIED`], which only those who migrate make.
const HAS_APPLIED_POSTGRES: &str = "select tablename::text as version from pg_tables \
    where tablename = '__diesel_schema_migrations' and schemaname = any(current_schemas(false))";
const HAS_APPLIED_SQLITE: &str = "select name as version from sqlite_schema \
    where type = 'table' and name = '__diesel_schema_migrations'";

/// How long another program's migrations are waited for by who needs the database.
const PATIENCE: Duration = Duration::from_secs(60);
/// And by who only looks at it.
const PATIENCE_TO_LOOK: Duration = Duration::from_secs(5);

/// What a database is found to be, before anything is done to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// The names of the migrations that [`migrate`] would run.
    pub pending: Vec<String>,
    /// Whether no migration was ever run: the database is new, or not ours.
    pub is_blank: bool,
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
/// When the database cannot be reached, when a migration fails, when another program migrates for over
/// a minute, and when newer programs have shut this one out.
pub async fn migrate(url: &StoreUrl) -> Result<Vec<String>, StoreStartError> {
    Ok(with_harness(url, true, PATIENCE).await?.pending)
}

/// Looks at the database and leaves it as it is: where there is none, none is made.
///
/// # Errors
/// When the database cannot be reached, when another program runs the migrations that are missing for over
/// five seconds, and when newer programs have shut this one out.
pub async fn inspect(url: &StoreUrl) -> Result<Inspection, StoreStartError> {
    with_harness(url, false, PATIENCE_TO_LOOK).await
}

/// As [`inspect`], before the database is used: another program has a minute to run what is missing.
pub(super) async fn inspect_to_use(url: &StoreUrl) -> Result<Inspection, StoreStartError> {
    with_harness(url, false, PATIENCE).await
}

async fn with_harness(
    url: &StoreUrl,
    run: bool,
    patience: Duration,
) -> Result<Inspection, StoreStartError> {
    let url = url.clone();
    // Diesel's harness blocks, and its asynchronous form may not run on every runtime.
    let work = tokio::task::spawn_blocking(move || match url {
        StoreUrl::Postgres(url) => {
            let mut connection = postgres::connect_to_migrate(&url)?;
            let look = |connection: &mut _, run| {
                harnessed::<Pg, _>(connection, POSTGRES, HAS_APPLIED_POSTGRES, run)
            };
            let mut found = look(&mut connection, None)?;
            // Who has everything waits for nobody: a migration may take long.
            if !found.pending.is_empty() {
                postgres::lock_to_migrate(&mut connection, patience)?;
                let run = run.then_some(postgres::run_migration as Run<_, Pg>);
                found = look(&mut connection, run)?;
            }
            found.unsafe_settings = postgres::unsafe_settings(&mut connection)?;
            Ok(found)
        }
        StoreUrl::Sqlite { path, create } => {
            if !run && create && !path.exists() {
                return blank::<Sqlite>(SQLITE);
            }
            if !run {
                let mut connection = sqlite::connect_to_look(&path)?;
                return harnessed::<Sqlite, _>(&mut connection, SQLITE, HAS_APPLIED_SQLITE, None);
            }
            let mut connection = sqlite::connect_to_migrate(&path, create)?;
            // Each migration's own transaction becomes a part of this one, which others wait for.
            let run: Run<SqliteConnection, Sqlite> =
                |connection, one| connection.run_migration(one).map(drop);
            connection.immediate_transaction(|connection| {
                harnessed(connection, SQLITE, HAS_APPLIED_SQLITE, Some(run))
            })
        }
    });
    work.await
        .map_err(|error| StoreStartError::Migration(error.to_string()))?
}

#[derive(QueryableByName)]
struct Version {
    #[diesel(sql_type = Text)]
    version: String,
}

/// How one migration is run.
type Run<C, DB> = fn(&mut C, &dyn Migration<DB>) -> diesel::migration::Result<()>;

type Known<DB> = Vec<Box<dyn Migration<DB>>>;

/// The migrations that this program knows, in their order.
fn known<DB: Backend>(source: &EmbeddedMigrations) -> Result<Known<DB>, StoreStartError> {
    let mut known: Known<DB> = source.migrations().map_err(failed)?;
    known.sort_by(|one, other| one.name().version().cmp(&other.name().version()));
    Ok(known)
}

fn failed(error: Box<dyn std::error::Error + Send + Sync>) -> StoreStartError {
    StoreStartError::Migration(error.to_string())
}

/// What a database is found to be that is yet to be made.
fn blank<DB: Backend>(source: EmbeddedMigrations) -> Result<Inspection, StoreStartError> {
    Ok(Inspection {
        pending: names(&known::<DB>(&source)?),
        is_blank: true,
        ..Inspection::default()
    })
}

fn names<DB: Backend>(migrations: &[Box<dyn Migration<DB>>]) -> Vec<String> {
    let names = migrations.iter().map(|one| one.name().to_string());
    names.collect()
}

fn harnessed<DB, C>(
    connection: &mut C,
    source: EmbeddedMigrations,
    has_applied: &str,
    run: Option<Run<C, DB>>,
) -> Result<Inspection, StoreStartError>
where
    DB: Backend,
    C: MigrationHarness<DB>,
    SqlQuery: for<'query> LoadQuery<'query, C, Version>,
{
    let ask = |connection: &mut C, sql: &str| -> QueryResult<Vec<String>> {
        let rows: Vec<Version> = sql_query(sql).load(connection)?;
        Ok(rows.into_iter().map(|row| row.version).collect())
    };
    let known = known::<DB>(&source)?;
    let knows =
        |version: &str| (known.iter()).any(|one| one.name().version().to_string() == version);
    if run.is_some() {
        // Makes the table of migrations, where there is none.
        connection.applied_migrations().map_err(failed)?;
    }
    let applied = match ask(connection, has_applied)?.is_empty() {
        true => Vec::new(),
        false => ask(connection, APPLIED)?,
    };
    let mut newer: Vec<String> =
        (applied.iter().filter(|version| !knows(version)).cloned()).collect();
    newer.sort();
    if !newer.is_empty() {
        // Nobody vouches for migrations of a database without a floor.
        let has_floor = applied.iter().any(|version| version == FLOOR_SINCE);
        let floor = match has_floor {
            true => ask(connection, FLOOR)?,
            false => Vec::new(),
        };
        if !floor.first().is_some_and(|version| knows(version)) {
            return Err(StoreStartError::NewerSchema(newer));
        }
    }
    let pending = known.into_iter();
    let pending: Known<DB> = pending
        .filter(|one| !applied.contains(&one.name().version().to_string()))
        .collect();
    if let Some(run) = run {
        for one in &pending {
            run(connection, &**one)
                .map_err(|error| StoreStartError::Migration(format!("{}: {error}", one.name())))?;
        }
    }
    Ok(Inspection {
        pending: names(&pending),
        is_blank: applied.is_empty(),
        newer,
        unsafe_settings: Vec::new(),
    })
}
