//! The same request at two nodes.

use futures_util::future::join;

use crate::harness::{Backend, Knobs, World, eur};

/// How many keys are sent to both nodes at the same instant.
const KEYS: usize = 50;

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_at_two_nodes_at_once_is_one_charge_and_equal_answers() {
    let world = World::start(Backend::Postgres).await;
    let node = world.another_node(Knobs::default()).await;
    for n in 0..KEYS {
        let (key, body) = (format!("both-{n}"), eur(4_200));
        let (here, there) = join(world.pay(&key, &body), world.pay_at(&node, &key, &body)).await;
        let (here, there) = (here.expect(201), there.expect(201));
        assert_eq!(here.body, there.body);
        assert_ne!(here.is_replayed(), there.is_replayed(), "one of them began");
    }
    assert_eq!(world.charges(), KEYS);
    assert_eq!(world.sandbox.stats().requests_by_key_max, 1);
}
