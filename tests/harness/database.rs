//! A database of one test's own, on either store.

use std::sync::{
    OnceLock,
    atomic::{AtomicU32, Ordering},
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
    Sqlite {
        url: String,
        _folder: TempDir,
    },
    Postgres {
        name: String,
        url: String,
    },
    /// On a server that the test has started for itself.
    Elsewhere {
        url: String,
    },
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
            Self::Sqlite { url, .. } | Self::Postgres { url, .. } | Self::Elsewhere { url } => url,
        }
    }

    /// Runs SQL beside the store.
    pub(crate) async fn execute(&self, sql: &str) {
        match self {
            Self::Sqlite { .. } => {
                let mut file = SqliteConnection::establish(&self.file()).unwrap();
                (file.batch_execute("pragma busy_timeout = 5000")).unwrap();
                file.batch_execute(sql).unwrap();
            }
            Self::Postgres { url, .. } | Self::Elsewhere { url } => execute(url, sql).await,
        }
    }

    /// Leaves nothing of it, as if it had never been used.
    pub(crate) async fn empty(&self) {
        match self {
            Self::Sqlite { .. } => {
                for end in ["", "-wal", "-shm"] {
                    let path = format!("{}{end}", self.file());
                    drop(std::fs::remove_file(path)); // Some of them may not be there.
                }
            }
            Self::Postgres { .. } | Self::Elsewhere { .. } => {
                let sql = "drop schema public cascade; create schema public";
                self.execute(sql).await;
            }
        }
    }

    /// Keeps a copy of everything that is committed, as a backup does; nobody may be connected.
    pub(crate) async fn back_up(&self) {
        match self {
            Self::Sqlite { .. } => {
                let copy = format!("{}-backup", self.file());
                // Also what is still in the log beside the file.
                self.execute(&format!("vacuum into '{copy}'")).await;
            }
            Self::Postgres { name, .. } => {
                let sql = format!("create database {name}_backup template {name}");
                self.administer(&sql).await;
            }
            Self::Elsewhere { .. } => panic!("whoever started the server keeps its backups"),
        }
    }

    /// Puts the copy in the place of everything that has happened since; nobody may be connected.
    pub(crate) async fn restore(&self) {
        match self {
            Self::Sqlite { .. } => {
                for end in ["-wal", "-shm"] {
                    // Who ends in order leaves neither.
                    drop(std::fs::remove_file(format!("{}{end}", self.file())));
                }
                std::fs::copy(format!("{}-backup", self.file()), self.file()).unwrap();
            }
            Self::Postgres { name, .. } => {
                self.administer(&format!("drop database {name} with (force)"))
                    .await;
                let sql = format!("create database {name} template {name}_backup");
                self.administer(&sql).await;
            }
            Self::Elsewhere { .. } => panic!("whoever started the server keeps its backups"),
        }
    }

    fn file(&self) -> String {
        let path = self.url().strip_prefix("sqlite://").unwrap();
        path.trim_end_matches("?mode=rwc").to_owned()
    }

    async fn administer(&self, sql: &str) {
        execute(&shared_server().await.url("postgres"), sql).await;
    }

    fn name(&self) -> &str {
        match self {
            Self::Sqlite { .. } | Self::Elsewhere { .. } => {
                panic!("only the shared server is told to refuse connections")
            }
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
