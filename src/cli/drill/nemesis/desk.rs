//! Where requests are made and written down: every answer of a campaign comes through here.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use reqwest::{
    Client, RequestBuilder, Url,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::{
    super::{api::http_client, error::DrillError},
    history::{Answer, Asked, Came, Entry, Kind, Via},
    settings::ANSWER_WITHIN,
    world::Reach,
};

#[derive(Debug)]
pub(super) struct Desk {
    http: Client,
    pub(super) reach: Reach,
    /// When the campaign began.
    pub(super) start: Instant,
    history: Mutex<Vec<Entry>>,
}

impl Desk {
    pub(super) fn new(reach: Reach, start: Instant) -> Result<Self, DrillError> {
        Ok(Self {
            http: http_client(&reach.balancer)?,
            reach,
            start,
            history: Mutex::default(),
        })
    }

    /// Makes a request, and leaves before the answer if it takes longer than `patience`. Gives what
    /// came, and how long to wait before the next one.
    pub(super) async fn ask(
        &self,
        asked: &Arc<Asked>,
        via: Via,
        patience: Option<Duration>,
    ) -> (Came, Duration) {
        let from = self.start.elapsed();
        let exchange = exchange(self.request(asked, via));
        let (came, again_in) = match patience {
            None => exchange.await,
            Some(patience) => {
                let left = |_elapsed| (Came::Left, Duration::ZERO);
                timeout(patience, exchange).await.unwrap_or_else(left)
            }
        };
        let entry = Entry {
            asked: Arc::clone(asked),
            via,
            from,
            until: self.start.elapsed(),
            came: came.clone(),
        };
        self.locked().push(entry);
        (came, again_in)
    }

    /// Everything so far.
    pub(super) fn history(&self) -> Vec<Entry> {
        self.locked().clone()
    }

    pub(super) fn requests(&self) -> usize {
        self.locked().len()
    }

    /// Reads something of ours, at that base; the error says what came instead.
    pub(super) async fn read(
        &self,
        base: &Url,
        path_and_query: &str,
        key: &SecretString,
    ) -> Result<Value, String> {
        let url = base
            .join(path_and_query)
            .map_err(|error| error.to_string())?;
        let request = self.http.get(url).bearer_auth(key.expose_secret());
        match exchange(request.timeout(ANSWER_WITHIN)).await.0 {
            Came::Answer(answer) if answer.status == 200 => Ok(answer.json()),
            Came::Answer(answer) => Err(answer.status.to_string()),
            Came::Cut | Came::Left => Err("nothing".to_owned()),
        }
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Vec<Entry>> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn request(&self, asked: &Asked, via: Via) -> RequestBuilder {
        let base = match via {
            Via::Balancer => &self.reach.balancer,
            Via::Node(0) => &self.reach.nodes[0],
            Via::Node(_) => &self.reach.nodes[1],
        };
        let mut url = base.clone();
        let id = asked.payment.as_deref().unwrap_or_default();
        url.set_path(&match asked.kind {
            Kind::Create => "payments".to_owned(),
            Kind::Capture => format!("payments/{id}/capture"),
            Kind::Cancel => format!("payments/{id}/cancel"),
            Kind::Refund => format!("payments/{id}/refunds"),
        });
        let body = match asked.kind {
            Kind::Create => Some(json!({
                "amount": asked.amount, "currency": asked.currency, "payment_method": asked.payment_method,
                "reference": asked.key, "capture": if asked.manual { "manual" } else { "automatic" },
            })),
            Kind::Capture | Kind::Refund => Some(json!({"amount": asked.amount})),
            Kind::Cancel => None,
        };
        let request = self.http.post(url).timeout(ANSWER_WITHIN);
        let request = request.header("idempotency-key", &asked.key);
        let request = request.bearer_auth(self.reach.key.expose_secret());
        match body {
            None => request,
            Some(body) => request
                .header(CONTENT_TYPE, "application/json")
                .body(body.to_string()),
        }
    }
}

const REQUEST_TIMEOUT: u16 = 408;

/// To a client all ways of getting no answer are the same.
async fn exchange(request: RequestBuilder) -> (Came, Duration) {
    let cut = (Came::Cut, Duration::ZERO);
    let Ok(response) = request.send().await else {
        return cut;
    };
    let header = |name: &str| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
    let again_in = header(RETRY_AFTER.as_str()).and_then(|seconds| seconds.parse().ok());
    let again_in = again_in.map_or(Duration::ZERO, Duration::from_secs);
    let replayed = header("idempotent-replayed").as_deref() == Some("true");
    let status = response.status().as_u16();
    // Of a server that stood still: it has given up waiting for a request, and has seen none.
    if status == REQUEST_TIMEOUT {
        return cut;
    }
    let Ok(body) = response.text().await else {
        return cut;
    };
    let answer = Answer {
        status,
        replayed,
        body,
    };
    (Came::Answer(answer), again_in)
}
