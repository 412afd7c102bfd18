//! A server that restarts, loses its sessions, falls silent, or has no session left.

use super::{server, under_load, with, world_over};
use crate::harness::{eventually, execute};

const TERMINATE: &str =
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'oncepay'";

#[tokio::test(flavor = "multi_thread")]
async fn payments_through_restarts_of_the_server_are_charged_once_each() {
    let server = server().await;
    let world = world_over(server.url("postgres"), &[]).await;
    let mut server = Some(server);
    under_load(&world, async |load| {
        for _ in 0..3 {
            let running = server.take().unwrap();
            server = Some(with(running, |server| server.restart()).await.0);
            load.until_paid(50).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_whose_sessions_are_terminated_again_and_again_are_charged_once_each() {
    let server = server().await;
    let url = server.url("postgres");
    let world = world_over(url.clone(), &[]).await;
    under_load(&world, async |load| {
        for _ in 0..30 {
            execute(&url, TERMINATE).await;
            load.until_paid(4).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_through_stalls_of_the_server_are_charged_once_each() {
    let server = server().await;
    let world = world_over(server.url("postgres"), &[]).await;
    under_load(&world, async |load| {
        server.signal_all("STOP");
        eventually("the server is not ready", async || {
            (world.get("/readyz").await.status == 503).then_some(())
        })
        .await;
        server.signal_all("CONT");
        load.until_paid(50).await;

        // For longer than anybody waits for a write, and in the middle of one.
        let lock = world.database.lock_operations().await;
        eventually("a write is under way", async || {
            let waiting = world.database.waiting_for_a_lock("operations").await;
            (waiting > 0).then_some(())
        })
        .await;
        server.signal_all("STOP");
        eventually("a write is given up", async || {
            let said = world.server.output();
            said.contains("the database is silent under a write")
                .then_some(())
        })
        .await;
        server.signal_all("CONT");
        drop(lock);
        load.until_paid(50).await;
        eventually("the server is ready", async || {
            (world.get("/readyz").await.status == 200).then_some(())
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_that_find_the_pool_full_are_charged_once_each() {
    let server = server().await;
    let pool = [("ONCEPAY_DATABASE_POOL_MAX", "1")];
    let world = world_over(server.url("postgres"), &pool).await;
    under_load(&world, async |load| {
        for _ in 0..3 {
            let lock = world.database.lock_operations().await;
            // A read needs no lock; it waits for a session in vain.
            eventually("the pool is full", async || {
                let read = world.get("/payments").await;
                (read.status == 503).then(|| read.expect_problem(503, "store_unavailable"))
            })
            .await;
            drop(lock);
            load.until_paid(50).await;
        }
    })
    .await;
}
