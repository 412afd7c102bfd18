//! Answers in Redis: found by other nodes, and believed only as we put them there.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Nodes, counted, lookups};
use crate::harness::{Answer, Knobs, eur, eventually, send};

/// The version, the store's incarnation and the seal, before all that is replayed.
const SEALED_BYTES: usize = 1 + 16 + 32;

fn declined() -> Value {
    json!({"amount": 4_200, "currency": "EUR", "payment_method": "pm_card_chargeDeclined"})
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_23_an_answer_is_found_in_redis_by_another_node() {
    let nodes = Nodes::start().await;
    let (world, other) = (&nodes.world, &nodes.other);
    for (place, (key, body, status)) in
        [("order-17", eur(4_200), 201), ("order-18", declined(), 402)]
            .into_iter()
            .enumerate()
    {
        nodes.redis.flush().await;
        let first = world.pay(key, &body).await.expect(status);
        let name = nodes.only_key().await;
        assert!(
            name.starts_with("oncepay:answer:") && !name.contains("order"),
            "{name}"
        );

        let again = world.pay_at(other, key, &body).await.expect(status);

        assert!(again.is_replayed());
        assert_eq!(again.body, first.body);
        assert_eq!(again.header("location"), first.header("location"));
        assert_eq!(lookups(world, other, "hit").await, place as u64 + 1);
    }
    // The same key with another request is refused from there as well.
    world
        .pay_at(other, "order-17", &eur(1))
        .await
        .expect_problem(422, "idempotency_key_reused");
    assert_eq!(world.charges(), 1);
}

/// One declined payment at one node, its answer in Redis spoilt, and the other node asked.
async fn spoilt(nodes: &Nodes, key: &str, spoil: impl AsyncFnOnce(&str, Vec<u8>)) -> Answer {
    nodes.redis.flush().await;
    let first = nodes.world.pay(key, &declined()).await.expect(402);
    let name = nodes.only_key().await;
    let value = nodes.value(&name).await;
    spoil(&name, value).await;
    let written = r#"oncepay_lookup_puts_total{result="written"}"#;
    let before = counted(&nodes.world, &nodes.other, written).await;

    let other = nodes.world.pay_at(&nodes.other, key, &declined()).await;

    eventually("the database's answer stands there again", || async {
        let now = counted(&nodes.world, &nodes.other, written).await;
        (now > before).then_some(())
    })
    .await;
    let other = other.expect(402);
    assert!(other.is_replayed(), "{key}");
    assert_eq!(other.body, first.body, "{key}");
    other
}

/// `value` with each `from` in it written as `to`.
fn rewritten(value: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut rewritten = Vec::new();
    let mut rest = value;
    while let Some(at) = rest.windows(from.len()).position(|part| part == from) {
        rewritten.extend_from_slice(&rest[..at]);
        rewritten.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    rewritten.extend_from_slice(rest);
    rewritten
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_23_no_made_up_answer_is_believed_over_the_database() {
    let nodes = Nodes::start().await;
    let (world, other) = (&nodes.world, &nodes.other);
    let refused = async |reason: &str| {
        let series = format!(r#"oncepay_lookups_refused_total{{reason="{reason}"}}"#);
        counted(world, other, &series).await
    };

    // Sealed parts of a decline, with the words of a success.
    spoilt(&nodes, "wrong", async |name, value| {
        // What is in front of the words is drawn at random, and may hold any bytes.
        let (sealed, words) = value.split_at(SEALED_BYTES);
        let words = rewritten(words, b"\"failed\"", b"\"succeeded\"");
        let words = rewritten(&words, &402_u16.to_be_bytes(), &201_u16.to_be_bytes());
        let told = [sealed, &*words].concat();
        assert_ne!(told, value);
        nodes.set(name, &told).await;
    })
    .await;
    assert_eq!(refused("forged").await, 1);

    // Another merchant's success, sealed by us, under this key.
    let stranger = world.new_merchant("stranger");
    nodes.redis.flush().await;
    send(world.paying_as(&stranger, "foreign", &eur(1)))
        .await
        .expect(201);
    let theirs = nodes.value(&nodes.only_key().await).await;
    spoilt(&nodes, "foreign", async |name, _| {
        nodes.set(name, &theirs).await;
    })
    .await;
    assert_eq!(refused("forged").await, 2);

    // Cut, at every place where a part ends, and within each.
    for (round, length) in [1, 16, 17, 40, 49, 60, 90, 300].into_iter().enumerate() {
        spoilt(&nodes, &format!("cut-{round}"), async |name, value| {
            nodes.set(name, &value[..length]).await;
        })
        .await;
    }
    assert_eq!(refused("truncated").await, 4);
    assert_eq!(refused("forged").await, 6);

    spoilt(&nodes, "version", async |name, mut value| {
        value[0] = 2;
        nodes.set(name, &value).await;
    })
    .await;
    assert_eq!(refused("version").await, 1);

    spoilt(&nodes, "garbage", async |name, _| {
        nodes.set(name, &[1; 1_000]).await;
    })
    .await;
    assert_eq!(refused("stale").await, 1, "of a life that never was");

    spoilt(&nodes, "type", async |name, _| {
        let mut client = nodes.redis.client().await;
        let mut pipeline = redis::pipe();
        pipeline
            .cmd("DEL")
            .arg(name)
            .cmd("RPUSH")
            .arg(name)
            .arg("succeeded");
        pipeline.query_async::<()>(&mut client).await.unwrap();
    })
    .await;
    assert_eq!(refused("wrong_type").await, 1);

    assert_eq!(lookups(world, other, "hit").await, 0);
    assert_eq!(world.charges(), 1, "the stranger's");
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_23_a_huge_value_is_not_loaded() {
    const HUGE: usize = 100_000_000;
    let nodes = Nodes::start().await;
    let mut client = nodes.redis.client().await;
    let mut sent = async || -> usize {
        let info = redis::cmd("INFO").arg("stats").to_owned();
        let info: String = info.query_async(&mut client).await.unwrap();
        let line = info
            .lines()
            .find_map(|line| line.strip_prefix("total_net_output_bytes:"));
        line.unwrap().trim().parse().unwrap()
    };
    let before = sent().await;

    spoilt(&nodes, "huge", async |name, _| {
        let mut client = nodes.redis.client().await;
        let grow = redis::cmd("SETRANGE")
            .arg(name)
            .arg(HUGE)
            .arg("x")
            .to_owned();
        grow.query_async::<()>(&mut client).await.unwrap();
    })
    .await;

    assert!(sent().await - before < HUGE / 100);
    let series = r#"oncepay_lookups_refused_total{reason="too_long"}"#;
    assert_eq!(counted(&nodes.world, &nodes.other, series).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_23_answers_from_before_a_restore_are_forgotten() {
    let nodes = Nodes::start().await;
    let world = &nodes.world;
    let first = world.pay("k", &eur(4_200)).await.expect(201);
    let name = nodes.only_key().await;
    let before = nodes.value(&name).await;

    let another_life = "update installation set store_incarnation = \
        'aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa'";
    world.database.execute(another_life).await;
    let fresh = world.another_node(Knobs::default()).await;
    let again = world.pay_at(&fresh, "k", &eur(4_200)).await.expect(201);

    assert!(again.is_replayed() && again.body == first.body);
    let stale = r#"oncepay_lookups_refused_total{reason="stale"}"#;
    assert_eq!(counted(world, &fresh, stale).await, 1);
    assert_eq!(lookups(world, &fresh, "hit").await, 0);
    eventually("the new life's answer stands in its place", || async {
        (nodes.value(&name).await != before).then_some(())
    })
    .await;

    // A node that was not restarted notices, and forgets what it knows itself.
    eventually("the other node has forgotten too", || async {
        let again = world.pay("k", &eur(4_200)).await.expect(201);
        assert_eq!(again.body, first.body);
        (lookups(world, &world.server, "hit").await > 0).then_some(())
    })
    .await;
    assert_eq!(world.charges(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_key_and_no_secret_of_a_customer_names_anything_in_redis() {
    let nodes = Nodes::start().await;
    nodes
        .world
        .pay("ada@example.org", &eur(1))
        .await
        .expect(201);
    let name = nodes.only_key().await;
    // Nothing but a digest, in which any short hexadecimal word may happen to stand.
    let digest = name.strip_prefix("oncepay:answer:").unwrap();
    assert!(
        digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{name}"
    );
    let plain = Sha256::digest("ada@example.org");
    let plain: String = plain.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_ne!(digest, plain, "the digest is keyed");
    let mut client = nodes.redis.client().await;
    let ttl = redis::cmd("TTL").arg(&name).to_owned();
    let ttl: i64 = ttl.query_async(&mut client).await.unwrap();
    assert!((86_000..=86_400).contains(&ttl), "{ttl}");
}
