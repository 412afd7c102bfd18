//! A store of its own for each test, and the databases under it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use diesel::{Connection, RunQueryDsl, SqliteConnection};
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use oncepay::{
    environment::Environment,
    payment::{Merchant, NewOperation, Standing},
    store::{Store, StoreSettings, StoreUrl, WriteError, migrate, open},
};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::harness::{execute, postgres::PostgresServer, shared_server};

/// A migrated, empty database, one store on it, and one merchant in it.
pub(crate) struct Fixture {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) url: StoreUrl,
    pub(crate) merchant: Merchant,
    pub(crate) environment: Environment,
    _folder: Option<TempDir>,
}

/// Makes each contract test a test of both stores.
macro_rules! on_both_stores {
    ($($test:ident,)+) => {
        mod on_postgres {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $test() {
                    super::$test(crate::store::fixture::Fixture::postgres().await).await;
                }
            )+
        }
        mod on_sqlite {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $test() {
                    super::$test(crate::store::fixture::Fixture::sqlite().await).await;
                }
            )+
        }
    };
}
pub(crate) use on_both_stores;

/// The server that all tests of this run share, with one template of a migrated database.
async fn server_with_template() -> &'static PostgresServer {
    static TEMPLATE: OnceCell<()> = OnceCell::const_new();
    let server = shared_server().await;
    let make_template = || async {
        execute(&server.url("postgres"), "create database template_oncepay").await;
        let url = StoreUrl::parse(&server.url("template_oncepay").into()).unwrap();
        migrate(&url).await.unwrap();
    };
    TEMPLATE.get_or_init(make_template).await;
    server
}

/// The URL of a new database of the shared server, a copy of `template`.
pub(crate) async fn new_database(template: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let server = server_with_template().await;
    let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let sql = format!("create database {name} template {template}");
    execute(&server.url("postgres"), &sql).await;
    server.url(&name)
}

/// Opens one more store on a database, as another process would.
pub(crate) async fn open_store(url: &StoreUrl) -> Arc<dyn Store> {
    open(settings(url)).await.unwrap()
}

pub(crate) fn settings(url: &StoreUrl) -> StoreSettings {
    StoreSettings {
        url: url.clone(),
        pool_max: 8,
        migrate: true,
        allow_unsafe: true,
        environment: Environment::of_the_machine(),
    }
}

impl Fixture {
    pub(crate) async fn postgres() -> Self {
        let url = new_database("template_oncepay").await;
        Self::on(StoreUrl::parse(&url.into()).unwrap(), None).await
    }

    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("oncepay.db");
        Self::on(StoreUrl::Sqlite { path, create: true }, Some(folder)).await
    }

    pub(crate) async fn on(url: StoreUrl, folder: Option<TempDir>) -> Self {
        let environment = Environment::of_the_machine();
        let store = open_store(&url).await;
        let merchant = Merchant {
            id: environment.new_id(),
            name: "Ada's shop".into(),
            created_at: environment.now(),
            disabled_at: None,
        };
        let merchant = store.create_merchant(merchant).await.unwrap();
        Self {
            store,
            url,
            merchant,
            environment,
            _folder: folder,
        }
    }

    pub(crate) async fn begin(&self, intent: NewOperation) -> Result<Standing, WriteError> {
        only(self.store.begin(vec![intent]).await)
    }

    /// Runs one statement past the store, and gives the database's own refusal.
    pub(crate) async fn sql(&self, sql: &str) -> Result<(), String> {
        use secrecy::ExposeSecret;
        match &self.url {
            StoreUrl::Postgres(url) => {
                let url = url.expose_secret();
                let mut connection = AsyncPgConnection::establish(url).await.unwrap();
                let done = connection.batch_execute(sql).await;
                done.map_err(|error| error.to_string())
            }
            StoreUrl::Sqlite { path, .. } => {
                let mut connection = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
                let session = "pragma foreign_keys = on; pragma busy_timeout = 5000";
                diesel::connection::SimpleConnection::batch_execute(&mut connection, session)
                    .unwrap();
                let done = diesel::sql_query(sql).execute(&mut connection);
                done.map(drop).map_err(|error| error.to_string())
            }
        }
    }
}

/// The only one of a batch of one.
pub(crate) fn only<T>(results: Vec<T>) -> T {
    let mut results = results.into_iter();
    let one = results.next().unwrap();
    assert!(results.next().is_none());
    one
}

/// Runs a batch again until each of its writes is written: who waits too long for another process's
/// lock on a SQLite file, or for a free connection, gives up unwritten.
pub(crate) async fn until_written<T, F: Future<Output = Vec<Result<T, WriteError>>>>(
    mut write: impl FnMut() -> F,
) -> Vec<T> {
    loop {
        let results: Result<Vec<T>, _> = write().await.into_iter().collect();
        match results {
            Err(WriteError::NotWritten(_)) => {}
            results => return results.unwrap(),
        }
    }
}

/// Asks again until `condition` gives something, for a minute at most.
pub(crate) async fn eventually<T>(mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = condition().await {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), asking)
        .await
        .expect("the condition did not come true in time")
}
