//! A Redis that is not what it should be costs a few requests one time limit, and nothing else.

use std::time::Duration;

use tokio::time::Instant;

use super::{Nodes, asking, counted, lookups, stand_ins::StandIn};
use crate::harness::{Backend, Knobs, RedisServer, World, eur, eventually};

/// Payments whose time is taken.
const PAYMENTS: usize = 60;
/// How long a look-up may take here: each payment would take longer by as much if it waited for Redis.
const GET_TIMEOUT: Duration = Duration::from_millis(200);
/// What the middle one of them may take longer than without Redis: half of that is more than a machine
/// with much else to do gives the one and not the other.
const SLOWER_MAX: Duration = Duration::from_millis(100);
/// Look-ups that may end in vain: the few that open the breaker, and the probes of the seconds that
/// the payments take.
const IN_VAIN_MAX: u64 = 30;

fn redis_at(url: String) -> Knobs {
    let ms = GET_TIMEOUT.as_millis().to_string();
    Knobs(vec![
        ("ONCEPAY_REDIS_URL", url),
        ("ONCEPAY_REDIS__GET_TIMEOUT_MS", ms),
    ])
}

/// Payments in each of the worlds by turns, so that each has the same share of what else the machine
/// does, and each asked for twice; gives back the time of the middle one of each world.
async fn pay_all<const N: usize>(worlds: [&World; N]) -> [Duration; N] {
    let before = worlds.map(World::charges);
    let mut times = [const { Vec::new() }; N];
    for n in 0..PAYMENTS {
        let key = format!("k-{n}");
        for (world, times) in worlds.iter().zip(&mut times) {
            let began = Instant::now();
            let first = world.pay(&key, &eur(4_200)).await.expect(201);
            times.push(began.elapsed());
            let again = world.pay(&key, &eur(4_200)).await.expect(201);
            assert!(again.is_replayed() && again.body == first.body);
        }
    }
    assert_eq!(worlds.map(World::charges), before.map(|n| n + PAYMENTS));
    times.map(|mut times| {
        times.sort();
        times[PAYMENTS / 2]
    })
}

/// Nearly no payment waits for such a Redis.
async fn costs_nearly_nothing(world: &World, name: &str) {
    let plain = World::start(Backend::Postgres).await;

    let [without, with] = pay_all([&plain, world]).await;

    let (node, mut in_vain) = (&world.server, 0);
    for result in ["timeout", "error"] {
        in_vain += lookups(world, node, result).await;
    }
    let skipped = lookups(world, node, "skipped").await;
    assert!((1..=IN_VAIN_MAX).contains(&in_vain), "{name}: {in_vain}");
    assert!(skipped as usize > PAYMENTS / 2, "{name}: {skipped} skipped");
    assert!(
        with < without + SLOWER_MAX,
        "{name}: {with:?}, and {without:?} without"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_not_there_costs_nearly_nothing() {
    let mut redis = RedisServer::start();
    let world = World::start_with(Backend::Postgres, redis_at(redis.url())).await;
    redis.kill();
    costs_nearly_nothing(&world, "down").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_stands_still_costs_nearly_nothing() {
    let redis = RedisServer::start();
    let world = World::start_with(Backend::Postgres, redis_at(redis.url())).await;
    redis.freeze();
    costs_nearly_nothing(&world, "frozen").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_slow_costs_nearly_nothing() {
    let redis = RedisServer::start();
    let slow = StandIn::slow(redis.port(), 2 * GET_TIMEOUT).await;
    let world = World::start_with(Backend::Postgres, redis_at(slow.url())).await;
    costs_nearly_nothing(&world, "slow").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_talks_nonsense_or_not_at_all_costs_nearly_nothing() {
    for (name, stand_in) in [
        (
            "http",
            StandIn::babbling(b"HTTP/1.1 400 Bad Request\r\n\r\n").await,
        ),
        // Promises of more than any memory holds.
        ("bulk", StandIn::babbling(b"$99999999999999\r\nx").await),
        ("array", StandIn::babbling(b"*99999999999999\r\n").await),
        ("silent", StandIn::silent().await),
    ] {
        let world = World::start_with(Backend::Postgres, redis_at(stand_in.url())).await;
        costs_nearly_nothing(&world, name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_takes_no_more_writes_is_read_all_the_same() {
    let full = |_: &std::path::Path, _| {
        ["--maxmemory", "1", "--maxmemory-policy", "noeviction"]
            .map(str::to_owned)
            .to_vec()
    };
    let redis = RedisServer::start_with(full);
    let world = World::start_with(Backend::Postgres, asking(redis.url())).await;

    pay_all([&world]).await;

    let refused = r#"oncepay_lookup_puts_total{result="refused"}"#;
    eventually("every put was refused", || async {
        (counted(&world, &world.server, refused).await >= PAYMENTS as u64).then_some(())
    })
    .await;
    let state = "oncepay_lookup_breaker_state";
    assert_eq!(counted(&world, &world.server, state).await, 0);
    // One that takes too long is no miss.
    let missed = lookups(&world, &world.server, "miss").await;
    assert!(missed as usize >= PAYMENTS - 5, "{missed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_comes_back_is_used_again() {
    let mut nodes = Nodes::start().await;
    for round in ["killed", "frozen"] {
        if round == "killed" {
            nodes.redis.kill();
        } else {
            nodes.redis.freeze();
        }
        let world = &nodes.world;
        eventually("the breaker is open", || async {
            world
                .pay(&format!("{round}-away"), &eur(1))
                .await
                .expect(201);
            let key = format!(
                "{round}-{}",
                lookups(world, &world.server, "error").await
                    + lookups(world, &world.server, "timeout").await
            );
            world.pay(&key, &eur(1)).await.expect(201);
            let state = "oncepay_lookup_breaker_state";
            (counted(world, &world.server, state).await == 1).then_some(())
        })
        .await;
        if round == "killed" {
            nodes.redis.start_again();
        } else {
            nodes.redis.thaw();
        }
        let (world, other) = (&nodes.world, &nodes.other);
        let (before, mut n) = (lookups(world, other, "hit").await, 0);
        eventually("the other node finds answers there again", || {
            n += 1;
            let key = format!("{round}-back-{n}");
            async move {
                let first = world.pay(&key, &eur(1)).await.expect(201);
                let again = world.pay_at(other, &key, &eur(1)).await.expect(201);
                assert_eq!(again.body, first.body);
                (lookups(world, other, "hit").await > before).then_some(())
            }
        })
        .await;
    }
}
