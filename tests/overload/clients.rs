//! Clients that do not behave, over real sockets.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use super::one_at_a_time;
use crate::harness::{API_KEY, Backend, Knobs, World, eur, eventually};

/// Longer than any limit that a test here waits for.
const PATIENCE: Duration = Duration::from_secs(60);
const HEALTHZ: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: oncepay\r\n\r\n";

async fn world(knobs: &[(&'static str, &str)]) -> World {
    let knobs = knobs
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()));
    World::start_with(Backend::Sqlite, Knobs(knobs.collect())).await
}

async fn connect(world: &World) -> TcpStream {
    TcpStream::connect(world.server.address()).await.unwrap()
}

/// What comes until the server closes or resets the connection.
async fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut text)).await;
    // A reset ends it as well as a close.
    drop(read.expect("the server keeps the connection"));
    String::from_utf8(text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_does_not_come_ends_the_connection() {
    let world = world(&[("ONCEPAY_LIMITS__HEAD_TIMEOUT_MS", "3000")]).await;
    let mut silent = connect(&world).await;
    let mut slow = connect(&world).await;
    slow.write_all(b"POST /payments HTTP/1.1\r\nHost: once")
        .await
        .unwrap();
    assert!(rest(&mut slow).await.starts_with("HTTP/1.1 408 "));
    assert!(rest(&mut silent).await.starts_with("HTTP/1.1 408 "));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_head_of_a_later_request_is_timed_too() {
    let world = world(&[
        ("ONCEPAY_LIMITS__HEAD_TIMEOUT_MS", "3000"),
        ("ONCEPAY_LIMITS__KEEP_ALIVE_S", "3600"),
    ])
    .await;
    let mut stream = connect(&world).await;
    stream.write_all(HEALTHZ).await.unwrap();
    let mut answer = vec![0; 4_096];
    let length = stream.read(&mut answer).await.unwrap();
    assert!(answer[..length].starts_with(b"HTTP/1.1 200 "));
    stream.write_all(&HEALTHZ[..10]).await.unwrap();
    assert_eq!(rest(&mut stream).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_and_a_half_do_not_hold_a_connection_for_ever() {
    let world = world(&[
        ("ONCEPAY_LIMITS__HEAD_TIMEOUT_MS", "500"),
        ("ONCEPAY_LIMITS__KEEP_ALIVE_S", "1"),
    ])
    .await;
    let mut stream = connect(&world).await;
    let mut bytes = HEALTHZ.to_vec();
    bytes.extend(&HEALTHZ[..10]);
    stream.write_all(&bytes).await.unwrap();
    let answers = rest(&mut stream).await;
    assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{answers}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_may_take_longer_than_a_connection_may_rest() {
    let world = world(&[
        ("ONCEPAY_LIMITS__HEAD_TIMEOUT_MS", "2000"),
        ("ONCEPAY_LIMITS__KEEP_ALIVE_S", "1"),
    ])
    .await;
    world.latency_ms(5_000.0).await;
    drop(world.pay("k", &eur(1)).await.expect(201));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_is_refused_with_nothing_recorded() {
    let world = world(&[("ONCEPAY_LIMITS__BODY_TIMEOUT_MS", "500")]).await;
    let mut stream = connect(&world).await;
    let head = format!(
        "POST /payments HTTP/1.1\r\nHost: oncepay\r\nAuthorization: Bearer {API_KEY}\r\n\
         Idempotency-Key: k\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("did not arrive within 500 ms"), "{answer}");
    assert_eq!(world.charges(), 0);
    drop(world.pay("k", &eur(1)).await.expect(201));
}

/// What the server says of the connections that it has cut: a line for each reason.
async fn all_cut(world: &World) -> Vec<String> {
    let metrics = world.get("/metrics").await.expect(200);
    let text = String::from_utf8(metrics.body).unwrap();
    let lines = text.lines();
    let of_cuts = lines.filter_map(|line| line.strip_prefix("oncepay_http_connections_cut_total"));
    of_cuts.map(str::to_owned).collect()
}

/// Connections that the server has cut for that reason.
async fn cut(world: &World, reason: &str) -> u32 {
    let name = format!("{{reason=\"{reason}\"}} ");
    let all = all_cut(world).await;
    let count = all.iter().find_map(|line| line.strip_prefix(&name));
    count.map_or(0, |count| count.parse().unwrap())
}

/// Sends requests and never reads, until the server has had enough.
async fn flood_unread(world: &World) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut stream = socket.connect(world.server.address()).await.unwrap();
    let ahead = HEALTHZ.repeat(200);
    let until_cut = async { while stream.write_all(&ahead).await.is_ok() {} };
    timeout(PATIENCE, until_cut)
        .await
        .expect("the server serves one that does not read for ever");
}

#[tokio::test(flavor = "multi_thread")]
async fn those_that_send_ahead_and_do_not_read_are_cut_and_slow_nobody() {
    let _machine = one_at_a_time().await;
    let world = world(&[
        ("ONCEPAY_LIMITS__SEND_TIMEOUT_MS", "60000"),
        ("ONCEPAY_LIMITS__HEAD_TIMEOUT_MS", "60000"),
    ])
    .await;
    // The longest timeouts: they are cut because their connections spin.
    let unread = futures_util::future::join_all((0..20).map(|_| flood_unread(&world)));
    let beside = async {
        for n in 0..10 {
            drop(world.pay(&format!("k-{n}"), &eur(1)).await.expect(201));
        }
    };
    tokio::join!(unread, beside);
    assert_eq!(
        cut(&world, "ahead").await,
        20,
        "{:?}",
        all_cut(&world).await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_stops_reading_is_cut_after_the_send_timeout() {
    let world = world(&[
        ("ONCEPAY_LIMITS__SEND_TIMEOUT_MS", "500"),
        ("ONCEPAY_LIMITS__KEEP_ALIVE_S", "3600"),
    ])
    .await;
    for n in 0..100 {
        let mut payment = eur(1);
        payment["description"] = "d".repeat(1_000).into();
        drop(world.pay(&format!("k-{n}"), &payment).await.expect(201));
    }
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut stream = socket.connect(world.server.address()).await.unwrap();
    let page = format!(
        "GET /payments?limit=100 HTTP/1.1\r\nHost: oncepay\r\nAuthorization: Bearer {API_KEY}\r\n\r\n"
    );
    // More than the system keeps for it, and less than makes the connection spin.
    stream.write_all(page.repeat(20).as_bytes()).await.unwrap();
    eventually("the server has cut the connection", || async {
        (cut(&world, "unread").await == 1).then_some(())
    })
    .await;
}
