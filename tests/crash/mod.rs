//! The server is killed at each point of an operation's way: one effect, and a retry that tells.
//!
//! Nothing in the program helps: where it stands is seen and held from outside, in the database, at the
//! provider and on the wire. Each point is that of a payment, a capture, a cancel and a refund at once.

mod ways;

use crate::{
    downstream_fails::until_definite,
    harness::{
        Backend, Fate, HeldBack, Knobs, Proxy, World, eventually, on_both_stores, proxy::Direction,
    },
};
use oncepay::sandbox::{FaultKind, FaultRule};
use ways::{MADE_BEFORE, WAYS, Ways};

on_both_stores! {
    killed_before_the_intent_is_written
    killed_with_the_intent_written_and_nothing_done
    killed_after_the_provider_acted
    killed_once_the_outcome_is_written
    killed_with_the_answer_on_the_wire
}

async fn killed_before_the_intent_is_written(backend: Backend) {
    at(backend, Point::BeforeBegin, Retry::Restarted).await;
}

async fn killed_with_the_intent_written_and_nothing_done(backend: Backend) {
    at(backend, Point::Begun, Retry::Restarted).await;
}

async fn killed_after_the_provider_acted(backend: Backend) {
    at(backend, Point::Acted, Retry::Restarted).await;
}

async fn killed_once_the_outcome_is_written(backend: Backend) {
    at(backend, Point::Completed, Retry::Restarted).await;
}

async fn killed_with_the_answer_on_the_wire(backend: Backend) {
    at(backend, Point::Answered, Retry::Restarted).await;
}

/// The same with another node, which lives on and is asked at once.
mod and_another_node {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn lives_when_one_is_killed_before_the_intent_is_written() {
        at(Backend::Postgres, Point::BeforeBegin, Retry::Elsewhere).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn lives_when_one_is_killed_with_the_intent_written_and_nothing_done() {
        at(Backend::Postgres, Point::Begun, Retry::Elsewhere).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn lives_when_one_is_killed_after_the_provider_acted() {
        at(Backend::Postgres, Point::Acted, Retry::Elsewhere).await;
    }

    /// The commit's answer never reaches the node that is killed.
    #[tokio::test(flavor = "multi_thread")]
    async fn lives_when_one_is_killed_once_the_outcome_is_written() {
        at(Backend::Postgres, Point::Completed, Retry::Elsewhere).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn lives_when_one_is_killed_with_the_answer_on_the_wire() {
        at(Backend::Postgres, Point::Answered, Retry::Elsewhere).await;
    }
}

/// How far the operations have come when the server is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    /// The intents are on their way to the database, which takes no write.
    BeforeBegin,
    /// The provider was asked, and does nothing.
    Begun,
    /// The provider has done it, and does not answer.
    Acted,
    /// The outcomes are committed, and no client has heard of it. Over PostgreSQL the server has not,
    /// either; nothing can stand between it and SQLite.
    Completed,
    /// The answers are sent, and nobody has read them.
    Answered,
}

/// Where the client comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Retry {
    /// At the server that is started again.
    Restarted,
    /// At another one, which ran all the time.
    Elsewhere,
}

async fn at(backend: Backend, point: Point, retry: Retry) {
    let (attempt_timeout_ms, deadline_ms) = match point {
        // Time to set the trap; nobody waits for the end of the lease that goes with it.
        Point::Completed => (10_000, 20_000),
        _ => (2_000, 5_000),
    };
    let mut world = ways::world(backend, attempt_timeout_ms, deadline_ms).await;
    let to_provider = world.proxy_to_provider().await;
    let ways = Ways::made(&world).await;
    let elsewhere = match retry {
        Retry::Elsewhere => Some(world.another_node(Knobs::default()).await),
        Retry::Restarted => None,
    };
    let held = Held::at(point, &mut world, &to_provider).await;
    let unread = held.reached(&world, &ways).await;
    let stats = world.sandbox.stats();
    if point == Point::BeforeBegin {
        let made_before = MADE_BEFORE as u64;
        assert_eq!(stats.distinct_keys, made_before, "asked without an intent");
    }
    world.kill_server();
    if point == Point::Completed {
        assert_eq!(ways::answers(&unread).await, 0, "somebody has heard of it");
    }
    drop((unread, held));
    world.sandbox.clear_faults().await;

    if elsewhere.is_none() {
        world.restart_server().await;
    }
    let node = elsewhere.as_ref().unwrap_or(&world.server);
    let retries = ways.all.iter().map(async |way| {
        let answer = until_definite(async || Some(way.ask(&world, node).await)).await;
        (way, answer.expect(way.status))
    });
    for (way, answer) in futures_util::future::join_all(retries).await {
        let known_before = matches!(point, Point::Completed | Point::Answered);
        assert!(
            !known_before || answer.is_replayed(),
            "{}: it was settled when the server died",
            way.key
        );
        let again = way.ask(&world, node).await.expect(way.status);
        assert!(again.is_replayed(), "{}", way.key);
        assert_eq!(again.body, answer.body, "{}", way.key);
    }
    ways.judge(&world);
    let open = world.database.operations_that_are("open").await;
    assert_eq!(open, 0, "nothing is left to be settled");
}

/// The server cannot go past its point until this is dropped.
struct Held<'a> {
    point: Point,
    to_provider: &'a Proxy,
    /// Between the server and its database, once the answer of a commit is to be swallowed.
    to_database: Option<Proxy>,
    /// Between the clients and the server, where answers are not to arrive.
    to_server: Option<Proxy>,
    _held_back: Option<HeldBack>,
}

