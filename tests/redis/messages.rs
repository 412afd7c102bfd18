//! Messages between nodes: they shorten a wait, and nothing depends on them.

use futures_util::future::join;
use tokio::time::Instant;

use super::{Nodes, counted};
use crate::harness::{eur, eventually};

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

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_on_another_node_hears_of_the_end() {
    let nodes = Nodes::start().await;
    nodes.both_listen().await;
    let (world, other) = (&nodes.world, &nodes.other);
    world.latency_ms(400.0).await;
    let mut lags = Vec::new();
    for n in 0..9_u64 {
        let (key, body) = (format!("k-{n}"), eur(1));
        let here = async {
            let answer = world.pay(&key, &body).await.expect(201);
            (answer, Instant::now())
        };
        let there = async {
            let answer = world.pay_at(other, &key, &body).await.expect(201);
            (answer, Instant::now())
        };
        let ((here, ended_here), (there, ended_there)) = join(here, there).await;
        assert_eq!(here.body, there.body);
        let lag = ended_here.max(ended_there) - ended_here.min(ended_there);
        lags.push(lag);
    }
    let mut awaited = 0;
    for node in [&world.server, other] {
        awaited += counted(world, node, AWAITED).await;
    }
    assert!(awaited >= 9, "each was waited for on one node: {awaited}");
    lags.sort();
    // Polling alone is late by a sixth of a second as a rule.
    assert!(lags[4].as_millis() < 100, "{lags:?}");
    assert_eq!(world.charges(), 9);
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
