//! How the actors are wired, started and stopped.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use actix::{Arbiter, ArbiterHandle};
use tokio::runtime;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    GiveUp, Payments, RecoverySettings, Supervised,
    db::{Db, DbShared},
    front_door::FrontDoor,
    key_router::KeyRouter,
    provider::{
        BreakerFeed, Gate, GateSettings, ProviderActor, ProviderHandle, ProviderShared, Searches,
    },
    recovery::RecoveryActor,
    supervisor::{ArbiterGone, supervise},
};
use crate::{
    environment::Environment,
    lookups::Lookups,
    payment::{Change, Mode, Operation, OperationChange, ProviderRoute, Standing},
    provider::Provider,
    resilience::{AdmissionBounds, Purpose},
    store::{Store, WriteError},
    telemetry::Metrics,
};

/// What the actors work with.
pub struct Dependencies {
    pub store: Arc<dyn Store>,
    pub lookups: Arc<dyn Lookups>,
    pub environment: Environment,
    pub metrics: Arc<Metrics>,
    /// Every provider that is configured; retired ones settle what they began.
    pub providers: Vec<Arc<dyn Provider>>,
    /// Names of the providers that take new payments, the preferred first.
    pub routing: Vec<String>,
    /// Where drives, batches and calls run: a runtime that outlives the HTTP server.
    pub tasks: runtime::Handle,
    /// Told about crashes.
    pub watcher: Arc<dyn GiveUp>,
}

impl fmt::Debug for Dependencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dependencies")
            .field("routing", &self.routing)
            .finish_non_exhaustive()
    }
}

/// The bounds of the actors' work.
#[derive(Clone, Copy, Debug)]
pub struct DriveSettings {
    /// How long an operation may take from its request to its answer.
    pub deadline: Duration,
    /// How long a driver holds an operation: at least the deadline, the longest attempt, and 10 s.
    pub lease: Duration,
    /// Operations in the house at once, and requests that may wait for one of them.
    pub admission: AdmissionBounds,
    /// How long an intent may wait until it is with the store.
    pub queue_wait: Duration,
    /// Intents that may wait for the store at once.
    pub begins_waiting_max: usize,
    /// What each provider's calls must pass.
    pub gate: GateSettings,
    /// Rows of one batch.
    pub batch_rows_max: usize,
    /// How long a released operation waits for its client before it expires.
    pub pending_ttl: Duration,
    pub recovery: RecoverySettings,
    /// KeyRouters, each with an arbiter of its own; 0 runs every actor on the current arbiter, as a
    /// simulation needs it.
    pub shards: usize,
}

/// What a drive needs, shared by all.
pub(crate) struct DriveContext {
    pub(crate) db: Db,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) lookups: Arc<dyn Lookups>,
    pub(crate) environment: Environment,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) settings: DriveSettings,
    pub(crate) tasks: runtime::Handle,
    pub(crate) drives: TaskTracker,
    pub(crate) stopping: CancellationToken,
    /// What becomes of the providers' breakers.
    pub(crate) feed: BreakerFeed,
    routes: BTreeMap<String, Route>,
    routing: Vec<String>,
}

/// A provider and the actor that owns its calls.
pub(crate) struct Route {
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) actor: ProviderHandle,
}

impl DriveContext {
    /// Where a new payment of that mode goes: to the preferred provider that can be asked now, or
    /// to the preferred one if none can.
    pub(crate) fn route_for(&self, mode: Mode) -> Option<&Route> {
        let serving = || self.serving(mode);
        let available = |route: &&Route| route.actor.is_available(Purpose::Client);
        serving().find(available).or_else(|| serving().next())
    }

    /// The providers that take new payments of that mode, the preferred first.
    fn serving(&self, mode: Mode) -> impl Iterator<Item = &Route> {
        let routes = self.routing.iter().filter_map(|name| self.routes.get(name));
        routes.filter(move |route| route.provider.profile().serves(mode))
    }

    /// Where a payment of that mode may go that none of `refused_by` was sent.
    pub(crate) fn route_beside(&self, mode: Mode, refused_by: &[String]) -> Option<&Route> {
        let untried = |route: &&Route| !refused_by.contains(&route.provider.profile().name);
        self.serving(mode).find(untried)
    }

    /// How many providers one drive may turn to.
    pub(crate) fn routes_max(&self) -> usize {
        self.routes.len().max(1)
    }

    /// The names of all providers, retired ones too.
    pub(crate) fn provider_names(&self) -> impl Iterator<Item = &str> {
        self.routes.keys().map(String::as_str)
    }

    /// Where operations in doubt may be settled now, and how many of them could be sent again.
    pub(crate) fn recoverable_providers(&self) -> Vec<(String, u32)> {
        let routes = self.routes.iter();
        let resends = routes.map(|(name, route)| {
            let resends = route.actor.resends(Purpose::Settling);
            (name.clone(), resends)
        });
        resends.filter(|(_, resends)| *resends > 0).collect()
    }

    pub(crate) fn route(&self, name: &str) -> Option<&Route> {
        self.routes.get(name)
    }

    /// Whether new payments may go to that provider.
    pub(crate) fn is_routed(&self, name: &str) -> bool {
        self.routing.iter().any(|routed| routed == name)
    }

