use futures_util::future::join_all;
use tokio::time::Instant;

use super::{median, one_at_a_time};
use crate::harness::{Backend, Knobs, World, eur, on_both_stores};

const CONNECTIONS: usize = 200;
const REQUESTS_EACH: usize = 10;
const SEATS: usize = 64;

on_both_stores! {
    two_thousand_duplicates_are_one_call_and_one_charge
}

async fn two_thousand_duplicates_are_one_call_and_one_charge(backend: Backend) {
    let _machine = one_at_a_time().await;
    let knobs = Knobs(vec![("ONCEPAY_LIMITS__DUPLICATES_MAX", SEATS.to_string())]);
    let world = World::start_with(backend, knobs).await;
    world.latency_ms(2_000.0).await;
    let body = eur(4_200);
    let connection = || async {
        let mut answers = Vec::new();
        for _ in 0..REQUESTS_EACH {
            let asked = Instant::now();
            let answer = world.pay("k", &body).await;
            answers.push((answer, asked.elapsed()));
        }
        answers
    };
    // Its merchant pays under other keys meanwhile.
    let beside = async {
        let keys: Vec<_> = (0..100).map(|n| format!("beside-{n}")).collect();
        join_all(keys.iter().map(|key| world.pay(key, &body))).await
    };
    let storm = join_all((0..CONNECTIONS).map(|_| connection()));
    let (storm, beside) = tokio::join!(storm, beside);

    assert_eq!(world.charges(), 1 + beside.len());
    assert_eq!(world.sandbox.stats().requests_by_key_max, 1);
    beside
        .into_iter()
        .for_each(|answer| drop(answer.expect(201)));
    let answers: Vec<_> = storm.into_iter().flatten().collect();
    assert_eq!(answers.len(), CONNECTIONS * REQUESTS_EACH);
    let (paid, refused): (Vec<_>, Vec<_>) = answers
        .into_iter()
        .partition(|(answer, _)| answer.status == 201);
    assert!(paid.len() >= SEATS);
    assert!(paid.iter().all(|(answer, _)| answer.body == paid[0].0.body));
    let first = paid.iter().filter(|(answer, _)| !answer.is_replayed());
    assert_eq!(first.count(), 1);
    assert!(!refused.is_empty(), "more came at once than have a seat");
    let quick = median(refused.iter().map(|(_, took)| *took).collect());
    for (answer, _) in refused {
        assert!(answer.header("retry-after").is_some());
        drop(answer.expect_problem(503, "overloaded"));
    }
    assert!(quick.as_millis() < 1_000, "{quick:?}");
}
