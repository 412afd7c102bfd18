//! Two drivers of one operation, on two nodes: one of them stood still, was cut off, or comes at the
//! same moment. Whoever was overtaken changes nothing, and answers what stands.

mod at_once;
mod batches;
mod cut_off;
mod stood_still;

use reqwest::Method;

use crate::{
    downstream_fails::quick_recovery,
    harness::{API_KEY, Answer, Backend, Knobs, ProviderKnobs, ServerProcess, World, send},
};

/// A world with time for a look at a call under way, and a lease that ends soon: by the bounds, the
/// deadline (3 s), an attempt (2 s) and 10 s must fit into it. Its server seldom recovers, so that the
/// other node does.
async fn world() -> World {
    world_with(Knobs::default()).await
}

async fn world_with(more: Knobs) -> World {
    let mut knobs = quick_recovery();
    knobs.0.extend(more.0);
    knobs.0.push(("ONCEPAY_LIMITS__LEASE_S", "15".into()));
    knobs.0.extend(sweeping_every("60000").0);
    let provider = ProviderKnobs {
        attempt_timeout_ms: 2_000,
        ..ProviderKnobs::named("main")
    };
    World::start_at(Backend::Postgres, knobs, vec![provider]).await
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
