//! What is known when there is no answer.

use std::sync::Arc;

use tokio::{
    join,
    net::{TcpListener, TcpSocket, TcpStream},
    runtime::{Builder, Runtime},
    time::timeout,
};

use super::server::{Peer, Server};
use super::*;

/// How long a stalled attempt lasts in these tests.
const SHORT: Duration = Duration::from_millis(400);

/// The outcome of one attempt whose connection ends as `end` ends it.
async fn outcome_if(attempt_timeout: Duration, end: impl AsyncFnOnce(Peer)) -> String {
    let server = Server::start().await;
    let provider = provider(&server.url, attempt_timeout);
    let call = call(&provider);
    let (outcome, ()) = join!(provider.send(&call), async {
        let mut peer = server.accept().await;
        peer.request().await;
        end(peer).await;
    });
    line(&outcome)
}

#[tokio::test]
async fn rule_4_a_refused_connection_proves_that_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let provider = provider(&url, PATIENCE);

    let outcome = provider.send(&call(&provider)).await;

    assert_eq!(line(&outcome), not_sent(NotSentReason::ConnectFailed));
}

#[tokio::test]
async fn rule_4_a_connection_that_does_not_come_about_in_time_proves_that_nothing_was_sent() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    // Nobody accepts: once the queue is full, the kernel ignores whoever knocks.
    let mut queue = Vec::new();
    while let Ok(stream) = timeout(SHORT, TcpStream::connect(address)).await {
        queue.push(stream.unwrap());
        assert!(queue.len() < 16, "the queue has a bound");
    }
    let provider = provider(&format!("http://{address}"), SHORT);

    let outcome = provider.send(&call(&provider)).await;

    assert_eq!(line(&outcome), not_sent(NotSentReason::ConnectFailed));
}

#[tokio::test]
async fn rule_4_a_failed_handshake_proves_that_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let provider = provider(&url, PATIENCE);
    let call = call(&provider);

    let (outcome, _) = join!(provider.send(&call), async {
        drop(listener.accept().await.unwrap());
    });

    assert_eq!(line(&outcome), not_sent(NotSentReason::ConnectFailed));
}

#[tokio::test]
async fn rule_4_a_connection_that_ends_without_an_answer_leaves_a_doubt() {
    let lost = in_doubt(InDoubtReason::ConnectionLost);
    assert_eq!(outcome_if(PATIENCE, async |peer| peer.reset()).await, lost);
    assert_eq!(outcome_if(PATIENCE, async |peer| peer.close()).await, lost);
}

#[tokio::test]
async fn rule_4_an_answer_that_is_cut_leaves_a_doubt() {
    let lost = in_doubt(InDoubtReason::ConnectionLost);
    for part in [
        "HTTP/1.1 200 OK\r\nContent-Le",
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"id\":",
        "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 100\r\n\r\n{\"error\":",
    ] {
        let outcome = outcome_if(PATIENCE, async |mut peer: Peer| {
            peer.write(part).await;
            peer.close();
        });
        assert_eq!(outcome.await, lost, "{part}");
    }
}

#[tokio::test]
async fn rule_4_an_answer_that_is_no_http_leaves_a_doubt() {
    let outcome = outcome_if(PATIENCE, async |mut peer: Peer| {
        peer.write("SSH-2.0-OpenSSH_9.9\r\n\r\n").await;
        peer.close();
    });
    assert_eq!(outcome.await, in_doubt(InDoubtReason::ConnectionLost));
}

#[tokio::test]
async fn rule_8_a_stalled_answer_ends_the_attempt_in_time_wherever_it_stalls() {
    for part in ["", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"id\":"] {
        let server = Server::start().await;
        let provider = provider(&server.url, SHORT);
        let call = call(&provider);
        let attempt = timeout(PATIENCE, provider.send(&call));

        let (outcome, _open) = join!(attempt, async {
            let mut peer = server.accept().await;
            peer.request().await;
            peer.write(part).await;
            peer
        });

        let outcome = outcome.expect("the attempt has a bound of its own");
        assert_eq!(line(&outcome), in_doubt(InDoubtReason::Timeout), "{part}");
    }
}

#[tokio::test]
async fn an_endless_body_is_not_read_to_its_end() {
    let outcome = outcome_if(PATIENCE, async |mut peer: Peer| {
        peer.flood(64 * 1024 * 1024).await;
    });
    assert_eq!(outcome.await, in_doubt(InDoubtReason::Unreadable));
}

#[tokio::test]
async fn rule_4_a_redirect_is_not_followed() {
    let elsewhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let target = elsewhere.local_addr().unwrap();
    for status in ["302 Found", "307 Temporary Redirect"] {
        let outcome = outcome_if(PATIENCE, async |mut peer: Peer| {
            let head = format!("{status}\r\nLocation: http://{target}/");
            peer.answer(&head, "").await;
        });
        assert_eq!(outcome.await, in_doubt(InDoubtReason::Unreadable));
    }
    assert!(elsewhere.accept().is_err(), "nobody came");
}

#[tokio::test]
async fn rule_4_a_request_that_met_a_reset_is_not_sent_again_below_us() {
    let server = Server::start().await;
    let provider = provider(&server.url, PATIENCE);
    let call = call(&provider);
    let (_, mut peer) = join!(provider.send(&call), async {
        let mut peer = server.accept().await;
        peer.request().await;
        peer.answer("200 OK", &intent("succeeded")).await;
        peer
    });

    // On the connection of the first: this is where HTTP clients like to try again. Another
    // request would meet nobody, and end as a timeout.
    let (outcome, ()) = join!(provider.send(&call), async {
        peer.request().await;
        peer.reset();
    });

    assert_eq!(line(&outcome), in_doubt(InDoubtReason::ConnectionLost));
}

#[tokio::test]
async fn the_end_of_the_caller_s_runtime_does_not_cut_the_call() {
    let server = Server::start().await;
    let provider = Arc::new(provider(&server.url, PATIENCE));
    let callers = Runtime::new().unwrap();
    callers.spawn({
        let provider = Arc::clone(&provider);
        async move { provider.send(&call(&provider)).await }
    });
    let mut peer = server.accept().await;
    peer.request().await;

    callers.shutdown_background();
    peer.answer("200 OK", &intent("succeeded")).await;

    // The connection has survived: the next call comes on it.
    let call = call(&provider);
    let (outcome, ()) = join!(provider.send(&call), async {
        peer.request().await;
        peer.answer("200 OK", &intent("succeeded")).await;
    });
    assert_eq!(line(&outcome), "approved pi_1");
}

#[tokio::test]
async fn the_end_of_the_driving_runtime_leaves_a_doubt() {
    let server = Server::start().await;
    let driving = Builder::new_multi_thread().enable_all().build().unwrap();
    let provider = provider_on(driving.handle().clone(), &server.url, PATIENCE);
    let call = call(&provider);

    let (outcome, ()) = join!(provider.send(&call), async {
        let mut peer = server.accept().await;
        peer.request().await;
        driving.shutdown_background();
    });

    assert_eq!(line(&outcome), in_doubt(InDoubtReason::CallLost));
}
