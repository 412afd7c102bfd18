//! Where the command line meets the floors below: each function builds one of them.

use std::{
    net::{SocketAddr, TcpListener},
    num::NonZeroUsize,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use secrecy::SecretString;
use tokio::{runtime::Handle, time::Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::error::in_one_line;
use crate::{
    actors::{ActorSystem, Dependencies, DriveSettings, GateSettings, GiveUp, RecoverySettings},
    config::Config,
    environment::Environment,
    http::{self, HttpDependencies, HttpSettings},
    lookups::{RedisSettings, TieredLookups, TieredSettings},
    provider::{
        Books, Provider,
        stripe::{StripeProvider, StripeSettings},
    },
    resilience::{AdmissionBounds, Backoff, LimiterSettings},
    sandbox::{Sandbox, SandboxConfig, SandboxError},
    store::{self, Installation, Store, StoreSettings, StoreStartError, StoreUrl},
    telemetry::Metrics,
};

/// Why a part could not be built, in that part's own words.
pub(super) type WiringError = Box<dyn std::error::Error + Send + Sync>;

/// Opens the store, its schema brought up to date if that is allowed. On the I/O runtime: the
/// connections stay there.
pub(super) async fn open_store(
    config: &Config,
    environment: &Environment,
) -> Result<Arc<dyn Store>, StoreStartError> {
    store::open(store_settings(
        config,
        environment,
        config.database_migrate,
    )?)
    .await
}

/// What there is before anything is made or changed.
pub(super) enum StoreFinding {
    UpToDate {
        store: Arc<dyn Store>,
        /// What is unusual about it.
        remarks: Vec<String>,
    },
    /// It answers, and lacks these migrations.
    Pending(Vec<String>),
    /// It answers, and no program of ours has ever done anything to it; these are all migrations.
    Blank(Vec<String>),
    /// There is no file, and the URL says to make one.
    ToBeMade,
}

/// Looks at the store and leaves it as it is.
pub(super) async fn inspect_store(
    config: &Config,
    environment: &Environment,
) -> Result<StoreFinding, StoreStartError> {
    let settings = store_settings(config, environment, false)?;
    if let StoreUrl::Sqlite { path, create: true } = &settings.url
        && !path.exists()
    {
        return Ok(StoreFinding::ToBeMade);
    }
    let found = store::inspect(&settings.url).await?;
    found.check_safety(settings.allow_unsafe)?;
    if found.is_blank {
        return Ok(StoreFinding::Blank(found.pending));
    }
    if !found.pending.is_empty() {
        return Ok(StoreFinding::Pending(found.pending));
    }
    Ok(StoreFinding::UpToDate {
        store: store::open(settings).await?,
        remarks: found.remarks(),
    })
}

/// Whether another program has the database open.
pub(super) async fn is_in_use(config: &Config) -> Result<bool, StoreStartError> {
    store::is_in_use(&StoreUrl::parse(&config.database_url)?).await
}

/// Brings the schema up to date and gives the names of the migrations that were run.
pub(super) async fn migrate(config: &Config) -> Result<Vec<String>, StoreStartError> {
    store::migrate(&StoreUrl::parse(&config.database_url)?).await
}

fn store_settings(
    config: &Config,
    environment: &Environment,
    migrate: bool,
) -> Result<StoreSettings, StoreStartError> {
    Ok(StoreSettings {
        url: StoreUrl::parse(&config.database_url)?,
        pool_max: config.database_pool_max,
        migrate,
        allow_unsafe: config.database_allow_unsafe,
        environment: environment.clone(),
    })
}

/// Starts a sandbox on the I/O runtime; it runs until it is dropped. Without `secret` it takes any.
pub(super) async fn start_sandbox(
    listen: SocketAddr,
    control_listen: Option<SocketAddr>,
    secret: Option<SecretString>,
    environment: &Environment,
) -> Result<Sandbox, SandboxError> {
    let seed = u64::from_le_bytes(environment.random_bytes());
    let clock = Arc::clone(&environment.clock);
    let now = Arc::new(move || clock.now().as_micros());
    Sandbox::start(SandboxConfig {
        control_listen,
        secret,
        ..SandboxConfig::new(listen, seed, now)
    })
    .await
}

/// Builds every configured provider, retired ones too, with their connections on `io`. The built-in
/// sandbox's address is that at which it listens, whatever its setting says.
pub(super) fn build_providers(
    config: &Config,
    sandbox: Option<&Sandbox>,
    installation: Option<Uuid>,
    io: &Handle,
) -> Result<Vec<Arc<dyn Provider>>, WiringError> {
    let built = build_stripe(config, sandbox, installation, io)?;
    let providers = built
        .into_iter()
        .map(|built| Arc::new(built) as Arc<dyn Provider>);
    Ok(providers.collect())
}

/// The books of every configured provider, retired ones too; a built-in sandbox is at the address
/// that its setting says.
pub(super) fn build_books(
    config: &Config,
    installation: Option<Uuid>,
    io: &Handle,
) -> Result<Vec<Arc<dyn Books>>, WiringError> {
    let built = build_stripe(config, None, installation, io)?;
    let books = built
        .into_iter()
        .map(|built| Arc::new(built) as Arc<dyn Books>);
    Ok(books.collect())
}

fn build_stripe(
    config: &Config,
    sandbox: Option<&Sandbox>,
    installation: Option<Uuid>,
    io: &Handle,
) -> Result<Vec<StripeProvider>, WiringError> {
    let mut providers = Vec::new();
    for provider in &config.providers {
        let base_url = match sandbox {
            Some(sandbox) => format!("http://{}", sandbox.address()),
            None => provider.url.clone(),
        };
        let settings = StripeSettings {
            account: provider.account.clone(),
            mode: provider.mode,
            attempt_timeout: provider.attempt_timeout(),
            connect_timeout: provider.connect_timeout(),
            key_retention: provider.key_retention(),
            absence_wait: provider.absence_wait(),
            installation,
            ..StripeSettings::new(&*provider.name, base_url, provider.secret.clone())
        };
        let built = StripeProvider::new(settings, io.clone())
            .map_err(|error| format!("provider {:?}: {}", provider.name, in_one_line(&error)))?;
        providers.push(built);
    }
    Ok(providers)
}

/// All that serving takes.
pub(super) struct Parts {
    pub(super) config: Config,
    pub(super) environment: Environment,
    pub(super) metrics: Metrics,
    pub(super) store: Arc<dyn Store>,
    pub(super) installation: Installation,
    pub(super) providers: Vec<Arc<dyn Provider>>,
    /// Where store and providers live.
    pub(super) io: Handle,
    /// Cancelled when the process is asked to stop.
    pub(super) stop: CancellationToken,
}

/// What a shared look-up may keep in memory, in bytes.
const LOOKUP_BYTES_MAX: u64 = 32 << 20;

/// Runs actors and HTTP in the actix system that it is called in, until `stop` is cancelled and what
/// was under way has ended or `limits.shutdown_timeout_s` have passed. Calls `listening` once requests
/// are served on `listener`.
pub(super) async fn serve(
    parts: Parts,
    listener: TcpListener,
    listening: impl FnOnce(SocketAddr),
) -> Result<(), WiringError> {
    let Parts {
        config,
        environment,
        metrics,
        store,
        installation,
        providers,
        io,
        stop,
    } = parts;
    let (metrics, limits) = (Arc::new(metrics), &config.limits);
    let watcher = Arc::new(Watcher {
        metrics: Arc::clone(&metrics),
        gave_up: AtomicBool::new(false),
        stop: stop.clone(),
    });
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let lookups = TieredSettings {
        memory_bytes_max: LOOKUP_BYTES_MAX,
        redis: redis_settings(&config)?,
        installation,
        store: Arc::clone(&store),
        environment: environment.clone(),
        watch: Arc::new(metrics.lookups.clone()),
    };
    let dependencies = Dependencies {
        store: Arc::clone(&store),
        lookups: Arc::new(TieredLookups::start(lookups, &io)?),
        environment: environment.clone(),
        metrics: Arc::clone(&metrics),
        providers,
        routing: config.routing.clone(),
        tasks: io,
        watcher: Arc::<Watcher>::clone(&watcher),
    };
    let settings = DriveSettings {
        deadline: limits.deadline(),
        lease: limits.lease(),
        admission: AdmissionBounds {
            places_max: limits.in_flight_max as usize,
            seats_max: limits.duplicates_max as usize,
        },
        queue_wait: limits.queue_wait(),
        begins_waiting_max: limits.queue_rows_max as usize,
        gate: gate(&config),
        batch_rows_max: limits.batch_rows_max as usize,
        pending_ttl: limits.pending_ttl(),
        recovery: RecoverySettings {
            sweep_every: config.recovery.sweep_every(),
            backoff: Backoff {
                base: config.recovery.backoff_base(),
                cap: config.recovery.backoff_max(),
            },
            at_once_max: config.recovery.at_once_max,
            alarm_after: config.recovery.alarm_after(),
        },
        shards: cores,
    };
    let actors = ActorSystem::start(dependencies, settings).await?;
    let http = http::start(
        listener,
        HttpDependencies {
            payments: actors.payments(),
            store,
            environment,
            metrics,
            settings: HttpSettings {
                body_bytes_max: limits.body_bytes_max as usize,
                body_timeout: limits.body_timeout(),
                head_timeout: limits.head_timeout(),
                keep_alive: limits.keep_alive(),
                send_timeout: limits.send_timeout(),
                connections_max: limits.connections_max as usize,
                workers: config.http_workers.map_or(cores, usize::from),
                shutdown_timeout_s: limits.shutdown_timeout_s.into(),
            },
        },
    )?;
    listening(http.address());
    stop.cancelled().await;
    let end = Instant::now() + limits.shutdown_timeout();
    actors.begin_stop();
    // Requests first: one that comes on a connection that stands is served. Then drives that nobody
    // waits for have what is left of the time.
    let stopped = http.stop().await;
    let left = actors
        .drain(end.saturating_duration_since(Instant::now()))
        .await;
    stopped?;
    if left > 0 {
        tracing::warn!(left, "operations are left to the next driver");
    }
    if watcher.gave_up.load(Ordering::SeqCst) {
        return Err("an actor crashed again and again; see the log".into());
    }
    Ok(())
}

/// How Redis is to be used, if it is.
pub(super) fn redis_settings(config: &Config) -> Result<Option<RedisSettings>, WiringError> {
    let (Some(url), redis) = (&config.redis_url, &config.redis) else {
        return Ok(None);
    };
    let read = |path: &PathBuf| {
        let unread = |error| format!("redis.ca_file {} cannot be read: {error}", path.display());
        std::fs::read(path).map_err(unread)
    };
    Ok(Some(RedisSettings {
        url: url.clone(),
        ca_pem: redis.ca_file.as_ref().map(read).transpose()?,
        key_prefix: redis.key_prefix.clone(),
        ttl: redis.ttl(),
        get_timeout: redis.get_timeout(),
        connections_max: redis.connections_max,
        breaker: redis.breaker(),
    }))
}

/// What each provider's calls must pass.
fn gate(config: &Config) -> GateSettings {
    let breaker = config.breaker.settings();
    GateSettings {
        breaker,
        budget: config.retry.settings(),
        settling: config.retry.settling(),
        limiter: LimiterSettings {
            min: config.limits.provider_calls_min,
            max: config.limits.provider_calls_max,
            slow: breaker.slow_call,
        },
    }
}

/// Counts the actors' crashes, and ends the process when one cannot be kept alive.
struct Watcher {
    metrics: Arc<Metrics>,
    gave_up: AtomicBool,
    stop: CancellationToken,
}

impl GiveUp for Watcher {
    fn supervised(&self, actor: &'static str) {
        self.metrics.actors.supervised(actor);
    }

    fn restarted(&self, actor: &'static str) {
        self.metrics.actors.restarted(actor);
    }

    fn gave_up(&self, _: &'static str) {
        self.gave_up.store(true, Ordering::SeqCst);
        self.stop.cancel();
    }
}
