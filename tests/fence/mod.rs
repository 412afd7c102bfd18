//! Two drivers of one operation, on two nodes: one of them stood still, was cut off, or comes at the
//! same moment. Whoever was overtaken changes nothing, and answers what stands.

mod at_once;
mod batches;
mod cut_off;
mod stood_still;

use reqwest::Method;

use crate::{
    downstream_fails::with_times,
    harness::{
        API_KEY, Answer, Backend, Knobs, Proxy, ServerProcess, World, eventually, proxy::Direction,
        send,
    },
};

/// A world with a lease that ends soon. Its server seldom recovers, so that the other node does.
async fn world() -> World {
    world_with(2_000, 10_000, Knobs::default()).await
}

async fn world_with(attempt_timeout_ms: u32, deadline_ms: u32, more: Knobs) -> World {
    let (mut knobs, providers) = with_times(attempt_timeout_ms, deadline_ms);
    knobs.0.extend(more.0);
    knobs.0.extend(sweeping_every("60000").0);
    World::start_at(Backend::Postgres, knobs, providers).await
}

/// The same, where whatever the provider answers is held back until the proxy is told to forward it. An
/// attempt waits long enough for all that is done to its server meanwhile.
async fn world_of_held_answers(attempt_timeout_ms: u32, deadline_ms: u32) -> (World, Proxy) {
    let mut world = world_with(attempt_timeout_ms, deadline_ms, Knobs::default()).await;
    let provider = world.proxy_to_provider().await;
    provider.stall(Direction::ToClient);
    (world, provider)
}

/// Waits until the provider has done one thing, of which nobody has heard.
async fn provider_has_acted(world: &World) {
    eventually("the provider has acted", || async {
        (world.sandbox.stats().executed == 1).then_some(())
    })
    .await;
}

fn sweeping_every(ms: &str) -> Knobs {
    Knobs(vec![("ONCEPAY_RECOVERY__SWEEP_EVERY_MS", ms.to_owned())])
}

/// What stands in the database under a key, every column of it.
async fn rows_under(world: &World, key: &str) -> String {
    let sql = format!(
        "select o::text || p::text as text from operations o join payments p on p.id = o.payment_id
         where o.idempotency_key = '{key}'"
    );
    world.database.text(&sql).await
}

/// The operation's epoch under a key.
async fn epoch_under(world: &World, key: &str) -> String {
    let sql = format!("select epoch::text as text from operations where idempotency_key = '{key}'");
    world.database.text(&sql).await
}

/// A `POST` about a payment, at one of the nodes.
async fn post_at(world: &World, node: &ServerProcess, path: &str, key: &str) -> Answer {
    let request = world.request_at(node, Method::POST, path);
    send(request.bearer_auth(API_KEY).header("idempotency-key", key)).await
}

/// Every event of the payment under a key, in its order, as the database has it.
async fn history(world: &World, key: &str) -> String {
    let sql = format!(
        "select string_agg(e.kind, ' ' order by e.seq) as text
         from payment_events e join payments p on p.id = e.payment_id
         where p.idempotency_key = '{key}'"
    );
    world.database.text(&sql).await
}
