//! Actors, store and provider on one thread, with a clock that jumps.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix::System;
use oncepay::{
    actors::{
        ActorSystem, Dependencies, DriveSettings, GateSettings, GiveUp, Order, Patience, Payments,
        RecoverySettings, Refusal, Reply, Request,
    },
    environment::{Clock, Environment, Randomness},
    lookups::MemoryLookups,
    payment::{Capture, CreatePayment, Id, IdempotencyKey, Mode, Money, Scope, Timestamp},
    resilience::{AdmissionBounds, Backoff, LimiterSettings},
    telemetry::Metrics,
};
use tokio::{runtime, time::Instant};
use uuid::Uuid;

use super::{model_store::ModelStore, scripted_provider::ScriptedProvider};

/// How long an intent may wait for the store.
pub(super) const QUEUE_WAIT: Duration = Duration::from_secs(2);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(3_600);
pub(super) const DAY: Duration = Duration::from_secs(24 * 3_600);
/// Between the sweeps of recovery, where a story is about it, and where it is not.
const SWEPT: Duration = Duration::from_secs(20);
const UNRECOVERED: Duration = Duration::from_secs(365 * 24 * 3_600);

pub(super) struct World {
    pub(super) store: ModelStore,
    pub(super) provider: Arc<ScriptedProvider>,
    /// Where a payment goes that `provider` certainly did not get.
    pub(super) second: Arc<ScriptedProvider>,
    pub(super) payments: Payments,
    pub(super) metrics: Arc<Metrics>,
    pub(super) environment: Environment,
    system: ActorSystem,
}

/// Runs `story` in a world of its own, under paused time.
pub(super) fn simulate<S: Future<Output = ()>>(story: impl FnOnce(World) -> S) {
    simulate_with(DAY, story);
}

/// As [`simulate`], with a provider that remembers keys for `key_retention`.
pub(super) fn simulate_with<S: Future<Output = ()>>(
    key_retention: Duration,
    story: impl FnOnce(World) -> S,
) {
    simulate_as(key_retention, &["scripted"], |_| {}, story);
}

/// As [`simulate`], with a recovery that sweeps.
pub(super) fn simulate_recovering<S: Future<Output = ()>>(story: impl FnOnce(World) -> S) {
    simulate_as(DAY, &["scripted"], sweeping, story);
}

/// As [`simulate_recovering`], with two providers, of which the first is preferred.
pub(super) fn simulate_two<S: Future<Output = ()>>(story: impl FnOnce(World) -> S) {
    simulate_as(DAY, &["scripted", "second"], sweeping, story);
}

fn sweeping(settings: &mut DriveSettings) {
    settings.recovery.sweep_every = SWEPT;
}

/// As [`simulate_with`], with other bounds.
pub(super) fn simulate_bounded<S: Future<Output = ()>>(
    key_retention: Duration,
    bounds: impl FnOnce(&mut DriveSettings),
    story: impl FnOnce(World) -> S,
) {
    simulate_as(key_retention, &["scripted"], bounds, story);
}

fn simulate_as<S: Future<Output = ()>>(
    key_retention: Duration,
    routing: &[&str],
    bounds: impl FnOnce(&mut DriveSettings),
    story: impl FnOnce(World) -> S,
) {
    let routing = routing.iter().map(|name| (*name).to_owned()).collect();
    let paused = || {
        let mut builder = runtime::Builder::new_current_thread();
        builder.enable_time().start_paused(true).build().unwrap()
    };
    System::with_tokio_rt(paused).block_on(async {
        let world = World::start(key_retention, routing, bounds).await;
        story(world).await;
    });
}

