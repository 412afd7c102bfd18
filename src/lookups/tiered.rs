//! What a server looks answers up in: its memory, then Redis, if it has one.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, FutureExt, ready};
use tokio::{runtime::Handle, sync::watch};
use tokio_util::task::AbortOnDropHandle;

use super::{
    LookupError, LookupWatch, Lookups, MemoryLookups, SettledAnswer, Wakes, incarnation,
    redis::{RedisLookups, RedisSettings},
    seal::Seal,
    watch::{Found, Tier},
};
use crate::{
    environment::Environment,
    payment::Scope,
    store::{Installation, Store},
};

/// What [`TieredLookups`] are made of.
pub struct TieredSettings {
    /// What this process keeps in its memory, in bytes.
    pub memory_bytes_max: u64,
    pub redis: Option<RedisSettings>,
    pub installation: Installation,
    /// Asked now and then for the installation.
    pub store: Arc<dyn Store>,
    pub environment: Environment,
    pub watch: Arc<dyn LookupWatch>,
}

impl fmt::Debug for TieredSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TieredSettings")
            .field("redis", &self.redis)
            .finish_non_exhaustive()
    }
}

/// Memory in front of Redis.
#[derive(Debug)]
pub struct TieredLookups {
    memory: Arc<MemoryLookups>,
    redis: Option<RedisLookups>,
    watch: Arc<dyn LookupWatch>,
    _following: AbortOnDropHandle<()>,
}

impl TieredLookups {
    /// Starts without waiting for Redis. What is connected lives on `io`, which must outlive all who
    /// ask.
    ///
    /// # Errors
    /// When the URL or the certificate of Redis cannot be understood.
    pub fn start(settings: TieredSettings, io: &Handle) -> Result<Self, LookupError> {
        let TieredSettings {
            memory_bytes_max,
            redis,
            installation,
            store,
            environment,
            watch,
        } = settings;
        let memory = Arc::new(MemoryLookups::new(memory_bytes_max));
        let (sealing, seal) = watch::channel(Arc::new(Seal::of(&installation)));
        let start =
            |settings| RedisLookups::start(settings, seal, environment, Arc::clone(&watch), io);
        let redis = redis.map(start).transpose()?;
        let following = incarnation::follow(store, installation, Arc::clone(&memory), sealing);
        Ok(Self {
            memory,
            redis,
            watch,
            _following: AbortOnDropHandle::new(io.spawn(following)),
        })
    }

    async fn get_from(&self, redis: &RedisLookups, scope: &Scope) -> Option<SettledAnswer> {
        let settled = redis.get(scope).await?;
        self.memory.put(scope.clone(), settled.clone());
        Some(settled)
    }
}

impl Lookups for TieredLookups {
    fn get<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Option<SettledAnswer>> {
        let at_hand = self.memory.find(scope);
        let found = match at_hand {
            Some(_) => Found::Hit,
            None => Found::Miss,
        };
        self.watch.looked_up(Tier::Memory, found, Duration::ZERO);
        match (&self.redis, at_hand) {
            (Some(redis), None) => self.get_from(redis, scope).boxed(),
            (_, at_hand) => ready(at_hand).boxed(),
        }
    }

    fn put(&self, scope: Scope, settled: SettledAnswer) {
        if let Some(redis) = &self.redis {
            redis.put(&scope, &settled);
        }
        self.memory.put(scope, settled);
    }

    fn wakes(&self, scope: &Scope) -> Wakes {
        match &self.redis {
            Some(redis) => redis.wakes(scope),
            None => Wakes::none(),
        }
    }
}
