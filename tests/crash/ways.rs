//! One operation of each kind, each about a payment of its own.

use std::{future, net::SocketAddr, task::Poll};

use oncepay::sandbox::{Charge, ChargeFilter};
use reqwest::Method;
use tokio::{
    io::{AsyncWriteExt, ReadBuf},
    net::TcpStream,
};

use crate::{
    downstream_fails::{held, order, with_times},
    harness::{API_KEY, Answer, Backend, ServerProcess, World, send},
};

/// The operations that are asked for.
pub(super) const WAYS: usize = 4;
/// The payments that are there before, to be captured, canceled and refunded.
pub(super) const MADE_BEFORE: usize = 3;

/// An operation that a client wants.
pub(super) struct Way {
    pub(super) key: &'static str,
    path: String,
    body: Option<String>,
    /// Of its definite answer.
    pub(super) status: u16,
}

pub(super) struct Ways {
    pub(super) all: [Way; WAYS],
}

/// A world in which an attempt may take so long, and an operation with all that comes before it.
pub(super) async fn world(backend: Backend, attempt_timeout_ms: u32, deadline_ms: u32) -> World {
    let (knobs, providers) = with_times(attempt_timeout_ms, deadline_ms);
    World::start_at(backend, knobs, providers).await
}

impl Ways {
    /// Makes the payments that the operations are about.
    pub(super) async fn made(world: &World) -> Self {
        let mut ids = Vec::new();
        for (key, body) in [
            ("captured", held("captured")),
            ("canceled", held("canceled")),
            ("refunded", order("refunded")),
        ] {
            let made = world.pay(key, &body).await.expect(201).json();
            ids.push(made["id"].as_str().unwrap().to_owned());
        }
        let about = |place: usize, key, what: &str, status| Way {
            key,
            path: format!("/payments/{}/{what}", ids[place]),
            body: None,
            status,
        };
        let create = Way {
            key: "create",
            path: "/payments".to_owned(),
            body: Some(order("created").to_string()),
            status: 201,
        };
        let all = [
            create,
            about(0, "capture", "capture", 200),
            about(1, "cancel", "cancel", 200),
            about(2, "refund", "refunds", 201),
        ];
        Self { all }
    }

    /// Sends every request to `address`, and reads no answer.
    pub(super) async fn asked(&self, address: SocketAddr) -> Vec<TcpStream> {
        let mut streams = Vec::new();
        for way in &self.all {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(way.bytes().as_bytes()).await.unwrap();
            streams.push(stream);
        }
        streams
    }

    /// What the provider did, and how often.
    pub(super) fn judge(&self, world: &World) {
        let executed = (MADE_BEFORE + WAYS) as u64;
        assert_eq!(world.sandbox.stats().executed, executed);
        let charges = ["created", "captured", "refunded"].map(|name| charge(world, name).unwrap());
        assert!(charges.iter().all(|charge| charge.amount_captured == 4_200));
        assert_eq!(charges.map(|charge| charge.refunds), [0, 0, 1]);
        assert_eq!(charge(world, "refunded").unwrap().amount_refunded, 4_200);
        assert_eq!(charge(world, "canceled"), None);
        assert_eq!(world.charges(), 3);
    }
}

/// What moved or holds money under a reference.
fn charge(world: &World, reference: &str) -> Option<Charge> {
    let filter = ChargeFilter::metadata("reference", reference);
    let charges = world.sandbox.charges(&filter);
    assert!(charges.count <= 1, "{reference}: charged twice");
    charges.charges.into_iter().next()
}

impl Way {
    /// Asks `node`, and waits for its answer.
    pub(super) async fn ask(&self, world: &World, node: &ServerProcess) -> Answer {
        let request = world.request_at(node, Method::POST, &self.path);
        let request = request
            .bearer_auth(API_KEY)
            .header("idempotency-key", self.key);
        let request = match &self.body {
            Some(body) => request
                .header("content-type", "application/json")
                .body(body.clone()),
            None => request,
        };
        send(request).await
    }

    fn bytes(&self) -> String {
        let Self {
            key, path, body, ..
        } = self;
        let body = body.as_deref().unwrap_or_default();
        let about_the_body = match body.len() {
            0 => "Content-Length: 0\r\n".to_owned(),
            length => {
                format!("Content-Type: application/json\r\nContent-Length: {length}\r\n")
            }
        };
        format!(
            "POST {path} HTTP/1.1\r\nHost: oncepay\r\nAuthorization: Bearer {API_KEY}\r\n\
             Idempotency-Key: {key}\r\n{about_the_body}\r\n{body}"
        )
    }
}

/// Whether the world's server waits for a database that takes no write.
pub(super) async fn is_waiting(world: &World) -> bool {
    if world.database.server().is_some() {
        // Payments and follow-ups are written by different batches.
        let of_payments = world.database.waiting_for_a_lock("insert into operations");
        let of_follow_ups = world.database.waiting_for_a_lock("for update");
        return of_payments.await >= 1 && of_follow_ups.await >= 1;
    }
    let metrics = world.get("/metrics").await.body;
    let metrics = String::from_utf8(metrics).unwrap();
    let line = format!("oncepay_operations_in_flight {WAYS}");
    metrics.lines().any(|one| one == line)
}

/// On how many connections something has come; nothing is read.
pub(super) async fn answers(streams: &[TcpStream]) -> usize {
    let mut answers = 0;
    for stream in streams {
        let mut byte = [0];
        let mut byte = ReadBuf::new(&mut byte);
        let peeked = future::poll_fn(|context| {
            let peeked = stream.poll_peek(context, &mut byte);
            Poll::Ready(matches!(peeked, Poll::Ready(Ok(1..))))
        });
        answers += usize::from(peeked.await);
    }
    answers
}
