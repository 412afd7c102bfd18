//! Messages between nodes: they shorten a wait, and nothing depends on them.

use std::time::Duration;

use futures_util::future::{join, join_all};
use tokio::time::Instant;

use super::{Nodes, counted};
use crate::harness::{Backend, Knobs, ServerProcess, World, eur, eventually};

const AWAITED: &str = r#"oncepay_lookup_messages_total{awaited="yes"}"#;
const UNAWAITED: &str = r#"oncepay_lookup_messages_total{awaited="no"}"#;

impl Nodes {
    async fn both_listen(&self) {
        for node in [&self.world.server, &self.other] {
            eventually("messages can come", || async {
                let listening = counted(&self.world, node, "oncepay_lookup_listening").await;
                (listening == 1).then_some(())
            })
            .await;
        }
    }
}

/// How much later than the one node the other answers the same request.
async fn lag(world: &World, other: &ServerProcess, key: &str) -> Duration {
    let body = eur(1);
    let at = async |node| {
        let answer = world.pay_at(node, key, &body).await.expect(201);
        (answer, Instant::now())
    };
    let ((here, ended_here), (there, ended_there)) = join(at(&world.server), at(other)).await;
    assert_eq!(here.body, there.body);
    ended_here.max(ended_there) - ended_here.min(ended_there)
}

/// Where no message comes, who waits is late by a sixth of a second as a rule: it looks by itself twice
/// to four times a second. Both are asked at the same moments, so that both have the same share of what
/// else the machine does.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_on_another_node_hears_of_the_end() {
    const ROUNDS: u32 = 4;
    const AT_ONCE: u32 = 10;
    const KEYS: u32 = ROUNDS * AT_ONCE;
    let nodes = Nodes::start().await;
    nodes.both_listen().await;
    let (world, other) = (&nodes.world, &nodes.other);
    let silent = World::start(Backend::Postgres).await;
    let silent_other = silent.another_node(Knobs::default()).await;
    world.latency_ms(400.0).await;
    silent.latency_ms(400.0).await;

    let (mut told, mut untold) = (Duration::ZERO, Duration::ZERO);
    for round in 0..ROUNDS {
        let lags = (0..AT_ONCE).map(async |n| {
            let key = format!("k-{round}-{n}");
            join(lag(world, other, &key), lag(&silent, &silent_other, &key)).await
        });
        for (with_messages, without) in join_all(lags).await {
            told += with_messages;
            untold += without;
        }
    }

    let mut awaited = 0;
    for node in [&world.server, other] {
        awaited += counted(world, node, AWAITED).await;
    }
    // Now and then, who waits looks by itself just before its message comes.
    assert!(awaited >= u64::from(KEYS) / 2, "{awaited} were waited for");
    assert!(told < untold, "{told:?} of {KEYS}, {untold:?} untold");
    assert_eq!(world.charges(), KEYS as usize);
    assert_eq!(silent.charges(), KEYS as usize);
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_messages_change_nothing() {
    const FORGED: u64 = 2_000;
    let nodes = Nodes::start().await;
    nodes.both_listen().await;
    let (world, other) = (&nodes.world, &nodes.other);
    world.latency_ms(300.0).await;
    let mut client = nodes.redis.client().await;
    let channels = redis::cmd("PUBSUB").arg("CHANNELS").to_owned();
    let channels: Vec<String> = channels.query_async(&mut client).await.unwrap();
    assert_eq!(channels.len(), 1, "{channels:?}");
    let forge = async {
        for n in 0..FORGED {
            let forged = vec![n as u8; (n % 70) as usize];
            let publish = redis::cmd("PUBLISH")
                .arg(&channels[0])
                .arg(forged)
                .to_owned();
            publish.query_async::<()>(&mut client).await.unwrap();
        }
    };
    let body = eur(4_200);
    let paid = join(world.pay("k", &body), world.pay_at(other, "k", &body));

    let ((), (here, there)) = join(forge, paid).await;

    assert_eq!(here.expect(201).body, there.expect(201).body);
    assert_eq!(world.charges(), 1);
    eventually("every forged message came, and was for nobody", || async {
        (counted(world, other, UNAWAITED).await >= FORGED).then_some(())
    })
    .await;
}
