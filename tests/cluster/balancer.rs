//! What `deploy/haproxy.cfg` does to requests.

use std::{
    future::ready,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use reqwest::Method;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::Cluster;
use crate::harness::{Haproxy, check_configuration, eur, eventually, send};

#[test]
fn the_configuration_is_valid_and_names_what_it_lacks() {
    let nodes = [
        ("LB_NODE_1", "10.0.0.1:8080"),
        ("LB_NODE_2", "10.0.0.2:8080"),
    ];
    let checked = check_configuration(&nodes);
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(
        checked.status.success() && !said.contains("WARNING"),
        "{said}"
    );
    assert!(!check_configuration(&nodes[..1]).status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_go_through_and_duplicates_meet_on_one_node() {
    let cluster = Cluster::start().await;
    let balancer = &cluster.balancer;
    for n in 0..40 {
        send(balancer.paying(&format!("k-{n}"), &eur(4_200)))
            .await
            .expect(201);
    }
    let before = [balancer.sent_to(1).await, balancer.sent_to(2).await];
    assert!(before.iter().all(|sent| *sent > 0), "{before:?}");
    let first = send(balancer.paying("k-0", &eur(4_200))).await.expect(201);
    for _ in 1..20 {
        let again = send(balancer.paying("k-0", &eur(4_200))).await.expect(201);
        assert!(again.is_replayed() && again.body == first.body);
    }
    let after = [balancer.sent_to(1).await, balancer.sent_to(2).await];
    assert!(
        before[0] == after[0] || before[1] == after[1],
        "{before:?} {after:?}"
    );
    assert_eq!(cluster.world.charges(), 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_holds_for_one_node_is_not_asked_through_the_balancer() {
    let cluster = Cluster::start().await;
    for path in [
        "/metrics",
        "/%6detrics",
        "/admin/providers",
        "/admin/providers/stripe",
    ] {
        let request = cluster.balancer.request(Method::GET, path);
        let answer = send(request).await.expect(404).json();
        assert_eq!(answer["code"], "not_found", "{path}");
        assert_eq!(
            answer["detail"],
            "This holds for one node only: ask the node."
        );
    }
    send(cluster.balancer.request(Method::GET, "/payments"))
        .await
        .expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_are_not_ready_answer_for_themselves() {
    let cluster = Cluster::start().await;
    cluster.world.database.refuse_connections().await;
    eventually("the balancer finds no node ready", || async {
        (cluster.balancer.own_side("/healthz").await.0 == 503).then_some(())
    })
    .await;
    let refused = send(cluster.balancer.paying("k", &eur(4_200))).await;
    refused.expect_problem(503, "store_unavailable");
    cluster.world.database.allow_connections().await;
    cluster.balancer.sees_ready(2).await;
    assert_eq!(cluster.balancer.own_side("/healthz").await.0, 200);
    send(cluster.balancer.paying("k", &eur(4_200)))
        .await
        .expect(201);
    assert_eq!(cluster.world.charges(), 1);
}

/// A node that is ready, and closes the connection of every other request after the answer to it.
pub(super) async fn node<F>(answer: impl Fn(String) -> F + Clone + Send + 'static) -> SocketAddr
where
    F: Future<Output = &'static str> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut head = vec![0; 65_536];
                let mut length = 0;
                while !head[..length].windows(4).any(|end| end == b"\r\n\r\n") {
                    match stream.read(&mut head[length..]).await {
                        Ok(0) | Err(_) => return,
                        Ok(more) => length += more,
                    }
                }
                if head.starts_with(b"GET /readyz ") {
                    let ready =
                        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                    drop(stream.write_all(ready).await);
                } else {
                    head.truncate(length);
                    let answer = answer(String::from_utf8(head).unwrap()).await;
                    drop(stream.write_all(answer.as_bytes()).await);
                }
            });
        }
    });
    address
}

async fn closing_node(requests: Arc<AtomicUsize>, answer: &'static str) -> SocketAddr {
    node(move |_| {
        requests.fetch_add(1, Ordering::SeqCst);
        ready(answer)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_request_is_repeated_only_if_that_is_harmless() {
    repeated_only_if_that_is_harmless("").await;
}

/// A node that stood still has given up the request that it finds when it wakes up.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_given_up_is_repeated_only_if_that_is_harmless() {
    let given_up = "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    repeated_only_if_that_is_harmless(given_up).await;
}

async fn repeated_only_if_that_is_harmless(answer: &'static str) {
    let requests = Arc::new(AtomicUsize::new(0));
    let nodes = [
        closing_node(Arc::clone(&requests), answer).await,
        closing_node(Arc::clone(&requests), answer).await,
    ];
    let balancer = Haproxy::start(nodes).await;
    let post = || balancer.request(Method::POST, "/payments").body("{}");
    let long = balancer
        .request(Method::POST, "/payments")
        .body("x".repeat(20_000));
    for (what, request, tries) in [
        ("a key", post().header("idempotency-key", "k"), 4),
        ("no key", post(), 1),
        (
            "nothing changed",
            balancer.request(Method::GET, "/payments"),
            4,
        ),
        (
            "too long to be kept",
            long.header("idempotency-key", "k"),
            1,
        ),
    ] {
        requests.store(0, Ordering::SeqCst);
        // On a connection that has served before, HAProxy would close it in place of a `503`.
        let answer = send(request.header("connection", "close"))
            .await
            .expect(503);
        assert_eq!(requests.load(Ordering::SeqCst), tries, "{what}");
        // It may have been recorded: nobody here can tell.
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json")
        );
        assert!(answer.header("retry-after").is_some());
        assert_eq!(answer.json()["code"], "outcome_unknown");
    }
}
