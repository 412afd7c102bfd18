//! A node that is killed, and one that is told to stop, while clients pay through the balancer.

use std::time::Duration;

use futures_util::future::join;

use super::{
    Cluster, LEASE_S,
    traffic::{Progress, pay_all},
};

const KEYS: usize = 400;
/// Longer than a graceful stop of a node takes.
const STOP_MAX: Duration = Duration::from_secs(40);

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_first_node_costs_no_client_that_retries_anything() {
    a_killed_node_costs_nothing(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_second_node_costs_no_client_that_retries_anything() {
    a_killed_node_costs_nothing(1).await;
}

async fn a_killed_node_costs_nothing(node: usize) {
    let mut cluster = Cluster::start().await;
    cluster.world.latency_ms(50.0).await;
    let progress = Progress::default();
    let killing = async {
        progress.reaches(KEYS / 4).await;
        cluster.nodes[node].kill();
    };
    let (seen, ()) = join(pay_all(&cluster.balancer, "k", KEYS, &progress), killing).await;

    assert_eq!(seen.payments.len(), KEYS);
    assert_eq!(cluster.world.charges(), KEYS);
    // What the dead node was driving has its lease, and is then driven on by the other.
    assert!(
        seen.longest < Duration::from_secs(LEASE_S + 15),
        "{:?}",
        seen.longest
    );
    // Meanwhile its clients are told that it is processing; none has seen a broken connection.
    for other in &seen.other {
        assert!(other.starts_with("202 "), "{other}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_stop_in_turn_are_drained_without_a_failed_request() {
    // No payment is in doubt because the machine is slow.
    let patient = [
        ("ONCEPAY_LIMITS__DEADLINE_MS", "20000"),
        ("ONCEPAY_LIMITS__LEASE_S", "40"),
        ("ONCEPAY_RECOVERY__SWEEP_EVERY_MS", "200"),
    ];
    let mut cluster = Cluster::start_with(patient, 10_000).await;
    cluster.world.latency_ms(50.0).await;
    for node in 0..2 {
        let progress = Progress::default();
        let stopping = async {
            progress.reaches(KEYS / 4).await;
            cluster.nodes[node].signal("TERM");
            let status = cluster.nodes[node].ended(STOP_MAX).await;
            assert!(status.success(), "{status}");
        };
        let prefix = format!("round-{node}");
        let paying = pay_all(&cluster.balancer, &prefix, KEYS, &progress);
        let (seen, ()) = join(paying, stopping).await;
        assert_eq!(seen.payments.len(), KEYS);
        assert_eq!(seen.other, [""; 0], "every first request was answered 201");
        cluster.start_again(node).await;
        cluster.balancer.sees_ready(2).await;
    }
    assert_eq!(cluster.world.charges(), 2 * KEYS);
}
