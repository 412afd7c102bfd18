//! Hears that operations were settled by other nodes. Start reading at [`Hearing::hear`].
//!
//! A message is the address of an answer. It is no news, only a reason to look into the store now:
//! whoever forges one causes one look. Messages are handled as they arrive and are kept nowhere.

use std::{io, sync::Arc, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, ProtocolVersion, PushInfo, PushKind, RedisError,
    Value, aio::MultiplexedConnection,
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{CONNECT_MAX, Keys};
use crate::{
    environment::Environment,
    lookups::{
        LookupWatch,
        seal::{Address, Seal},
        wakes::Waiters,
    },
    resilience::Backoff,
};

/// Between two attempts to connect.
const RECONNECT: Backoff = Backoff {
    base: Duration::from_millis(200),
    cap: Duration::from_secs(10),
};
/// How often a sign of life is asked for, and how long it may take.
const PING_EVERY: Duration = Duration::from_secs(5);
const PING_MAX: Duration = Duration::from_secs(1);

/// A client that speaks RESP3, in which messages come between answers (Redis 6 and later).
pub(super) fn client(info: ConnectionInfo) -> Result<Client, RedisError> {
    let settings = info.redis_settings().clone();
    let settings = settings.set_protocol(ProtocolVersion::RESP3);
    Client::open(info.set_redis_settings(settings))
}

pub(super) struct Hearing {
    pub(super) client: Client,
    pub(super) keys: Keys,
    pub(super) seal: watch::Receiver<Arc<Seal>>,
    pub(super) waiters: Arc<Waiters>,
    pub(super) environment: Environment,
    pub(super) watch: Arc<dyn LookupWatch>,
}

impl Hearing {
    /// Hears for ever, with connections one after the other.
    pub(super) async fn hear(mut self) {
        let mut failures = 0_u32;
        loop {
            let heard = self.hear_once(&mut failures).await;
            self.watch.listening(false);
            if let Err(error) = heard {
                tracing::debug!(%error, "messages of other nodes do not come");
                failures = failures.saturating_add(1);
                let chance = self.environment.random_fraction();
                sleep(RECONNECT.wait(failures, chance)).await;
            }
        }
    }

    /// Hears the messages of one life of the database, until it is over or the connection is.
    async fn hear_once(&mut self, failures: &mut u32) -> Result<(), RedisError> {
        let channel = self.keys.channel(&self.seal.borrow_and_update());
        let mut connection = in_time(CONNECT_MAX, self.connect()).await?;
        in_time(PING_MAX, connection.subscribe(&channel)).await?;
        self.watch.listening(true);
        *failures = 0;
        loop {
            tokio::select! {
                changed = self.seal.changed() => {
                    // Without a sender the look-ups are gone, and this task with them.
                    return changed.map_err(|_gone| broken());
                }
                () = sleep(PING_EVERY) => {
                    let ping = redis::cmd("PING");
                    in_time(PING_MAX, ping.query_async::<()>(&mut connection)).await?;
                }
            }
        }
    }

    async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        let (waiters, watch) = (Arc::clone(&self.waiters), Arc::clone(&self.watch));
        let heard = move |message: PushInfo| -> Result<(), RedisError> {
            if message.kind == PushKind::Message {
                watch.message(address_in(&message).is_some_and(|address| waiters.wake(&address)));
            }
            Ok(())
        };
        let config = AsyncConnectionConfig::new().set_push_sender(heard);
        self.client
            .get_multiplexed_async_connection_with_config(&config)
            .await
    }
}

/// What a message is about; the first part of it is its channel.
fn address_in(message: &PushInfo) -> Option<Address> {
    match message.data.as_slice() {
        [_, Value::BulkString(address)] => address.as_slice().try_into().ok(),
        _ => None,
    }
}

async fn in_time<T>(
    patience: Duration,
    asked: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, RedisError> {
    let late = |_elapsed| Err(RedisError::from(io::Error::from(io::ErrorKind::TimedOut)));
    timeout(patience, asked).await.unwrap_or_else(late)
}

fn broken() -> RedisError {
    RedisError::from(io::Error::from(io::ErrorKind::BrokenPipe))
}
