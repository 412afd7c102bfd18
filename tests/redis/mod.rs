//! What happens if Redis lies, is slow, or is not there? The same as without it.

mod answers;
mod messages;
mod outages;
mod stand_ins;
mod tls;

use reqwest::Method;

use crate::harness::{Backend, Knobs, RedisServer, ServerProcess, World, eventually, send};

/// The settings of a node that asks this Redis. A look-up may take long, so that no busy machine makes
/// a miss of a hit.
pub(crate) fn asking(url: String) -> Knobs {
    Knobs(vec![
        ("ONCEPAY_REDIS_URL", url),
        ("ONCEPAY_REDIS__GET_TIMEOUT_MS", "1000".to_owned()),
    ])
}

/// Two nodes over one database and one Redis.
struct Nodes {
    world: World,
    other: ServerProcess,
    redis: RedisServer,
}

impl Nodes {
    async fn start() -> Self {
        let redis = RedisServer::start();
        let world = World::start_with(Backend::Postgres, asking(redis.url())).await;
        let other = world.another_node(Knobs::default()).await;
        Self {
            world,
            other,
            redis,
        }
    }

    /// The name of the one answer in Redis, as soon as it is there.
    async fn only_key(&self) -> String {
        eventually("the answer is in Redis", || async {
            match self.redis.keys().await.as_slice() {
                [key] => Some(key.clone()),
                _ => None,
            }
        })
        .await
    }

    async fn value(&self, key: &str) -> Vec<u8> {
        let mut client = self.redis.client().await;
        let value = ::redis::cmd("GET").arg(key).query_async(&mut client).await;
        value.unwrap()
    }

    async fn set(&self, key: &str, value: &[u8]) {
        let mut client = self.redis.client().await;
        let set = ::redis::cmd("SET").arg(key).arg(value).to_owned();
        set.query_async::<()>(&mut client).await.unwrap();
    }
}

/// What a node has counted of a series, 0 if it has none.
pub(crate) async fn counted(world: &World, node: &ServerProcess, series: &str) -> u64 {
    let text = send(world.request_at(node, Method::GET, "/metrics")).await;
    let text = String::from_utf8(text.expect(200).body).unwrap();
    let found = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    found.map_or(0, |number| number.parse().unwrap())
}

pub(crate) async fn lookups(world: &World, node: &ServerProcess, result: &str) -> u64 {
    let series = format!(r#"oncepay_lookups_total{{tier="redis",result="{result}"}}"#);
    counted(world, node, &series).await
}
