//! The same request at two nodes, with and without Redis between them.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use futures_util::{StreamExt, future::join, stream};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    harness::{Backend, Knobs, RedisServer, ServerProcess, World, eur, eventually},
    redis::{asking, counted, lookups},
};

/// How many keys are sent to both nodes at the same instant, and how many of them at once.
const KEYS: usize = 1_000;
const AT_ONCE: usize = 16;

/// Sends each key to both nodes at once: one charge each, equal answers.
async fn both_at_once(world: &World, node: &ServerProcess, keys: usize) {
    let one = async |n: usize| {
        let (key, body) = (format!("both-{n}"), eur(4_200));
        let (here, there) = join(world.pay(&key, &body), world.pay_at(node, &key, &body)).await;
        let (here, there) = (here.expect(201), there.expect(201));
        assert_eq!(here.body, there.body);
        assert_ne!(here.is_replayed(), there.is_replayed(), "one of them began");
    };
    stream::iter(0..keys)
        .map(one)
        .buffer_unordered(AT_ONCE)
        .collect::<()>()
        .await;
    assert_eq!(world.charges(), keys);
    assert_eq!(world.sandbox.stats().requests_by_key_max, 1);
}

/// What both nodes together have counted of Redis.
#[derive(Debug, Default)]
struct Redis {
    /// Look-ups that it answered, that failed, and that were not tried because others had failed.
    answered: u64,
    in_vain: u64,
    skipped: u64,
    /// Answers that were put there.
    written: u64,
}

impl Redis {
    async fn seen_by(world: &World, node: &ServerProcess) -> Self {
        let mut seen = Self::default();
        for node in [&world.server, node] {
            let of = async |result| lookups(world, node, result).await;
            seen.answered += of("hit").await + of("miss").await;
            seen.in_vain += of("error").await + of("timeout").await;
            seen.skipped += of("skipped").await;
            let written = r#"oncepay_lookup_puts_total{result="written"}"#;
            seen.written += counted(world, node, written).await;
        }
        seen
    }

    /// It was in play for most of the keys.
    #[track_caller]
    fn assert_used(&self) {
        let most = KEYS as u64 / 2;
        assert!(self.answered > most && self.written > most, "{self:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_at_two_nodes_at_once_is_one_charge_and_equal_answers() {
    let world = World::start(Backend::Postgres).await;
    let node = world.another_node(Knobs::default()).await;
    both_at_once(&world, &node, 50).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_keys_at_two_nodes_are_a_thousand_charges_with_redis() {
    let redis = RedisServer::start();
    let world = World::start_with(Backend::Postgres, asking(redis.url())).await;
    let node = world.another_node(Knobs::default()).await;
    both_at_once(&world, &node, KEYS).await;
    Redis::seen_by(&world, &node).await.assert_used();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_keys_at_two_nodes_are_a_thousand_charges_while_redis_is_down() {
    let mut redis = RedisServer::start();
    let world = World::start_with(Backend::Postgres, asking(redis.url())).await;
    let node = world.another_node(Knobs::default()).await;
    redis.kill();
    both_at_once(&world, &node, KEYS).await;
    let seen = Redis::seen_by(&world, &node).await;
    assert!(seen.in_vain > 0 && seen.skipped > 0, "missed: {seen:?}");
    assert_eq!((seen.answered, seen.written), (0, 0), "down: {seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_keys_at_two_nodes_are_a_thousand_charges_while_redis_is_flushed() {
    let redis = RedisServer::start();
    let world = World::start_with(Backend::Postgres, asking(redis.url())).await;
    let node = world.another_node(Knobs::default()).await;
    let mut client = redis.client().await;
    let flushes = Arc::new(AtomicU64::new(0));
    let counts = Arc::clone(&flushes);
    let _flushing = AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            let flushed = redis::cmd("FLUSHALL").query_async::<()>(&mut client).await;
            flushed.unwrap();
            counts.fetch_add(1, Ordering::SeqCst);
        }
    }));
    both_at_once(&world, &node, KEYS).await;
    let so_far = flushes.load(Ordering::SeqCst);
    eventually("it is flushed still", async || {
        (flushes.load(Ordering::SeqCst) > so_far).then_some(())
    })
    .await;
    assert!(so_far > KEYS as u64, "{so_far} times");
    Redis::seen_by(&world, &node).await.assert_used();
}
