//! Look-ups in Redis, shared by all nodes. Start reading at [`RedisLookups::get`].
//!
//! A Redis that is down, slow or lying costs a few requests the time of one look-up; then the breaker
//! is open, and it is not asked again until a probe says otherwise. Answers are put by one task, behind
//! a queue that drops what does not fit.
//!
//! **Invariant:** nobody waits for Redis longer than [`RedisSettings::get_timeout`], and who puts an
//! answer does not wait at all.
//! **Invariant:** connections are opened, driven and given back on the I/O runtime only.

mod gate;
mod messages;
mod pool;
mod writer;

use std::{fmt, sync::Arc, time::Duration};

use bb8_redis::RedisConnectionManager;
use redis::{Client, ConnectionInfo, IntoConnectionInfo, RedisError, TlsCertificates};
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    runtime::Handle,
    sync::watch,
    time::{Instant, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use self::{
    gate::Gate,
    pool::{Fetched, Pool},
    writer::Writer,
};
use super::{
    LookupWatch, SettledAnswer, Wakes,
    seal::{Address, Refused, Seal},
    wakes::Waiters,
    watch::{Found, Tier},
};
use crate::{environment::Environment, payment::Scope, resilience::BreakerSettings};

/// How to reach a Redis, and how much to expect of it.
#[derive(Clone, Debug)]
pub struct RedisSettings {
    /// `redis://user:password@host:port/database`, or `rediss://` for TLS.
    pub url: SecretString,
    /// Certificates to trust for TLS in place of the system's, in PEM.
    pub ca_pem: Option<Vec<u8>>,
    /// Begins every key and channel of ours.
    pub key_prefix: String,
    /// How long an answer is kept.
    pub ttl: Duration,
    /// How long a look-up may take, the wait for a connection included.
    pub get_timeout: Duration,
    /// At most this many connections, beside the one for messages.
    pub connections_max: u32,
    pub breaker: BreakerSettings,
}

/// Why Redis cannot be used; its text holds no secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    #[error("the Redis URL or its certificates cannot be understood: {0}")]
    Settings(#[source] RedisError),
    #[error("Redis does not answer: {0}")]
    Unreachable(#[source] RedisError),
    #[error("Redis does not answer within a second")]
    Silent,
}

/// How long it may take to connect, TLS and log-in included.
const CONNECT_MAX: Duration = Duration::from_secs(1);

impl RedisSettings {
    fn connection_info(&self) -> Result<ConnectionInfo, RedisError> {
        let info = self.url.expose_secret().into_connection_info()?;
        let Some(pem) = &self.ca_pem else {
            return Ok(info);
        };
        let certificates = TlsCertificates {
            client_tls: None,
            root_cert: Some(pem.clone()),
        };
        let client = Client::build_with_tls(info, certificates)?;
        Ok(client.get_connection_info().clone())
    }
}

/// Connects, asks for a sign of life, and leaves.
///
/// # Errors
/// When there is none within a second.
pub async fn reach(settings: &RedisSettings) -> Result<(), LookupError> {
    let info = settings.connection_info().map_err(LookupError::Settings)?;
    let asked = async {
        let client = Client::open(info)?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        redis::cmd("PING").query_async::<()>(&mut connection).await
    };
    let answered = timeout(CONNECT_MAX, asked).await;
    let answered = answered.map_err(|_elapsed| LookupError::Silent)?;
    answered.map_err(LookupError::Unreachable)
}

/// Finished answers in Redis.
pub(super) struct RedisLookups {
    pool: Pool,
    gate: Gate,
    writer: Writer,
    waiters: Arc<Waiters>,
    seal: watch::Receiver<Arc<Seal>>,
    keys: Keys,
    get_timeout: Duration,
    watch: Arc<dyn LookupWatch>,
    io: Handle,
    _tasks: [AbortOnDropHandle<()>; 2],
}

impl fmt::Debug for RedisLookups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLookups").finish_non_exhaustive()
    }
}

/// How things are named in Redis.
#[derive(Clone, Debug)]
struct Keys {
    prefix: Arc<str>,
}

impl Keys {
    fn answer(&self, address: &Address) -> String {
        use std::fmt::Write;
        let mut key = format!("{}:answer:", self.prefix);
        for byte in address {
            // Writing into a text cannot fail.
            let _ = write!(key, "{byte:02x}");
        }
        key
    }

