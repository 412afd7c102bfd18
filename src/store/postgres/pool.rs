//! Connections to PostgreSQL that notice when their server is gone.
//!
//! bb8 alone waits for ever for a server that accepts and then is silent, and hands a frozen
//! connection out again and again; hence the bounds here.

use std::time::Duration;

use diesel_async::{
    AsyncPgConnection,
    async_connection_wrapper::AsyncConnectionWrapper,
    pooled_connection::{
        AsyncDieselConnectionManager, ManagerConfig, PoolError, RecyclingMethod,
        bb8::{Pool as Bb8Pool, PooledConnection},
    },
};
use secrecy::SecretString;
use tokio::time::timeout;

use super::{super::StoreStartError, reads, target::Target};

pub(super) type Pool = Bb8Pool<AsyncPgConnection>;
pub(super) type Connection<'a> = PooledConnection<'a, AsyncPgConnection>;

const CHECKOUT_MAX: Duration = Duration::from_secs(2);
const PING_MAX: Duration = Duration::from_millis(500);

/// What each session of the pool is set to. All statements of this store find their rows by an
/// index; a plan made while the tables were small must not be kept when they have grown, so the
/// planner is told to think of nothing else.
pub(super) const SESSION: &str = "-c default_transaction_isolation=read\\ committed \
    -c statement_timeout=5000 -c lock_timeout=3000 -c idle_in_transaction_session_timeout=5000 \
    -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c jit=off";
/// Opens a pool, and one connection of it as a proof.
pub(super) async fn open(url: &SecretString, size_max: u32) -> Result<Pool, StoreStartError> {
    let target = Target::parse(url, SESSION)?;
    (target.connect().await).map_err(|error| StoreStartError::Unreachable(error.to_string()))?;
    let must_take_writes = target.must_take_writes();
    let mut manager = ManagerConfig::<AsyncPgConnection>::default();
    manager.recycling_method = RecyclingMethod::CustomFunction(Box::new(move |connection| {
        Box::pin(async move {
            let usable = async {
                match must_take_writes {
                    true => reads::ping_writable(connection).await,
                    false => reads::ping(connection).await,
                }
            };
            (timeout(PING_MAX, usable).await).unwrap_or_else(|_| {
                Err(diesel::result::Error::DatabaseError(
                    diesel::result::DatabaseErrorKind::ClosedConnection,
                    Box::new("no answer to a ping within half a second".to_owned()),
                ))
            })
        })
    }));
    manager.custom_setup = Box::new(move |_| {
        let target = target.clone();
        Box::pin(async move { target.connect().await })
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

/// The settings under which the server can forget what it committed, with their values. Blocks.
pub(in super::super) fn unsafe_settings(
    connection: &mut AsyncConnectionWrapper<AsyncPgConnection>,
) -> Result<Vec<(String, String)>, StoreStartError> {
    let mut found = Vec::new();
    for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
        let shown = diesel::select(diesel::dsl::sql::<diesel::sql_types::Text>(&format!(
            "current_setting('{setting}')"
        )));
        let value: String = diesel::RunQueryDsl::get_result(shown, connection)
            .map_err(|error| StoreStartError::Unreachable(error.to_string()))?;
        // `synchronous_commit` has other values, each of which waits for the local disk.
        if value == "off" {
            found.push((setting.to_owned(), value));
        }
    }
    Ok(found)
}

/// A connection of its own, for one question.
pub(super) async fn connect_alone(
    url: &SecretString,
) -> Result<AsyncPgConnection, StoreStartError> {
    let target = Target::parse(url, SESSION)?;
    (target.connect().await).map_err(|error| StoreStartError::Unreachable(error.to_string()))
}
