//! What `deploy/haproxy.cfg` does to an operator's verdict, which takes longer than anything else and has
//! no idempotency key.

use std::{
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use oncepay::config::LimitsConfig;
use reqwest::{Method, RequestBuilder};
use tokio::sync::watch;

use super::balancer::node;
use crate::harness::{Haproxy, eur, eventually, send};

const CONFIGURATION: &str = include_str!("../../deploy/haproxy.cfg");
const TAKEN: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";

fn verdict(balancer: &Haproxy, payment: usize) -> RequestBuilder {
    let path = format!("/admin/payments/pay_{payment}/resolve");
    balancer.request(Method::POST, &path).body("{}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_is_waited_for_when_any_other_answer_is_given_up() {
    let (tell, told) = watch::channel(false);
    let verdicts = Arc::new(AtomicUsize::new(0));
    let stalled = |verdicts: Arc<AtomicUsize>| {
        let told = told.clone();
        node(move |head: String| {
            let is_verdict = head.contains("/resolve ");
            verdicts.fetch_add(usize::from(is_verdict), Ordering::SeqCst);
            let mut told = told.clone();
            async move {
                told.wait_for(|told| *told).await.unwrap();
                TAKEN
            }
        })
    };
    let nodes = [
        stalled(Arc::clone(&verdicts)).await,
        stalled(Arc::clone(&verdicts)).await,
    ];
    let hurried = [("timeout server 30s", "timeout server 500ms")];
    let balancer = Haproxy::start_changed(nodes, &hurried).await;

    let waiting = tokio::spawn(send(verdict(&balancer, 1)));
    eventually("the verdict has reached its node", || async {
        (verdicts.load(Ordering::SeqCst) == 1).then_some(())
    })
    .await;
    // Its request came later, and its time is over.
    let payment = balancer.paying("k", &eur(4_200));
    let neighbor = balancer.request(Method::GET, "/admin/payments/pay_1");
    for request in [payment, neighbor] {
        let given_up = send(request).await.expect(503);
        assert_eq!(given_up.json()["code"], "outcome_unknown");
    }
    assert!(!waiting.is_finished());
    tell.send(true).unwrap();
    waiting.await.unwrap().expect(200);
    assert_eq!(verdicts.load(Ordering::SeqCst), 1);
}

/// Both waits and the look fit into two leases: one for who drives the operation, and one that outlives
/// an attempt and the deadline.
#[test]
fn a_verdict_has_the_time_that_it_may_take() {
    let mut times = CONFIGURATION.lines().filter_map(|line| {
        let rest = line
            .trim()
            .strip_prefix("http-request set-timeout server ")?;
        let (seconds, _) = rest.split_once("s if ")?;
        Some(Duration::from_secs(seconds.parse().unwrap()))
    });
    let least = 2 * LimitsConfig::default().lease();
    assert!(times.clone().all(|time| time >= least));
    assert_eq!(times.by_ref().count(), 2, "in each backend");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_verdicts_on_one_payment_meet_on_one_node() {
    let counts = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
    let counting = |count: &Arc<AtomicUsize>| {
        let count = Arc::clone(count);
        node(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            ready(TAKEN)
        })
    };
    let nodes = [counting(&counts[0]).await, counting(&counts[1]).await];
    let balancer = Haproxy::start(nodes).await;
    let taken = || counts.each_ref().map(|count| count.load(Ordering::SeqCst));
    for payment in 0..40 {
        send(verdict(&balancer, payment)).await.expect(200);
    }
    let before = taken();
    assert!(before.iter().all(|count| *count > 0), "{before:?}");
    for _ in 0..10 {
        send(verdict(&balancer, 1)).await.expect(200);
    }
    let after = taken();
    assert!(
        before[0] == after[0] || before[1] == after[1],
        "{before:?} {after:?}"
    );
}