    /// Where the messages of one life of the database go.
    fn channel(&self, seal: &Seal) -> String {
        format!("{}:settled:{}", self.prefix, seal.incarnation())
    }
}

impl RedisLookups {
    pub(super) fn start(
        settings: RedisSettings,
        seal: watch::Receiver<Arc<Seal>>,
        environment: Environment,
        watch: Arc<dyn LookupWatch>,
        io: &Handle,
    ) -> Result<Self, LookupError> {
        let info = settings.connection_info().map_err(LookupError::Settings)?;
        let manager = RedisConnectionManager::new(info.clone()).map_err(LookupError::Settings)?;
        let messages = messages::client(info).map_err(LookupError::Settings)?;
        let entered = io.enter(); // The pool's tasks are spawned there.
        let pool = pool::open(manager, settings.connections_max);
        drop(entered);
        let gate = Gate::new(settings.breaker, environment.clone(), Arc::clone(&watch));
        let keys = Keys {
            prefix: settings.key_prefix.into(),
        };
        let (writer, writing) = writer::new(
            pool.clone(),
            gate.clone(),
            seal.clone(),
            keys.clone(),
            settings.ttl,
            settings.get_timeout,
            Arc::clone(&watch),
        );
        let waiters = Arc::<Waiters>::default();
        let hearing = messages::Hearing {
            client: messages,
            keys: keys.clone(),
            seal: seal.clone(),
            waiters: Arc::clone(&waiters),
            environment,
            watch: Arc::clone(&watch),
        };
        let tasks = [io.spawn(writing), io.spawn(hearing.hear())];
        Ok(Self {
            pool,
            gate,
            writer,
            waiters,
            seal,
            keys,
            get_timeout: settings.get_timeout,
            watch,
            io: io.clone(),
            _tasks: tasks.map(AbortOnDropHandle::new),
        })
    }

    fn seal(&self) -> Arc<Seal> {
        Arc::clone(&self.seal.borrow())
    }

    /// The answer that Redis has and that is ours.
    pub(super) async fn get(&self, scope: &Scope) -> Option<SettledAnswer> {
        let (began, seal) = (Instant::now(), self.seal());
        let fetched = self
            .fetch(self.keys.answer(&seal.address(scope)), began)
            .await;
        let (found, settled) = match fetched {
            Ok(Fetched::Nothing) => (Found::Miss, None),
            Ok(Fetched::OfAnotherType) => (Found::Refused(Refused::WrongType), None),
            Ok(Fetched::Value(value)) => match seal.open(scope, &value) {
                Ok(settled) => (Found::Hit, Some(settled)),
                Err(refused) => (Found::Refused(refused), None),
            },
            Err(found) => (found, None),
        };
        if let Found::Refused(refused) = found {
            tracing::debug!(
                reason = refused.as_str(),
                "Redis holds an answer that is not believed"
            );
        }
        self.watch.looked_up(Tier::Redis, found, began.elapsed());
        settled
    }

    /// Asks in a task of the I/O runtime, which goes on when the client leaves, so that the breaker
    /// learns how it ended.
    async fn fetch(&self, key: String, began: Instant) -> Result<Fetched, Found> {
        let permit = self.gate.permit(began).ok_or(Found::Skipped)?;
        let (pool, patience) = (self.pool.clone(), self.get_timeout);
        let asking = self.io.spawn(async move {
            let fetched = match timeout(patience, pool::fetch(&pool, &key)).await {
                Ok(Ok(fetched)) => Ok(fetched),
                Ok(Err(error)) => {
                    tracing::debug!(%error, "Redis was asked in vain");
                    Err(Found::Error)
                }
                Err(_elapsed) => Err(Found::Timeout),
            };
            permit.record(fetched.is_ok(), began.elapsed());
            fetched
        });
        asking.await.unwrap_or(Err(Found::Error))
    }

    /// Hands an answer to the task that writes; never waits.
    pub(super) fn put(&self, scope: &Scope, settled: &SettledAnswer) {
        let seal = self.seal();
        self.writer
            .hand_over(seal.address(scope), seal.close(scope, settled));
    }

    pub(super) fn wakes(&self, scope: &Scope) -> Wakes {
        self.waiters.join(self.seal().address(scope))
    }
}
