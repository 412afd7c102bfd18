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
        Refusal, Reply,
    },
    environment::{Clock, Environment, Randomness},
    lookups::MemoryLookups,
    payment::{Capture, CreatePayment, Id, IdempotencyKey, Mode, Money, Scope, Timestamp},
    resilience::LimiterSettings,
    telemetry::Metrics,
};
use tokio::{runtime, time::Instant};
use uuid::Uuid;

use super::{model_store::ModelStore, scripted_provider::ScriptedProvider};

pub(super) const MINUTE: Duration = Duration::from_secs(60);

pub(super) struct World {
    pub(super) store: ModelStore,
    pub(super) provider: Arc<ScriptedProvider>,
    pub(super) payments: Payments,
    pub(super) metrics: Arc<Metrics>,
    pub(super) environment: Environment,
    system: ActorSystem,
}

/// Runs `story` in a world of its own, under paused time.
pub(super) fn simulate<S: Future<Output = ()>>(story: impl FnOnce(World) -> S) {
    simulate_with(Duration::from_secs(24 * 3_600), story);
}

/// As [`simulate`], with a provider that remembers keys for `key_retention`.
pub(super) fn simulate_with<S: Future<Output = ()>>(
    key_retention: Duration,
    story: impl FnOnce(World) -> S,
) {
    let paused = || {
        let mut builder = runtime::Builder::new_current_thread();
        builder.enable_time().start_paused(true).build().unwrap()
    };
    System::with_tokio_rt(paused).block_on(async {
        let world = World::start(key_retention).await;
        story(world).await;
    });
}

impl World {
    async fn start(key_retention: Duration) -> Self {
        let started = Instant::now();
        let environment = Environment {
            clock: Arc::new(SimulatedClock { started }),
            randomness: Arc::new(Counting(AtomicUsize::new(1))),
        };
        let store = ModelStore::new(environment.clone());
        let provider = Arc::new(ScriptedProvider::new(key_retention));
        let metrics = Arc::new(Metrics::default());
        let dependencies = Dependencies {
            store: Arc::new(store.clone()),
            lookups: Arc::new(MemoryLookups::new(1 << 20)),
            environment: environment.clone(),
            metrics: Arc::clone(&metrics),
            providers: vec![Arc::<ScriptedProvider>::clone(&provider)],
            routing: vec!["scripted".into()],
            tasks: runtime::Handle::current(),
            watcher: Arc::new(Unwatched),
        };
        let settings = DriveSettings {
            deadline: Duration::from_secs(25),
            lease: MINUTE,
            in_flight_max: 1_000,
            gate: GateSettings {
                limiter: LimiterSettings {
                    max: 100,
                    ..LimiterSettings::default()
                },
                ..GateSettings::default()
            },
            batch_rows_max: 64,
            shards: 0,
        };
        let system = ActorSystem::start(dependencies, settings).await.unwrap();
        let payments = system.payments();
        Self {
            store,
            provider,
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
            request,
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
            .create(self.order(key, amount), Patience::UntilTheDeadline)
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
