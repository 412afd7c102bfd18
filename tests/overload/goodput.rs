use std::time::Duration;

use futures_util::{StreamExt, future::join_all, stream::FuturesUnordered};
use tokio::time::{Instant, interval};

use super::{ONE_MERCHANTS_SHARE, median, one_at_a_time, small_house};
use crate::harness::{Backend, World, eur, on_both_stores};

/// So long that the room in the house is what bounds the payments, and not the machine.
const LATENCY_MS: f64 = 1_000.0;
const ROUNDS: usize = 4;

on_both_stores! {
    five_times_what_fits_is_served_as_far_as_it_fits_and_the_rest_refused_quickly
}

async fn five_times_what_fits_is_served_as_far_as_it_fits_and_the_rest_refused_quickly(
    backend: Backend,
) {
    let _machine = one_at_a_time().await;
    let world = World::start_with(backend, small_house()).await;
    world.latency_ms(LATENCY_MS).await;
    let before = closed_loop(&world, "before").await;
    let (paid, refused) = open_loop(&world, 5.0 * before).await;
    // Both sides of it, because the machine has other work, now more and now less.
    let capacity = f64::midpoint(before, closed_loop(&world, "after").await);

    let goodput = rate(paid.len(), paid.iter().max().copied().unwrap_or_default());
    assert!(
        goodput >= 0.6 * capacity,
        "{goodput:.1} payments/s of {capacity:.1}"
    );
    assert!(refused.len() > 2 * paid.len(), "{} refused", refused.len());
    let quick = median(refused);
    let half_a_call = Duration::from_secs_f64(LATENCY_MS / 2_000.0);
    assert!(quick < half_a_call, "{quick:?} to be refused");
}

fn rate(count: usize, within: Duration) -> f64 {
    count as f64 / within.as_secs_f64()
}

/// Payments per second when as many clients as fit pay one after another.
async fn closed_loop(world: &World, name: &str) -> f64 {
    let started = Instant::now();
    let paid = join_all((0..ONE_MERCHANTS_SHARE).map(|client| async move {
        let mut paid = 0;
        for n in 0..ROUNDS {
            // The place of the payment before may not be free yet.
            let answer = world.pay(&format!("{name}-{client}-{n}"), &eur(1)).await;
            paid += usize::from(answer.status == 201);
        }
        paid
    }));
    let paid: usize = paid.await.into_iter().sum();
    rate(paid, started.elapsed())
}

/// Offers payments at a steady rate, whatever becomes of them, for as long as the closed loop took.
/// Gives back when those that were paid were, since the start, and how long it took to refuse the
/// others.
async fn open_loop(world: &World, per_second: f64) -> (Vec<Duration>, Vec<Duration>) {
    let offered = 5 * ONE_MERCHANTS_SHARE * ROUNDS;
    let mut pace = interval(Duration::from_secs_f64(1.0 / per_second));
    let started = Instant::now();
    let mut asked = FuturesUnordered::new();
    let (mut paid, mut refused) = (Vec::new(), Vec::new());
    let mut sent = 0;
    while sent < offered || !asked.is_empty() {
        tokio::select! {
            _ = pace.tick(), if sent < offered => {
                let key = format!("open-{sent}");
                sent += 1;
                asked.push(async move {
                    let asked = Instant::now();
                    (world.pay(&key, &eur(1)).await, asked.elapsed())
                });
            }
            Some((answer, took)) = asked.next() => {
                if answer.status == 201 {
                    paid.push(started.elapsed());
                } else {
                    assert!(answer.header("retry-after").is_some());
                    drop(answer.expect_problem(503, "overloaded"));
                    refused.push(took);
                }
            }
        }
    }
    (paid, refused)
}