impl<'a> Held<'a> {
    async fn at(point: Point, world: &mut World, to_provider: &'a Proxy) -> Self {
        let (mut held_back, mut to_database, mut to_server) = (None, None, None);
        match point {
            Point::BeforeBegin => held_back = Some(world.database.hold_writes_back().await),
            Point::Begun => world.inject(FaultRule::new(FaultKind::HangBefore)).await,
            Point::Acted => world.inject(FaultRule::new(FaultKind::HangAfter)).await,
            Point::Completed => {
                if let Some(database) = world.database.server() {
                    let between = Proxy::start(database).await;
                    let url = world.database.url_through(between.address());
                    world.server.kill();
                    let through = Knobs(vec![("ONCEPAY_DATABASE_URL", url)]);
                    world.server = world.another_node(through).await;
                    to_database = Some(between);
                }
                let between = Proxy::start(world.server.address()).await;
                between.stall(Direction::ToClient);
                to_server = Some(between);
                to_provider.stall(Direction::ToClient);
            }
            Point::Answered => {}
        }
        Self {
            point,
            to_provider,
            to_database,
            to_server,
            _held_back: held_back,
        }
    }

    /// Asks for everything, and waits until all of it is at the point.
    async fn reached(&self, world: &World, ways: &Ways) -> Vec<tokio::net::TcpStream> {
        let to_server = self.to_server.as_ref().map(Proxy::address);
        let address = to_server.unwrap_or_else(|| world.server.address());
        let streams = ways.asked(address).await;
        let asked = (MADE_BEFORE + WAYS) as u64;
        let settled = MADE_BEFORE + WAYS;
        if self.point == Point::Completed {
            eventually("the provider has done all of it", || async {
                (world.sandbox.stats().executed == asked).then_some(())
            })
            .await;
            if let Some(proxy) = &self.to_database {
                // The intents are written by then; every later commit is an outcome's.
                proxy.trap("COMMIT", Fate::Silence, usize::MAX);
            }
            self.to_provider.forward().await;
        }
        eventually(&format!("all of it is at {:?}", self.point), || async {
            let stats = world.sandbox.stats();
            let is_there = match self.point {
                Point::BeforeBegin => ways::is_waiting(world).await,
                Point::Begun => stats.distinct_keys == asked,
                Point::Acted => stats.executed == asked,
                Point::Completed => world.database.operations_that_are("settled").await == settled,
                Point::Answered => ways::answers(&streams).await == WAYS,
            };
            is_there.then_some(())
        })
        .await;
        streams
    }
}
