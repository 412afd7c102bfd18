//! Several faults at once, under load, with clients that retry.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use oncepay::sandbox::{FaultKind, FaultPlan, FaultRule};

use super::{charges_of, order, quick_recovery, until_definite};
use crate::harness::{Backend, ProviderKnobs, World, on_both_stores};

const CLIENTS: usize = 64;

on_both_stores! {
    payments_through_mixed_faults_are_charged_once_each
}

async fn payments_through_mixed_faults_are_charged_once_each(backend: Backend) {
    let mut knobs = quick_recovery();
    // Half of all calls fail: the breaker would make this a test of patience.
    knobs.0.extend([
        ("ONCEPAY_BREAKER__FAILURE_RATE_PERCENT", "100".into()),
        ("ONCEPAY_BREAKER__CONSECUTIVE_FAILURES_MAX", "1000".into()),
        // And a tenth of them hangs, which the limit would take for an overload.
        ("ONCEPAY_LIMITS__PROVIDER_CALLS_MIN", "512".into()),
    ]);
    let payments = match backend {
        Backend::Postgres => 2_000,
        Backend::Sqlite => 500, // Its one writer makes the same take four times as long.
    };
    let world = World::start_at(backend, knobs, vec![ProviderKnobs::named("main")]).await;
    world
        .inject(FaultPlan::rules([
            FaultRule::new(FaultKind::RefuseConnection).rate(0.1),
            FaultRule::new(FaultKind::HangAfter).rate(0.1),
            FaultRule::new(FaultKind::ResetAfter).rate(0.1),
            FaultRule::new(FaultKind::ErrorAfter).rate(0.2),
        ]))
        .await;
    let next = AtomicUsize::new(0);
    let client = async || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= payments {
                // Nothing new is asked for: from here on, what is open must come to its end.
                world.sandbox.clear_faults().await;
                return;
            }
            let key = format!("order-{number}");
            let body = order(&key);
            let answer = until_definite(async || {
                let response = world.paying(&key, &body).send().await.ok()?;
                Some(crate::harness::Answer::of(response).await)
            });
            answer.await.expect(201);
        }
    };
    join_all((0..CLIENTS).map(|_| client())).await;
    assert_eq!(world.charges(), payments);
    for number in 0..payments {
        assert_eq!(charges_of(&world, &format!("order-{number}")), 1);
    }
}
