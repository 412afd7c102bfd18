//! Clients that pay through the balancer until they have a definite answer.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::time::Instant;

use crate::harness::{Answer, Haproxy, eur, eventually};

/// Clients at once, each with a payment of its own at a time.
pub(super) const CLIENTS: usize = 32;

/// How the payments of one run went, so far.
#[derive(Debug, Default)]
pub(super) struct Progress {
    paid: AtomicUsize,
}

impl Progress {
    /// Waits until so many payments have their `201`.
    pub(super) async fn reaches(&self, paid: usize) {
        eventually("the payments go on", || async {
            (self.paid.load(Ordering::SeqCst) >= paid).then_some(())
        })
        .await;
    }
}

/// What the clients saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The ids of the payments that were answered `201`, one for each key.
    pub(super) payments: BTreeSet<String>,
    /// Everything that was not `201`: a status, or what happened to the connection.
    pub(super) other: Vec<String>,
    /// The longest time from the first request of a key to its `201`.
    pub(super) longest: Duration,
}

/// Pays under `keys` keys that begin with `prefix`; whoever is not answered `201` asks again under the
/// same key.
pub(super) async fn pay_all(
    balancer: &Haproxy,
    prefix: &str,
    keys: usize,
    progress: &Progress,
) -> Seen {
    let next = AtomicUsize::new(0);
    let clients = (0..CLIENTS).map(|_| async {
        let mut seen = Seen::default();
        loop {
            let n = next.fetch_add(1, Ordering::SeqCst);
            if n >= keys {
                return seen;
            }
            pay_until_definite(balancer, &format!("{prefix}-{n}"), &mut seen).await;
            progress.paid.fetch_add(1, Ordering::SeqCst);
        }
    });
    let all = join_all(clients).await;
    all.into_iter().fold(Seen::default(), |mut sum, one| {
        sum.payments.extend(one.payments);
        sum.other.extend(one.other);
        sum.longest = sum.longest.max(one.longest);
        sum
    })
}

async fn pay_until_definite(balancer: &Haproxy, key: &str, seen: &mut Seen) {
    let (started, body) = (Instant::now(), eur(4_200));
    let other = RefCell::<Vec<String>>::default();
    let paid = eventually("the key has its 201", || async {
        let sent = balancer.paying(key, &body).send().await;
        match sent {
            Ok(response) if response.status() == 201 => Some(Answer::of(response).await),
            Ok(response) => {
                let answer = Answer::of(response).await;
                let text = String::from_utf8_lossy(&answer.body).into_owned();
                other.borrow_mut().push(format!("{} {text}", answer.status));
                None
            }
            Err(error) => {
                other.borrow_mut().push(format!("{error:?}"));
                None
            }
        }
    })
    .await;
    let id = paid.json()["id"].as_str().unwrap().to_owned();
    assert!(seen.payments.insert(id), "two keys are one payment");
    seen.other.extend(other.into_inner());
    seen.longest = seen.longest.max(started.elapsed());
}
