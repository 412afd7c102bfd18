use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::{ONE_MERCHANTS_SHARE, median, one_at_a_time, small_house};
use crate::harness::{API_KEY, Backend, World, eur, eventually, on_both_stores, send};

/// So long that what the machine adds is the lesser part of a payment.
const LATENCY_MS: f64 = 2_000.0;
/// Between two requests of one of the flood's clients, as a client without manners would.
const PAUSE: Duration = Duration::from_millis(200);
const FLOOD_CLIENTS: usize = 3 * ONE_MERCHANTS_SHARE;

on_both_stores! {
    a_merchant_that_floods_takes_neither_room_nor_time_from_another
}

async fn a_merchant_that_floods_takes_neither_room_nor_time_from_another(backend: Backend) {
    let _machine = one_at_a_time().await;
    let world = World::start_with(backend, small_house()).await;
    world.latency_ms(LATENCY_MS).await;
    let quiet = world.new_merchant("quiet");
    let alone = pay_in_a_row(&world, &quiet, "alone").await;

    let (stop, refused) = (AtomicBool::new(false), AtomicUsize::new(0));
    let flood = join_all((0..FLOOD_CLIENTS).map(|client| {
        let (world, stop, refused) = (&world, &stop, &refused);
        async move {
            let mut paid = 0;
            for n in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let request = world.paying_as(API_KEY, &format!("flood-{client}-{n}"), &eur(1));
                let answer = send(request).await;
                if answer.status == 201 {
                    paid += 1;
                } else {
                    drop(answer.expect_problem(503, "overloaded"));
                    refused.fetch_add(1, Ordering::Relaxed);
                }
                sleep(PAUSE).await;
            }
            paid
        }
    }));
    let beside = async {
        eventually("the flood is turned away", || async {
            (refused.load(Ordering::Relaxed) > FLOOD_CLIENTS).then_some(())
        })
        .await;
        let beside = pay_in_a_row(&world, &quiet, "beside").await;
        stop.store(true, Ordering::Relaxed);
        beside
    };
    let (paid, beside) = tokio::join!(flood, beside);
    let paid: usize = paid.into_iter().sum();
    assert_eq!(world.charges(), paid + 2 * IN_A_ROW);
    assert!(
        beside < 2 * alone,
        "{beside:?} beside the flood, {alone:?} alone"
    );
}

const IN_A_ROW: usize = 5;

/// The usual time of a few payments, all of which succeed.
async fn pay_in_a_row(world: &World, api_key: &str, name: &str) -> Duration {
    let mut times = Vec::new();
    for n in 0..IN_A_ROW {
        let asked = Instant::now();
        let request = world.paying_as(api_key, &format!("{name}-{n}"), &eur(1));
        drop(send(request).await.expect(201));
        times.push(asked.elapsed());
    }
    median(times)
}
