//! The same request at two nodes, with and without Redis between them.

use futures_util::{StreamExt, future::join, stream};
use tokio_util::task::AbortOnDropHandle;

use crate::harness::{Backend, Knobs, RedisServer, ServerProcess, World, eur};

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

fn redis_at(redis: &RedisServer) -> Knobs {
    Knobs(vec![("ONCEPAY_REDIS_URL", redis.url())])
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
    let world = World::start_with(Backend::Postgres, redis_at(&redis)).await;
    let node = world.another_node(Knobs::default()).await;
    both_at_once(&world, &node, KEYS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_keys_at_two_nodes_are_a_thousand_charges_while_redis_is_down() {
    let mut redis = RedisServer::start();
    let world = World::start_with(Backend::Postgres, redis_at(&redis)).await;
    let node = world.another_node(Knobs::default()).await;
    redis.kill();
    both_at_once(&world, &node, KEYS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_keys_at_two_nodes_are_a_thousand_charges_while_redis_is_flushed() {
    let redis = RedisServer::start();
    let world = World::start_with(Backend::Postgres, redis_at(&redis)).await;
    let node = world.another_node(Knobs::default()).await;
    let mut client = redis.client().await;
    let _flushing = AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            let flushed = redis::cmd("FLUSHALL").query_async::<()>(&mut client).await;
            flushed.unwrap();
        }
    }));
    both_at_once(&world, &node, KEYS).await;
}