impl World {
    async fn start(
        key_retention: Duration,
        routing: Vec<String>,
        bounds: impl FnOnce(&mut DriveSettings),
    ) -> Self {
        let started = Instant::now();
        let environment = Environment {
            clock: Arc::new(SimulatedClock { started }),
            randomness: Arc::new(Counting(AtomicUsize::new(1))),
        };
        let store = ModelStore::new(environment.clone());
        let provider = Arc::new(ScriptedProvider::new("scripted", key_retention));
        let second = Arc::new(ScriptedProvider::new("second", key_retention));
        let metrics = Arc::new(Metrics::default());
        let dependencies = Dependencies {
            store: Arc::new(store.clone()),
            lookups: Arc::new(MemoryLookups::new(1 << 20)),
            environment: environment.clone(),
            metrics: Arc::clone(&metrics),
            providers: vec![
                Arc::<ScriptedProvider>::clone(&provider),
                Arc::<ScriptedProvider>::clone(&second),
            ],
            routing,
            tasks: runtime::Handle::current(),
            watcher: Arc::new(Unwatched),
        };
        let mut settings = DriveSettings {
            deadline: Duration::from_secs(25),
            lease: MINUTE,
            admission: AdmissionBounds {
                places_max: 1_000,
                seats_max: 256,
            },
            queue_wait: QUEUE_WAIT,
            begins_waiting_max: 1_000,
            gate: GateSettings {
                limiter: LimiterSettings {
                    max: 100,
                    ..LimiterSettings::default()
                },
                ..GateSettings::default()
            },
            batch_rows_max: 64,
            pending_ttl: Duration::from_secs(24 * 3_600),
            recovery: RecoverySettings {
                sweep_every: UNRECOVERED,
                backoff: Backoff {
                    base: Duration::from_secs(1),
                    cap: Duration::from_secs(300),
                },
                at_once_max: 16,
                alarm_after: Duration::from_secs(3_600),
            },
            shards: 0,
        };
        bounds(&mut settings);
        let system = ActorSystem::start(dependencies, settings).await.unwrap();
        let payments = system.payments();
        Self {
            store,
            provider,
            second,
            payments,
            metrics,
            environment,
            system,
        }
    }

    pub(super) fn order(&self, key: &str, amount: i64) -> Order {
        let request = CreatePayment {
            money: Money::new(amount, "EUR".parse().unwrap()).unwrap(),
            payment_method: "pm_card_visa".into(),
            capture: Capture::Automatic,
            reference: None,
            description: None,
            metadata: BTreeMap::new(),
        };
        Order {
            scope: Scope {
                merchant_id: Id::from_uuid(Uuid::from_u128(7)),
                mode: Mode::Test,
                key: IdempotencyKey::new(key).unwrap(),
            },
            canonical: request.canonical(),
            request: Request::Create(request),
            request_id: self.environment.new_id(),
            deadline: self.payments.deadline(),
        }
    }

    /// Asks for a payment of 42.00 EUR and waits until the deadline.
    pub(super) async fn pay(&self, key: &str) -> Result<Reply, Refusal> {
        self.pay_amount(key, 4_200).await
    }

    pub(super) async fn pay_amount(&self, key: &str, amount: i64) -> Result<Reply, Refusal> {
        self.payments
            .submit(self.order(key, amount), Patience::UntilTheDeadline)
            .await
    }

    /// The server's graceful stop; gives back how many operations were still at work.
    pub(super) async fn stop(self, patience: Duration) -> usize {
        self.system.drain(patience).await
    }
}

struct SimulatedClock {
    started: Instant,
}

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_790_000_000_000_000).plus(self.started.elapsed())
    }
}

/// Different every time, and the same in every run.
struct Counting(AtomicUsize);

impl Randomness for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        let mut state = self.0.fetch_add(1, Ordering::Relaxed) as u64;
        for byte in bytes {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            *byte = (state >> 33) as u8;
        }
    }
}

struct Unwatched;

impl GiveUp for Unwatched {
    fn restarted(&self, _: &'static str) {}
    fn gave_up(&self, actor: &'static str) {
        panic!("{actor} was given up");
    }
}