    /// Changes `operation` as the driver of the epoch that it shows.
    pub(crate) async fn change(
        &self,
        operation: &Operation,
        change: Change,
    ) -> Result<Standing, WriteError> {
        let change = OperationChange {
            operation_id: operation.id,
            epoch: operation.epoch,
            change,
            at: self.environment.now(),
        };
        self.db.change(change).await
    }

    /// Where a recorded operation was bound to; `None` when that provider is not configured any
    /// more, or stands for another account now.
    pub(crate) fn route_of(&self, recorded: &ProviderRoute) -> Option<&Route> {
        let route = self.routes.get(&recorded.provider)?;
        (route.provider.profile().account == recorded.account).then_some(route)
    }
}

/// The running actors.
pub struct ActorSystem {
    payments: Payments,
    /// An actor lives as long as somebody has its address.
    _recovery: Supervised<RecoveryActor>,
    arbiters: Vec<Arbiter>,
}

impl fmt::Debug for ActorSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActorSystem")
            .field("arbiters", &self.arbiters.len())
            .finish_non_exhaustive()
    }
}

impl ActorSystem {
    /// Starts every actor. Must run inside an actix system.
    ///
    /// # Errors
    /// When an arbiter ends while its actor starts.
    pub async fn start(
        dependencies: Dependencies,
        settings: DriveSettings,
    ) -> Result<Self, ArbiterGone> {
        let mut arbiters = Arbiters {
            own: settings.shards > 0,
            started: Vec::new(),
        };
        let Dependencies {
            store,
            lookups,
            environment,
            metrics,
            tasks,
            watcher,
            ..
        } = dependencies;
        let stopping = CancellationToken::new();

        let shared = DbShared::new(
            Arc::clone(&store),
            settings.batch_rows_max,
            settings.begins_waiting_max,
            tasks.clone(),
            Arc::clone(&metrics),
        );
        let db = Db::start(shared, arbiters.next(), Arc::clone(&watcher)).await?;

        let feed = BreakerFeed::new();
        let mut routes = BTreeMap::new();
        let for_providers = arbiters.next();
        for provider in dependencies.providers {
            let name = provider.profile().name.clone();
            metrics.provider.configured(&name);
            let shared = Arc::new(ProviderShared {
                provider: Arc::clone(&provider),
                environment: environment.clone(),
                tasks: tasks.clone(),
                metrics: Arc::clone(&metrics),
                gate: Gate::new(
                    &name,
                    settings.gate,
                    environment.clone(),
                    &metrics,
                    feed.clone(),
                ),
                searches: Searches::default(),
                stopping: stopping.clone(),
            });
            let owned = Arc::clone(&shared);
            let actor = supervise(
                "provider",
                for_providers.clone(),
                Arc::clone(&watcher),
                move || ProviderActor::new(Arc::clone(&owned)),
            );
            let actor = ProviderHandle::new(actor.await?, shared);
            routes.insert(name, Route { provider, actor });
        }

        let context = Arc::new(DriveContext {
            db,
            store,
            lookups,
            environment,
            metrics,
            settings,
            tasks,
            drives: TaskTracker::new(),
            stopping,
            feed,
            routes,
            routing: dependencies.routing,
        });
        let mut shards = Vec::new();
        for _ in 0..settings.shards.max(1) {
            let context = Arc::clone(&context);
            let router = supervise(
                "key_router",
                arbiters.next(),
                Arc::clone(&watcher),
                move || KeyRouter::new(Arc::clone(&context)),
            );
            shards.push(router.await?);
        }
        let recovering = Arc::clone(&context);
        let recovery = supervise(
            "recovery",
            arbiters.next(),
            Arc::clone(&watcher),
            move || RecoveryActor::new(Arc::clone(&recovering)),
        );
        let recovery = recovery.await?;
        let admission_metrics = context.metrics.admission.clone();
        let payments = Payments {
            context,
            shards: shards.into(),
            front_door: Arc::new(FrontDoor::new(settings.admission, admission_metrics)),
        };
        Ok(Self {
            payments,
            _recovery: recovery,
            arbiters: arbiters.started,
        })
    }

    pub fn payments(&self) -> Payments {
        self.payments.clone()
    }

    /// Begins a stop: nothing is tried again, and who follows another's drive hears how things stand.
    /// Requests are still let in, until [`Self::drain`].
    pub fn begin_stop(&self) {
        self.payments.context.stopping.cancel();
    }

    /// Takes no new work, lets attempts that run come to their end, and waits until every
    /// operation is settled, released or left to the next driver, at most `patience`. Gives back
    /// how many were still at work then; their leases run out by themselves.
    pub async fn drain(&self, patience: Duration) -> usize {
        let context = &self.payments.context;
        self.payments.front_door.close();
        self.begin_stop();
        context.drives.close();
        match tokio::time::timeout(patience, context.drives.wait()).await {
            Ok(()) => 0,
            Err(_elapsed) => context.drives.len(),
        }
    }
}

/// Actors end with the system that they were started in.
impl Drop for ActorSystem {
    fn drop(&mut self) {
        for arbiter in &self.arbiters {
            arbiter.stop();
        }
    }
}

/// Hands out an arbiter for each actor, or the current one again and again.
struct Arbiters {
    own: bool,
    started: Vec<Arbiter>,
}

impl Arbiters {
    fn next(&mut self) -> ArbiterHandle {
        if !self.own {
            return Arbiter::current();
        }
        let arbiter = Arbiter::new();
        let handle = arbiter.handle();
        self.started.push(arbiter);
        handle
    }
}
