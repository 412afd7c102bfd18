//! How fast batches are. Not part of the suite: `cargo test --release --test store -- --ignored`.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use oncepay::store::StoreUrl;

use crate::{
    fixture::{Fixture, open_store},
    harness::postgres::{Fsync, PostgresServer},
    samples::captured,
};

const BATCH: usize = 64;
const BATCHES: usize = 400;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn payments_a_second() {
    let server = PostgresServer::start(Fsync::On);
    let url = StoreUrl::parse(&server.url("postgres").into()).unwrap();
    for drivers in [1, 2, 4] {
        let at = Arc::new(Fixture::on(url.clone(), None).await);
        run(&format!("postgres, {drivers} drivers"), at, drivers).await;
    }
    run("sqlite, 1 driver", Arc::new(Fixture::sqlite().await), 1).await;
}

async fn run(name: &str, at: Arc<Fixture>, drivers: usize) {
    let store = open_store(&at.url).await;
    let (next, start) = (Arc::new(AtomicUsize::new(0)), tokio::time::Instant::now());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..drivers {
        let (at, store, next) = (Arc::clone(&at), Arc::clone(&store), Arc::clone(&next));
        tasks.spawn(async move {
            loop {
                let batch = next.fetch_add(1, Ordering::Relaxed);
                if batch >= BATCHES {
                    return;
                }
                let intents = (0..BATCH).map(|n| at.intent(&format!("{drivers}-{batch}-{n}")));
                let begun = store.begin(intents.collect()).await;
                let settle = begun
                    .into_iter()
                    .map(|one| at.change(&one.unwrap(), captured("pi_1")));
                for settled in store.change(settle.collect()).await {
                    assert!(settled.unwrap().applied);
                }
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let rate = (BATCH * BATCHES) as f64 / start.elapsed().as_secs_f64();
    println!("{name}: {rate:.0} payments a second, begun and settled");
}
