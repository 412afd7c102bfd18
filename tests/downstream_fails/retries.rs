//! Retries never become the load: counted at the sandbox, whatever each caller wanted.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use oncepay::sandbox::{FaultKind, FaultRule};
use tokio::time::Instant;

use super::order;
use crate::harness::{Backend, Knobs, ProviderKnobs, World, on_both_stores};

const CLIENTS: usize = 16;
/// Longer than the time in which what was saved up is forgotten.
const FAILING: Duration = Duration::from_secs(15);
/// The defaults: a tenth of the calls, and one a second, of ten seconds.
const PERCENT: f64 = 0.1;
const PER_S: f64 = 1.0;
const SAVED_S: f64 = 10.0;
/// What settling what is in doubt may send beside that.
const SETTLING_PER_S: f64 = 10.0;

on_both_stores! {
    requests_that_are_refused_are_sent_again_within_the_budget
    requests_in_doubt_are_sent_again_within_the_budgets
}

async fn requests_that_are_refused_are_sent_again_within_the_budget(backend: Backend) {
    let retries = retries_under(backend, FaultKind::RateLimit, 503).await;
    retries.assert_within(PER_S);
}

async fn requests_in_doubt_are_sent_again_within_the_budgets(backend: Backend) {
    let retries = retries_under(backend, FaultKind::Unavailable, 202).await;
    retries.assert_within(PER_S + SETTLING_PER_S);
}

struct Retries {
    /// Keys that the sandbox saw.
    calls: u64,
    /// Requests that it saw under a key that it had seen before.
    again: u64,
    elapsed: Duration,
}

impl Retries {
    #[track_caller]
    fn assert_within(&self, per_s: f64) {
        let elapsed_s = self.elapsed.as_secs_f64();
        let bound = PERCENT * self.calls as f64 + per_s * (elapsed_s + SAVED_S);
        let Self { calls, again, .. } = self;
        let about = format!("{again} retries of {calls} calls in {elapsed_s} s");
        assert!(*again as f64 <= bound, "{about}: more than {bound}");
        assert!(*again as f64 > bound / 4.0, "{about}: the bound is not met");
    }
}

/// Pays under one new key after the other, all of which fail, with no breaker to stop it.
async fn retries_under(backend: Backend, kind: FaultKind, answered: u16) -> Retries {
    let knobs = Knobs(vec![
        ("ONCEPAY_BREAKER__CALLS_MIN", "100000".into()),
        ("ONCEPAY_BREAKER__CONSECUTIVE_FAILURES_MAX", "1000".into()),
        ("ONCEPAY_RECOVERY__SWEEP_EVERY_MS", "100".into()),
        ("ONCEPAY_RECOVERY__BACKOFF_BASE_MS", "100".into()),
        ("ONCEPAY_RECOVERY__BACKOFF_MAX_S", "1".into()),
    ]);
    let provider = ProviderKnobs {
        attempt_timeout_ms: 5_000,
        ..ProviderKnobs::named("main")
    };
    let world = World::start_at(backend, knobs, vec![provider]).await;
    world.inject(FaultRule::new(kind)).await;
    let (began, next) = (Instant::now(), AtomicUsize::new(0));
    let client = async || {
        while began.elapsed() < FAILING {
            let key = format!("order-{}", next.fetch_add(1, Ordering::Relaxed));
            world.pay(&key, &order(&key)).await.expect(answered);
        }
    };
    join_all((0..CLIENTS).map(|_| client())).await;
    let (stats, elapsed) = (world.sandbox.stats(), began.elapsed());
    assert_eq!(stats.executed, 0);
    Retries {
        calls: stats.distinct_keys,
        again: stats.requests["create"] - stats.distinct_keys,
        elapsed,
    }
}
