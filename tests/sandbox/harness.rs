//! A sandbox of its own for each test, under a clock that only the test moves.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use oncepay::sandbox::{ChargeFilter, Sandbox, SandboxConfig};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use tokio::task::JoinHandle;

/// Long enough for the slowest machine; a condition that holds ends the wait at once.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Bed {
    pub(crate) sandbox: Sandbox,
    pub(crate) http: Client,
    clock_us: Arc<AtomicI64>,
}

/// What came back.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) replayed: bool,
    pub(crate) request_id: String,
}

impl Reply {
    pub(crate) fn id(&self) -> &str {
        self.body["id"].as_str().expect("an object with an id")
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.body);
        self
    }

    #[track_caller]
    pub(crate) fn expect_error(self, status: u16, code: &str) -> Self {
        let reply = self.expect(status);
        assert_eq!(reply.body["error"]["code"], code, "{}", reply.body);
        reply
    }
}

pub(crate) type Form<'a> = &'a [(&'a str, &'a str)];

/// A charge of 42.00 EUR.
pub(crate) const CHARGE: Form<'static> = &[
    ("amount", "4200"),
    ("currency", "eur"),
    ("payment_method", "pm_card_visa"),
    ("confirm", "true"),
    ("error_on_requires_action", "true"),
];

/// `CHARGE` with these parameters in place of, or beside, its own.
pub(crate) fn charge_with<'a>(changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let is_kept = |name: &str| !changes.iter().any(|(changed, _)| *changed == name);
    let kept = CHARGE.iter().copied().filter(|(name, _)| is_kept(name));
    kept.chain(changes.iter().copied()).collect()
}

impl Bed {
    pub(crate) async fn new() -> Self {
        Self::with(|_| ()).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut SandboxConfig)) -> Self {
        // Installed by whichever test is first; the others find it there.
        drop(rustls::crypto::ring::default_provider().install_default());
        let clock_us = Arc::new(AtomicI64::new(1_700_000_000_000_000));
        let clock = Arc::clone(&clock_us);
        let now = Arc::new(move || clock.load(Ordering::Relaxed));
        let mut config = SandboxConfig::new(SocketAddr::from(([127, 0, 0, 1], 0)), 17, now);
        change(&mut config);
        let sandbox = Sandbox::start(config).await.expect("free ports");
        let http = Client::builder()
            .no_proxy()
            .timeout(PATIENCE)
            .build()
            .expect("a client");
        Self {
            sandbox,
            http,
            clock_us,
        }
    }

    pub(crate) fn pass(&self, time: Duration) {
        let time_us = i64::try_from(time.as_micros()).expect("a short time");
        self.clock_us.fetch_add(time_us, Ordering::Relaxed);
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("http://{}{path}", self.sandbox.address()))
    }

    pub(crate) fn posting(&self, path: &str, form: Form<'_>, key: Option<&str>) -> RequestBuilder {
        let request = self
            .request(Method::POST, path)
            .bearer_auth("sk_test")
            .form(form);
        match key {
            Some(key) => request.header("Idempotency-Key", key),
            None => request,
        }
    }

    pub(crate) async fn post(&self, path: &str, form: Form<'_>, key: Option<&str>) -> Reply {
        send(self.posting(path, form, key))
            .await
            .expect("an answer")
    }

    pub(crate) async fn charge(&self, key: &str) -> Reply {
        self.post("/v1/payment_intents", CHARGE, Some(key)).await
    }

    pub(crate) async fn try_charge(&self, key: &str) -> Result<Reply, reqwest::Error> {
        send(self.posting("/v1/payment_intents", CHARGE, Some(key))).await
    }

    /// Starts a charge; aborting the task is a caller that leaves.
    pub(crate) fn spawn_charge(&self, key: &str) -> JoinHandle<Result<Reply, reqwest::Error>> {
        tokio::spawn(send(self.posting("/v1/payment_intents", CHARGE, Some(key))))
    }

    /// A payment with `capture_method=manual`.
    pub(crate) async fn hold(&self) -> Reply {
        let form = charge_with(&[("capture_method", "manual")]);
        self.post("/v1/payment_intents", &form, None)
            .await
            .expect(200)
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        send(self.request(Method::GET, path).bearer_auth("sk_test"))
            .await
            .expect("an answer")
    }

    pub(crate) async fn own_side(&self, method: Method, path: &str, body: &str) -> Reply {
        send(self.request(method, path).body(body.to_owned()))
            .await
            .expect("an answer")
    }

    /// How many charges there are under `key`.
    pub(crate) fn charged(&self, key: &str) -> u64 {
        self.sandbox
            .charges(&ChargeFilter::idempotency_key(key))
            .count
    }
}

pub(crate) async fn send(request: RequestBuilder) -> Result<Reply, reqwest::Error> {
    let response = request.send().await?;
    let header = |name: &str| {
        let value = response.headers().get(name);
        value.map(|value| value.to_str().expect("visible ASCII").to_owned())
    };
    let replayed = header("Idempotent-Replayed").as_deref() == Some("true");
    let request_id = header("Request-Id").expect("every answer has a Request-Id");
    let status = response.status().as_u16();
    let body = serde_json::from_str(&response.text().await?).expect("every answer is JSON");
    Ok(Reply {
        status,
        body,
        replayed,
        request_id,
    })
}

/// Waits until `condition` holds, and fails the test if it never does.
#[track_caller]
pub(crate) fn eventually(condition: impl AsyncFn() -> bool) -> impl Future<Output = ()> {
    let place = std::panic::Location::caller();
    async move {
        let poll = async {
            while !condition().await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let held = tokio::time::timeout(PATIENCE, poll).await;
        assert!(held.is_ok(), "the condition at {place} never held");
    }
}

/// The system's own reason behind an error, if there is one.
pub(crate) fn io_kind(error: &reqwest::Error) -> Option<io::ErrorKind> {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        source = cause.source();
    }
    None
}
