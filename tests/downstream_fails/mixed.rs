//! Several faults at once, under load, with clients that retry.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use oncepay::sandbox::{FaultKind, FaultPlan, FaultRule};

use super::{charges_of, order, until_definite};
use crate::harness::{Answer, Backend, Knobs, ProviderKnobs, World, on_both_stores};

const CLIENTS: usize = 64;
const PAYMENTS: usize = 2_000;

on_both_stores! {
    payments_through_mixed_faults_are_charged_once_each
}

/// What differs from the defaults. The limit of calls and the clients' retry budget do not.
///
/// Half of all calls fail, so that the breaker would rightly be open, and open again for longer after
/// each round of probes: it is lifted. A thousand operations are in doubt, which ten re-sends a second
/// settle in minutes: they get a hundred. The other settings are times that a test can wait for.
fn settings() -> Knobs {
    Knobs(vec![
        ("ONCEPAY_BREAKER__FAILURE_RATE_PERCENT", "100".into()),
        ("ONCEPAY_BREAKER__CONSECUTIVE_FAILURES_MAX", "1000".into()),
        ("ONCEPAY_RETRY__SETTLING_PER_S", "100".into()),
        ("ONCEPAY_RECOVERY__SWEEP_EVERY_MS", "100".into()),
        ("ONCEPAY_RECOVERY__BACKOFF_BASE_MS", "100".into()),
        ("ONCEPAY_RECOVERY__BACKOFF_MAX_S", "2".into()),
        ("ONCEPAY_LIMITS__DEADLINE_MS", "3000".into()),
        ("ONCEPAY_LIMITS__LEASE_S", "14".into()),
    ])
}

/// The faults stay on until the last payment has a definite answer.
async fn payments_through_mixed_faults_are_charged_once_each(backend: Backend) {
    let world = World::start_at(backend, settings(), vec![ProviderKnobs::named("main")]).await;
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
            if number >= PAYMENTS {
                return;
            }
            let key = format!("order-{number}");
            let body = order(&key);
            let answer = until_definite(async || {
                let response = world.paying(&key, &body).send().await.ok()?;
                Some(Answer::of(response).await)
            });
            answer.await.expect(201);
        }
    };
    join_all((0..CLIENTS).map(|_| client())).await;
    let fired = world.sandbox.faults_fired();
    assert!(fired.iter().all(|times| *times > 20), "{fired:?}");
    assert_eq!(world.charges(), PAYMENTS);
    for number in 0..PAYMENTS {
        assert_eq!(charges_of(&world, &format!("order-{number}")), 1);
    }
}
