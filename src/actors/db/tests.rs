//! What becomes of writes when the actor crashes under them.

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use actix::{Arbiter, System};
use tokio::sync::Notify;

use super::*;
use crate::{
    environment::Environment,
    payment::{
        Capture, CreatePayment, Fingerprint, IdempotencyKey, Mode, Money, Opening, Operation,
        OperationKind, Origin, Payment, ProviderRoute, Scope,
    },
};

#[path = "../../../tests/simulation/model_store.rs"]
#[expect(dead_code, reason = "the simulation uses more of it")]
mod model_store;
use model_store::{Fault, ModelStore};

#[derive(Message)]
#[rtype(result = "()")]
struct Crash;

impl Handler<Crash> for DbActor {
    type Result = ();

    fn handle(&mut self, _: Crash, _: &mut Context<Self>) {
        panic!("a test's crash");
    }
}

#[derive(Default)]
struct Restarts(Mutex<usize>);

impl GiveUp for Restarts {
    fn restarted(&self, _: &'static str) {
        *self.0.lock().unwrap() += 1;
    }

    fn gave_up(&self, actor: &'static str) {
        panic!("{actor} was given up");
    }
}

fn intent(environment: &Environment, key: &str) -> NewOperation {
    let request = CreatePayment {
        money: Money::new(4_200, "EUR".parse().unwrap()).unwrap(),
        payment_method: "pm_card_visa".into(),
        capture: Capture::Automatic,
        reference: None,
        description: None,
        metadata: BTreeMap::new(),
    };
    let fingerprint = Fingerprint::of(&request.canonical());
    let (key, merchant_id) = (IdempotencyKey::new(key).unwrap(), environment.new_id());
    let created_at = environment.now();
    let origin = Origin {
        id: environment.new_id(),
        merchant_id,
        mode: Mode::Test,
        idempotency_key: key.clone(),
        provider: "sandbox".into(),
        created_at,
    };
    let payment = Payment::new(request, origin);
    let mode = Mode::Test;
    let operation = Operation::open(Opening {
        id: environment.new_id(),
        payment_id: payment.id,
        scope: Scope {
            merchant_id,
            mode,
            key,
        },
        kind: OperationKind::Create,
        fingerprint,
        request_id: environment.new_id(),
        owner: environment.new_owner(),
        route: ProviderRoute {
            provider: "sandbox".into(),
            account: "a".into(),
            api_version: "v".into(),
            key: "k".into(),
            request: Vec::new(),
        },
        amount: 4_200,
        created_at,
    });
    NewOperation {
        operation,
        payment,
        lease: Duration::from_secs(60),
    }
}

struct World {
    store: ModelStore,
    environment: Environment,
    restarts: Arc<Restarts>,
    db: Db,
}

impl World {
    async fn start() -> Self {
        let environment = Environment::of_the_machine();
        let store = ModelStore::new(environment.clone());
        let restarts = Arc::new(Restarts::default());
        let shared = DbShared::new(
            Arc::new(store.clone()),
            64,
            1_000,
            runtime::Handle::current(),
            Arc::default(),
        );
        let watcher = Arc::<Restarts>::clone(&restarts);
        let db = Db::start(shared, Arbiter::current(), watcher).await;
        Self {
            store,
            environment,
            restarts,
            db: db.unwrap(),
        }
    }

    async fn begin(&self, key: &str) -> bool {
        let begin_by = Instant::now() + Duration::from_secs(3_600);
        let begun = self.db.begin(intent(&self.environment, key), begin_by);
        matches!(begun.await, Ok(standing) if standing.applied)
    }

    /// Waits until the actor has seen what was sent to it so far.
    async fn settled(&self) {
        self.db.0.addr().send(Pump).await.unwrap();
    }
}

fn simulate(story: impl AsyncFnOnce(World)) {
    let paused = || {
        let mut builder = runtime::Builder::new_current_thread();
        builder.enable_time().start_paused(true).build().unwrap()
    };
    System::with_tokio_rt(paused).block_on(async { story(World::start().await).await });
}

#[test]
fn a_batch_that_outlives_its_actor_makes_way_for_the_next_one() {
    simulate(async |world| {
        let notice = Arc::new(Notify::new());
        for _ in 0..BATCHES_IN_FLIGHT_MAX {
            world.store.fail_next(Fault::Stalls(Arc::clone(&notice)));
        }
        let others = async {
            world.settled().await;
            assert!(world.db.0.addr().send(Crash).await.is_err());
            while *world.restarts.0.lock().unwrap() == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let wake = async {
                world.settled().await;
                for _ in 0..BATCHES_IN_FLIGHT_MAX {
                    notice.notify_one();
                    tokio::task::yield_now().await;
                }
            };
            tokio::join!(world.begin("c"), wake).0
        };

        let (a, b, c) = tokio::join!(world.begin("a"), world.begin("b"), others);

        assert!(a && b, "no result is lost with the actor");
        assert!(c, "nobody woke the new actor");
    });
}

#[test]
fn a_batch_whose_task_panics_makes_way_for_the_next_one() {
    simulate(async |world| {
        for _ in 0..BATCHES_IN_FLIGHT_MAX {
            world.store.fail_next(Fault::Panics);
        }
        let (a, b, c) = tokio::join!(world.begin("a"), world.begin("b"), world.begin("c"));
        assert_eq!([a, b, c], [false, false, true]);
    });
}
