//! A payment API as it should not be: it speaks enough of ours to be drilled, and breaks its word.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use oncepay::sandbox::Sandbox;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};

/// How it breaks its word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vice {
    None,
    /// Sends the provider a new key with every attempt, and makes two.
    ChargesTwice,
    /// Says that it was paid, without asking the provider.
    NeverCharges,
    /// Tells the client of a decline, and charges.
    ChargesTheDeclined,
    /// Makes a new answer of the same payment every time.
    AnswersAnew,
}

/// Serves until it is dropped.
pub(crate) struct Careless {
    pub(crate) address: SocketAddr,
    _connections: JoinSet<()>,
}

struct State {
    vice: Vice,
    provider: String,
    http: Client,
    /// Status and payment of each key; held while one is worked on.
    known: tokio::sync::Mutex<HashMap<String, (u16, Value)>>,
    answers: Mutex<u32>,
}

impl Careless {
    pub(crate) async fn start(vice: Vice, sandbox: &Sandbox) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            vice,
            provider: format!("http://{}/v1/payment_intents", sandbox.address()),
            http: crate::harness::client(),
            known: tokio::sync::Mutex::default(),
            answers: Mutex::default(),
        });
        let mut connections = JoinSet::new();
        connections.spawn(async move {
            let mut open = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let state = Arc::clone(&state);
                let service = service_fn(move |request| {
                    let state = Arc::clone(&state);
                    async move { Ok::<_, Infallible>(state.respond(request).await) }
                });
                let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                // A client that leaves ends it with an error, as it may.
                open.spawn(async move { drop(serving.await) });
            }
        });
        Self {
            address,
            _connections: connections,
        }
    }
}

impl State {
    async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        assert_eq!(
            request.method(),
            Method::POST,
            "all its answers are definite"
        );
        let key = request.headers()["idempotency-key"]
            .to_str()
            .unwrap()
            .to_owned();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let wish: Value = serde_json::from_slice(&body).unwrap();
        let mut known = self.known.lock().await;
        if !known.contains_key(&key) {
            let made = self.make(&key, &wish).await;
            known.insert(key.clone(), made);
        }
        let (status, mut payment) = known[&key].clone();
        if self.vice == Vice::AnswersAnew {
            let mut answers = self.answers.lock().unwrap();
            *answers += 1;
            payment["updated_at"] = json!(*answers);
        }
        Response::builder()
            .status(status)
            .body(Full::new(Bytes::from(payment.to_string())))
            .unwrap()
    }

    async fn make(&self, key: &str, wish: &Value) -> (u16, Value) {
        // Before the drill begins, it makes sure that it drills the right one.
        let vice = if key.contains("-well-") {
            Vice::None
        } else {
            self.vice
        };
        let is_declined = wish["payment_method"] == "pm_card_chargeDeclined";
        let charges = match vice {
            Vice::ChargesTwice if !is_declined => 2,
            Vice::NeverCharges => 0,
            Vice::ChargesTheDeclined => 1,
            _ => u32::from(!is_declined),
        };
        for attempt in 0..charges {
            self.charge(&format!("{key}-{attempt}"), wish).await;
        }
        let id = format!("pay_{key}");
        if is_declined {
            (
                402,
                json!({"code": "payment_declined", "payment": {"id": id, "status": "failed"}}),
            )
        } else {
            (201, json!({"id": id, "status": "succeeded"}))
        }
    }

    async fn charge(&self, provider_key: &str, wish: &Value) {
        let charge = [
            ("amount", wish["amount"].to_string()),
            ("currency", "eur".to_owned()),
            ("payment_method", "pm_card_visa".to_owned()),
            ("confirm", "true".to_owned()),
            (
                "metadata[reference]",
                wish["reference"].as_str().unwrap().to_owned(),
            ),
        ];
        let request = self.http.post(&self.provider).bearer_auth("any");
        let request = request
            .header("idempotency-key", provider_key)
            .form(&charge);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    }
}
