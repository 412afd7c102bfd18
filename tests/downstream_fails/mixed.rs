//! Several faults at once, under load, with clients that retry.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicUsize, Ordering},
};

use futures_util::future::join_all;
use oncepay::sandbox::{FaultKind, FaultPlan, FaultRule};

use super::{charges_of, order, until_definite};
use crate::harness::{Answer, Backend, Knobs, ProviderKnobs, World, on_both_stores};

const CLIENTS: usize = 64;
const PAYMENTS: usize = 2_000;

on_both_stores! {
    payments_through_mixed_faults_are_charged_once_each
}

/// What differs from the defaults. The limit of calls and the clients' retry budget do not: half of all
/// calls fail and a tenth times out, so that the limit falls to its least and the budget is always spent.
///
/// - The breaker is lifted: it would rightly be open most of the time, and for longer after each round of
///   probes. No rate of failures lifts it, since all calls fail where the machine is too busy to answer one.
/// - Settling gets a hundred re-sends a second, since a thousand operations come in doubt and the ten of a
///   production system take minutes for them.
/// - The other settings are times that a test can wait for: between sweeps, between the tries of one
///   operation, until a client hears `202`; and an attempt that hangs is given up after half a second.
fn settings() -> Knobs {
    Knobs(vec![
        ("ONCEPAY_BREAKER__CALLS_MIN", "100000".into()),
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
        let mut succeeded = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= PAYMENTS {
                return succeeded;
            }
            let key = format!("order-{number}");
            let body = order(&key);
            let answer = until_definite(async || {
                let response = world.paying(&key, &body).send().await.ok()?;
                Some(Answer::of(response).await)
            });
            let payment = answer.await.expect(201).json();
            assert_eq!(payment["status"], "succeeded");
            succeeded.push(payment["id"].to_string());
        }
    };
    let succeeded = join_all((0..CLIENTS).map(|_| client())).await.concat();
    let different: HashSet<_> = succeeded.iter().collect();
    assert_eq!((succeeded.len(), different.len()), (PAYMENTS, PAYMENTS));
    assert_eq!(world.charges(), PAYMENTS);
    for number in 0..PAYMENTS {
        assert_eq!(charges_of(&world, &format!("order-{number}")), 1);
    }
    // A closed port counts once, however many it refuses.
    let fired = world.sandbox.faults_fired();
    let closed = *fired.first().unwrap();
    assert!(
        closed >= 5 && fired.iter().skip(1).all(|times| *times > 100),
        "{fired:?}"
    );
}
