//! The answer of a write never arrives: nobody knows whether it was committed.

use super::{server, under_load, world_over};
use crate::harness::{
    eventually,
    proxy::{Direction, Fate, Proxy},
};

/// What ends a transaction, and what is bound to the one statement that records an intent.
const WRITES: [&str; 2] = ["COMMIT", "order-"];

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_is_found_and_one_that_was_lost_is_made() {
    let server = server().await;
    let proxy = Proxy::start(server.address()).await;
    let url = format!("postgres://postgres@{}/postgres", proxy.address());
    let world = world_over(url, &[]).await;
    under_load(&world, async |load| {
        for write in WRITES {
            for fate in [Fate::CutAfter, Fate::CutBefore] {
                let trap = proxy.trap(write, fate, 10);
                trap.until_sprung(10).await;
                load.until_paid(20).await;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_never_answered_holds_up_nobody_else() {
    let server = server().await;
    let proxy = Proxy::start(server.address()).await;
    let url = format!("postgres://postgres@{}/postgres", proxy.address());
    let world = world_over(url, &[]).await;
    under_load(&world, async |load| {
        let trap = proxy.trap("COMMIT", Fate::Silence, 2);
        trap.until_sprung(2).await;
        load.until_paid(50).await;
        eventually("the writes are given up", async || {
            let said = world.server.output();
            said.contains("the database is silent under a write")
                .then_some(())
        })
        .await;
        load.until_paid(50).await;
        proxy.cut_all();
        load.until_paid(50).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_through_a_network_that_stalls_cuts_and_refuses_are_charged_once_each() {
    let server = server().await;
    let proxy = Proxy::start(server.address()).await;
    let url = format!("postgres://postgres@{}/postgres", proxy.address());
    let world = world_over(url, &[]).await;
    let not_ready = async || {
        eventually("the server is not ready", async || {
            (world.get("/readyz").await.status == 503).then_some(())
        })
        .await;
    };
    under_load(&world, async |load| {
        for direction in [Direction::ToServer, Direction::ToClient] {
            proxy.stall(direction);
            not_ready().await;
            proxy.forward().await;
            load.until_paid(50).await;
        }
        proxy.refuse().await;
        proxy.cut_all();
        not_ready().await;
        proxy.forward().await;
        load.until_paid(50).await;
    })
    .await;
}
