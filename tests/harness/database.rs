//! A database of one test's own, on either store.

use std::sync::{
    OnceLock,
    atomic::{AtomicU32, Ordering},
};

use diesel::{
    Connection, OptionalExtension, QueryableByName, SqliteConnection, connection::SimpleConnection,
    sql_query, sql_types::Text,
};
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

/// Keeps writes waiting until it is dropped.
#[expect(dead_code, reason = "held for what its end does")]
pub(crate) enum HeldBack {
    Sqlite(Box<SqliteConnection>),
    Postgres(Box<AsyncPgConnection>),
}

#[derive(QueryableByName)]
struct One {
    #[diesel(sql_type = Text)]
    text: String,
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

    /// Where the database's server listens, where it has one.
    pub(crate) fn server(&self) -> Option<std::net::SocketAddr> {
        let Self::Postgres { url, .. } = self else {
            return None;
        };
        let (_, rest) = url.split_once('@').unwrap();
        rest.split('/').next().unwrap().parse().ok()
    }

    /// The URL of this database by way of something that stands in front of its server.
    pub(crate) fn url_through(&self, address: std::net::SocketAddr) -> String {
        format!("postgres://postgres@{address}/{}", self.name())
    }

    /// Runs SQL beside the store.
    pub(crate) async fn execute(&self, sql: &str) {
        match self {
            Self::Sqlite { .. } => {
                self.sqlite().batch_execute(sql).unwrap();
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

    fn sqlite(&self) -> SqliteConnection {
        let mut connection = SqliteConnection::establish(&self.file()).unwrap();
        let patience = "pragma busy_timeout = 5000";
        connection.batch_execute(patience).unwrap();
        connection
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
        // Committed before anyone is sent away: who is would else be let in again.
        self.administer(&format!("alter database {name} allow_connections false"))
            .await;
        self.administer(&format!(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"
        ))
        .await;
    }

    pub(crate) async fn allow_connections(&self) {
        self.administer(&format!(
            "alter database {} allow_connections true",
            self.name()
        ))
        .await;
    }

    /// What a query of one row and one column, `text`, gives; empty when there is no row. It sees
    /// what is committed, past every program under test.
    pub(crate) async fn text(&self, sql: &str) -> String {
        let found: Option<One> = match self {
            Self::Sqlite { .. } => {
                let mut connection = self.sqlite();
                diesel::RunQueryDsl::get_result(sql_query(sql), &mut connection).optional()
            }
            Self::Postgres { url, .. } | Self::Elsewhere { url } => {
                let mut connection = AsyncPgConnection::establish(url).await.unwrap();
                let one = diesel_async::RunQueryDsl::get_result(sql_query(sql), &mut connection);
                one.await.optional()
            }
        }
        .unwrap();
        found.map(|one| one.text).unwrap_or_default()
    }

    /// How many operations are in a state.
    pub(crate) async fn operations_that_are(&self, state: &str) -> usize {
        let count = "select cast(count(*) as text) as text from operations where state";
        let counted = self.text(&format!("{count} = '{state}'")).await;
        counted.parse().unwrap()
    }

    /// Keeps every write waiting until it is dropped. On PostgreSQL, only writes of operations.
    pub(crate) async fn hold_writes_back(&self) -> HeldBack {
        match self {
            Self::Sqlite { .. } => {
                let mut connection = self.sqlite();
                connection.batch_execute("begin immediate").unwrap();
                HeldBack::Sqlite(Box::new(connection))
            }
            Self::Postgres { .. } | Self::Elsewhere { .. } => {
                HeldBack::Postgres(Box::new(self.lock_operations().await))
            }
        }
    }

    /// Sessions that wait for a lock with a statement that has `part` in it.
    pub(crate) async fn waiting_for_a_lock(&self, part: &str) -> usize {
        let count = "select count(*)::text as text from pg_stat_activity \
                     where datname = current_database() and wait_event_type = 'Lock'";
        let sql = format!("{count} and query like '%{part}%'");
        self.text(&sql).await.parse().unwrap()
    }

    /// Keeps every write of an operation waiting until the lock is dropped.
    pub(crate) async fn lock_operations(&self) -> AsyncPgConnection {
        self.lock("operations in exclusive mode").await
    }

    /// Keeps every look-up of an API key waiting until the lock is dropped.
    pub(crate) async fn lock_api_keys(&self) -> AsyncPgConnection {
        self.lock("api_keys in access exclusive mode").await
    }

    /// Is for other programs one that migrates, until the lock is dropped.
    pub(crate) async fn lock_migrations(&self) -> AsyncPgConnection {
        let mut connection = AsyncPgConnection::establish(self.url()).await.unwrap();
        // The ASCII of `oncepay`, as every program of ours has it.
        let sql = format!("select pg_advisory_lock({})", 0x6f_6e63_6570_6179_i64);
        connection.batch_execute(&sql).await.unwrap();
        connection
    }

    async fn lock(&self, table_and_mode: &str) -> AsyncPgConnection {
        let mut connection = AsyncPgConnection::establish(self.url()).await.unwrap();
        let sql = format!("begin; lock table {table_and_mode}");
        connection.batch_execute(&sql).await.unwrap();
        connection
    }
}
