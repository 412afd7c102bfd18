//! A database of one test's own, on either store.

use std::{
    path::PathBuf,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use diesel::{Connection, SqliteConnection, connection::SimpleConnection};
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use tempfile::TempDir;

use super::postgres::{Fsync, PostgresServer};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    Sqlite,
    Postgres,
}

pub(crate) enum Database {
    Sqlite { url: String, _folder: TempDir },
    Postgres { name: String, url: String },
}

/// The server that all tests of this run share. It syncs to disk, as the program demands.
pub(crate) async fn shared_server() -> &'static PostgresServer {
    static SERVER: OnceLock<PostgresServer> = OnceLock::new();
    let start = || SERVER.get_or_init(|| PostgresServer::start(Fsync::On));
    tokio::task::spawn_blocking(start).await.unwrap()
}

/// Runs SQL on a PostgreSQL, beside any store.
pub(crate) async fn execute(url: &str, sql: &str) {
    let mut connection = AsyncPgConnection::establish(url).await.unwrap();
    connection.batch_execute(sql).await.unwrap();
}

impl Database {
    pub(crate) async fn create(backend: Backend) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        match backend {
            Backend::Sqlite => {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("oncepay.db");
                let url = format!("sqlite://{}?mode=rwc", path.display());
                Self::Sqlite {
                    url,
                    _folder: folder,
                }
            }
            Backend::Postgres => {
                let server = shared_server().await;
                let name = format!("world_{}", COUNT.fetch_add(1, Ordering::Relaxed));
                execute(&server.url("postgres"), &format!("create database {name}")).await;
                Self::Postgres {
                    url: server.url(&name),
                    name,
                }
            }
        }
    }

    pub(crate) fn url(&self) -> &str {
        match self {
            Self::Sqlite { url, .. } | Self::Postgres { url, .. } => url,
        }
    }

    /// Runs SQL beside the store.
    pub(crate) async fn execute(&self, sql: &str) {
        match self {
            Self::Postgres { url, .. } => execute(url, sql).await,
            Self::Sqlite { .. } => {
                let path = self.path();
                let mut connection = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
                connection.batch_execute(sql).unwrap();
            }
        }
    }

    fn path(&self) -> PathBuf {
        match self {
            Self::Sqlite { _folder, .. } => _folder.path().join("oncepay.db"),
            Self::Postgres { .. } => panic!("a server has no file of its own"),
        }
    }

    /// Keeps a copy of everything that is committed, as a backup does; nobody may be connected.
    pub(crate) async fn back_up(&self) {
        match self {
            Self::Sqlite { .. } => {
                let copy = self.path().with_extension("backup");
                // Also what is still in the log beside the file.
                self.execute(&format!("vacuum into '{}'", copy.display()))
                    .await;
            }
            Self::Postgres { name, .. } => {
                let sql = format!("create database {name}_backup template {name}");
                self.administer(&sql).await;
            }
        }
    }

    /// Puts the copy in the place of everything that has happened since; nobody may be connected.
    pub(crate) async fn restore(&self) {
        match self {
            Self::Sqlite { .. } => {
                let path = self.path();
                for end in ["db-wal", "db-shm"] {
                    // Who ends in order leaves neither.
                    drop(std::fs::remove_file(path.with_extension(end)));
                }
                std::fs::copy(path.with_extension("backup"), &path).unwrap();
            }
            Self::Postgres { name, .. } => {
                self.administer(&format!("drop database {name} with (force)"))
                    .await;
                let sql = format!("create database {name} template {name}_backup");
                self.administer(&sql).await;
            }
        }
    }

    async fn administer(&self, sql: &str) {
        execute(&shared_server().await.url("postgres"), sql).await;
    }

    fn name(&self) -> &str {
        match self {
            Self::Sqlite { .. } => panic!("only a server refuses connections"),
            Self::Postgres { name, .. } => name,
        }
    }

    /// Ends every connection to this database, and refuses new ones.
    pub(crate) async fn refuse_connections(&self) {
        let name = self.name();
        let sql = format!(
            "alter database {name} allow_connections false; \
             select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"
        );
        self.administer(&sql).await;
    }

    pub(crate) async fn allow_connections(&self) {
        self.administer(&format!(
            "alter database {} allow_connections true",
            self.name()
        ))
        .await;
    }

    /// Keeps every write of an operation waiting until the lock is dropped.
    pub(crate) async fn lock_operations(&self) -> AsyncPgConnection {
        self.lock("operations in exclusive mode").await
    }

    /// Keeps every look-up of an API key waiting until the lock is dropped.
    pub(crate) async fn lock_api_keys(&self) -> AsyncPgConnection {
        self.lock("api_keys in access exclusive mode").await
    }

    async fn lock(&self, table_and_mode: &str) -> AsyncPgConnection {
        let mut connection = AsyncPgConnection::establish(self.url()).await.unwrap();
        let sql = format!("begin; lock table {table_and_mode}");
        connection.batch_execute(&sql).await.unwrap();
        connection
    }
}
