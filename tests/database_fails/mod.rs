//! What happens if the database fails? Each story troubles a PostgreSQL while clients pay, and counts
//! at the provider.

mod failover;
mod fate;
mod trouble;

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use serde_json::json;
use tokio::sync::watch;

use crate::downstream_fails::{charges_of, order, quick_recovery, until_definite};
use crate::harness::{
    Answer, Database, ProviderKnobs, World, eventually,
    postgres::{Fsync, PostgresServer},
};

const CLIENTS: usize = 16;
/// Keeps the clients from paying thousands of times while something takes its time.
const PROVIDER_LATENCY_MS: f64 = 30.0;
const PATIENCE: Duration = Duration::from_secs(120);

/// A world over that database, which settles within a test's patience.
async fn world_over(url: String, knobs: &[(&'static str, &str)]) -> World {
    let mut all = quick_recovery();
    let knobs = knobs
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()));
    all.0.extend(knobs);
    let providers = vec![ProviderKnobs::named("main")];
    let world = World::start_over(Database::Elsewhere { url }, all, providers).await;
    world.latency_ms(PROVIDER_LATENCY_MS).await;
    world
}

/// Works on a server where blocking is allowed.
async fn with<T: Send + 'static>(
    mut server: PostgresServer,
    work: impl FnOnce(&mut PostgresServer) -> T + Send + 'static,
) -> (PostgresServer, T) {
    let work = move || {
        let done = work(&mut server);
        (server, done)
    };
    tokio::task::spawn_blocking(work).await.unwrap()
}

async fn server() -> PostgresServer {
    let start = || PostgresServer::start(Fsync::On);
    tokio::task::spawn_blocking(start).await.unwrap()
}

/// Clients that pay, each payment under a key of its own. Most come back with it until the answer is
/// definite; some ask once and are not seen again.
#[derive(Default)]
struct Load {
    next: AtomicUsize,
    ends: AtomicBool,
    acknowledged: watch::Sender<usize>,
    /// By key, what was acknowledged.
    answers: Mutex<BTreeMap<String, Answer>>,
}

/// Lets clients pay as long as `trouble` lasts, and then judges what became of every payment.
async fn under_load(world: &World, trouble: impl AsyncFnOnce(&Load)) {
    let load = Load::default();
    let clients = join_all((0..CLIENTS).map(|_| load.client(world)));
    let trouble = async {
        load.until_paid(CLIENTS).await;
        trouble(&load).await;
        load.ends.store(true, Ordering::SeqCst);
    };
    tokio::join!(clients, trouble);
    load.judge(world).await;
}

fn key_of(number: usize) -> String {
    format!("order-{number}")
}

async fn pay(world: &World, key: &str) -> Answer {
    let body = order(key);
    until_definite(async || {
        let response = world.paying(key, &body).send().await.ok()?;
        Some(Answer::of(response).await)
    })
    .await
}

impl Load {
    /// Waits until so many more payments have been acknowledged.
    async fn until_paid(&self, more: usize) {
        let mut acknowledged = self.acknowledged.subscribe();
        let wanted = *acknowledged.borrow() + more;
        let paid = acknowledged.wait_for(|count| *count >= wanted);
        let in_time = tokio::time::timeout(PATIENCE, paid).await;
        in_time.expect("nothing more is paid").unwrap();
    }

    async fn client(&self, world: &World) {
        while !self.ends.load(Ordering::SeqCst) {
            let number = self.next.fetch_add(1, Ordering::SeqCst);
            let key = key_of(number);
            if number % 8 == 7 {
                // Whatever comes: this client has asked, and leaves.
                drop(world.paying(&key, &order(&key)).send().await);
                continue;
            }
            let answer = pay(world, &key).await.expect(201);
            self.answers.lock().unwrap().insert(key, answer);
            self.acknowledged.send_modify(|count| *count += 1);
        }
    }

    /// Each key that was ever used has one charge once its client has its answer, and what was
    /// acknowledged in the trouble is still the same.
    async fn judge(self, world: &World) {
        eventually("nothing is in doubt", async || {
            let open = world.get("/payments?status=processing&limit=1").await;
            (open.status == 200 && open.json()["data"] == json!([])).then_some(())
        })
        .await;
        let (asked, answers) = (self.next.into_inner(), self.answers.into_inner().unwrap());
        let numbers = AtomicUsize::new(0);
        let again = async || {
            loop {
                let number = numbers.fetch_add(1, Ordering::SeqCst);
                if number >= asked {
                    return;
                }
                let key = key_of(number);
                let answer = pay(world, &key).await.expect(201);
                if let Some(first) = answers.get(&key) {
                    assert_eq!(answer.body, first.body, "{key}");
                }
            }
        };
        join_all((0..CLIENTS).map(|_| again())).await;
        for number in 0..asked {
            assert_eq!(charges_of(world, &key_of(number)), 1, "{number}");
        }
        assert_eq!(world.charges(), asked);
    }
}
