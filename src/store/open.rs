//! Opening the store that a URL names.

use std::{path::PathBuf, sync::Arc};

use secrecy::{ExposeSecret, SecretString};

use super::{
    PostgresSettings, PostgresStore, SqliteSettings, SqliteStore, Store, StoreStartError, migrate,
};
use crate::environment::Environment;

/// Which database, as its URL says it.
#[derive(Clone, Debug)]
pub enum StoreUrl {
    Postgres(SecretString),
    Sqlite {
        path: PathBuf,
        /// Whether to make the file when there is none.
        create: bool,
    },
}

impl StoreUrl {
    /// Reads `postgres://…`, `postgresql://…`, `sqlite://path[?mode=rwc|rw]`, or a bare path, which
    /// may end in the same `?mode=`.
    ///
    /// # Errors
    /// [`StoreStartError::UnknownScheme`] for any other scheme, and [`StoreStartError::Url`] for an
    /// empty path or an unknown parameter of SQLite.
    pub fn parse(url: &SecretString) -> Result<Self, StoreStartError> {
        let text = url.expose_secret();
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Postgres(url.clone()));
        }
        let (path, parameters) = match text.strip_prefix("sqlite://").unwrap_or(text) {
            rest if rest.contains("://") => return Err(StoreStartError::UnknownScheme),
            rest => rest.split_once('?').unwrap_or((rest, "mode=rw")),
        };
        let create = match parameters {
            "mode=rwc" => true,
            "mode=rw" => false,
            _ => return Err(bad("a SQLite URL takes `?mode=rw` or `?mode=rwc`")),
        };
        if path.is_empty() {
            return Err(bad("it names no file"));
        }
        let path = path.into();
        Ok(Self::Sqlite { path, create })
    }
}

fn bad(reason: &str) -> StoreStartError {
    StoreStartError::Url(reason.into())
}

/// How to open a store.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    pub url: StoreUrl,
    /// At most this many connections to PostgreSQL.
    pub pool_max: u32,
    /// Whether to run pending migrations first; otherwise they are an error.
    pub migrate: bool,
    /// Accepts a PostgreSQL that can lose what it committed, and says so in the log.
    pub allow_unsafe: bool,
    pub environment: Environment,
}

/// Opens the store that the settings name. Its connections live on the runtime that this is called
/// on, which must outlive every caller.
///
/// # Errors
/// When the database cannot be reached or made, runs without what keeps commits safe, lacks
/// migrations, or is of newer programs that have shut this one out.
pub async fn open(settings: StoreSettings) -> Result<Arc<dyn Store>, StoreStartError> {
    if settings.migrate {
        let run = migrate(&settings.url).await?;
        tracing::info!(migrations = ?run, "the database is up to date");
    }
    let environment = settings.environment;
    match settings.url {
        StoreUrl::Postgres(url) => {
            let store = PostgresStore::connect(PostgresSettings {
                url,
                pool_max: settings.pool_max,
                allow_unsafe: settings.allow_unsafe,
                environment,
            });
            Ok(Arc::new(store.await?))
        }
        StoreUrl::Sqlite { path, create } => {
            let store = SqliteStore::open(SqliteSettings {
                path,
                create,
                environment,
            });
            Ok(Arc::new(store.await?))
        }
    }
}
