//! Connections to PostgreSQL that notice when their server is gone.
//!
//! bb8 alone waits for ever for a server that accepts and then is silent, and hands a frozen
//! connection out again and again; hence the bounds here.

use std::{fmt::Display, time::Duration};

use diesel::ConnectionError;
use diesel_async::{
    AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection,
    async_connection_wrapper::AsyncConnectionWrapper,
    pooled_connection::{
        AsyncDieselConnectionManager, ManagerConfig, PoolError, RecyclingMethod,
        bb8::{Pool as Bb8Pool, PooledConnection},
    },
};
use secrecy::{ExposeSecret, SecretString};
use tokio::{runtime::Handle, time::timeout};
use tokio_postgres::{Config, NoTls};

use super::{super::StoreStartError, reads};

pub(super) type Pool = Bb8Pool<AsyncPgConnection>;
pub(super) type Connection<'a> = PooledConnection<'a, AsyncPgConnection>;

const CONNECT_MAX: Duration = Duration::from_secs(2);
const CHECKOUT_MAX: Duration = Duration::from_secs(2);
const PING_MAX: Duration = Duration::from_millis(500);

/// What each session of the pool is set to. All statements of this store find their rows by an
/// index; a plan made while the tables were small must not be kept when they have grown, so the
/// planner is told to think of nothing else.
const SESSION: &str = "-c default_transaction_isolation=read\\ committed \
    -c statement_timeout=5000 -c lock_timeout=3000 -c idle_in_transaction_session_timeout=5000 \
    -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c jit=off";
/// Migrations take their time; waiting for another program's migrations ends after a minute.
const MIGRATION_SESSION: &str = "-c lock_timeout=60000";
/// The advisory lock under which programs take turns to migrate: `oncepay` in ASCII.
const MIGRATION_LOCK: i64 = 0x6f_6e63_6570_6179;

/// Reads the URL, which is not repeated in an error since it may hold a password.
pub(super) fn configuration(url: &SecretString, session: &str) -> Result<Config, StoreStartError> {
    let mut config: Config = (url.expose_secret().parse())
        .map_err(|error: tokio_postgres::Error| StoreStartError::Url(error.to_string()))?;
    let options = format!("{} {session}", config.get_options().unwrap_or_default());
    if config.get_application_name().is_none() {
        config.application_name("oncepay");
    }
    config
        .options(options.trim())
        .connect_timeout(CONNECT_MAX)
        .keepalives(true)
        .keepalives_idle(Duration::from_secs(10))
        .keepalives_interval(Duration::from_secs(5))
        .keepalives_retries(3)
        .tcp_user_timeout(Duration::from_secs(10));
    Ok(config)
}

async fn connect(config: &Config) -> Result<AsyncPgConnection, ConnectionError> {
    let bad = |error: &dyn Display| ConnectionError::BadConnection(error.to_string());
    let connecting = async {
        let (client, connection) =
            (config.connect(NoTls).await).map_err(|error| bad(&Causes(&error)))?;
        AsyncPgConnection::try_from_client_and_connection(client, connection).await
    };
    (timeout(CONNECT_MAX, connecting).await)
        .unwrap_or_else(|_| Err(bad(&"no answer within two seconds")))
}

/// An error with its causes, since the driver's own text leaves out what happened.
struct Causes<'a>(&'a dyn std::error::Error);

impl Display for Causes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// Opens a pool, and one connection of it as a proof.
pub(super) async fn open(url: &SecretString, size_max: u32) -> Result<Pool, StoreStartError> {
    let config = configuration(url, SESSION)?;
    (connect(&config).await).map_err(|error| StoreStartError::Unreachable(error.to_string()))?;
    let mut manager = ManagerConfig::<AsyncPgConnection>::default();
    manager.recycling_method = RecyclingMethod::CustomFunction(Box::new(|connection| {
        Box::pin(async move {
            match timeout(PING_MAX, reads::ping(connection)).await {
                Ok(answer) => answer,
                Err(_) => Err(diesel::result::Error::DatabaseError(
                    diesel::result::DatabaseErrorKind::ClosedConnection,
                    Box::new("no answer to a ping within half a second".to_owned()),
                )),
            }
        })
    }));
    manager.custom_setup = Box::new(move |_| {
        let config = config.clone();
        Box::pin(async move { connect(&config).await })
    });
    // The manager's own URL is never used, so it need not hold the password.
    let manager = AsyncDieselConnectionManager::new_with_config("postgres://", manager);
    Bb8Pool::builder()
        .max_size(size_max.max(1))
        .connection_timeout(CHECKOUT_MAX)
        .error_sink(Box::new(LoggingSink))
        .build(manager)
        .await
        .map_err(|error| StoreStartError::Unreachable(error.to_string()))
}

/// Logs what bb8 would swallow.
#[derive(Clone, Copy, Debug)]
struct LoggingSink;

impl bb8::ErrorSink<PoolError> for LoggingSink {
    fn sink(&self, error: PoolError) {
        tracing::warn!(%error, "a connection to PostgreSQL failed");
    }

    fn boxed_clone(&self) -> Box<dyn bb8::ErrorSink<PoolError>> {
        Box::new(*self)
    }
}

/// Refuses a server that can forget what it committed.
pub(super) async fn check_durability(pool: &Pool) -> Result<(), StoreStartError> {
    let unreachable = |error: &dyn Display| StoreStartError::Unreachable(error.to_string());
    let mut connection = pool.get().await.map_err(|error| unreachable(&error))?;
    for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
        let shown = diesel::select(diesel::dsl::sql::<diesel::sql_types::Text>(&format!(
            "current_setting('{setting}')"
        )));
        let value: String =
            (shown.get_result(&mut connection).await).map_err(|error| unreachable(&error))?;
        // `synchronous_commit` has other values, each of which waits for the local disk.
        if value == "off" {
            let setting = setting.into();
            return Err(StoreStartError::Unsafe { setting, value });
        }
    }
    Ok(())
}

/// A connection of its own, for one question.
pub(super) async fn connect_alone(
    url: &SecretString,
) -> Result<AsyncPgConnection, StoreStartError> {
    let config = configuration(url, SESSION)?;
    (connect(&config).await).map_err(|error| StoreStartError::Unreachable(error.to_string()))
}

/// A connection of its own for migrations, holding their lock until it is dropped. Blocks.
pub(in super::super) fn connect_to_migrate(
    url: &SecretString,
) -> Result<AsyncConnectionWrapper<AsyncPgConnection>, StoreStartError> {
    let config = configuration(url, MIGRATION_SESSION)?;
    let locked = async {
        let mut connection = connect(&config).await.map_err(|error| error.to_string())?;
        let lock = format!("select pg_advisory_lock({MIGRATION_LOCK})");
        (connection.batch_execute(&lock).await).map_err(|error| error.to_string())?;
        Ok(connection)
    };
    let connection = Handle::current()
        .block_on(locked)
        .map_err(StoreStartError::Unreachable)?;
    Ok(AsyncConnectionWrapper::from(connection))
}
