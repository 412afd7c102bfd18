//! The server as a client sees it: payments are asked for, and looked at.

use std::{
    sync::{PoisonError, RwLock},
    time::Duration,
};

use reqwest::{
    Client, RequestBuilder, Response, Url,
    header::{CONTENT_TYPE, RETRY_AFTER},
    redirect, retry,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::{error::DrillError, judge::Fate};

/// How long a client waits for any answer; the longest deadline of a server ends before.
const ANSWER_WITHIN: Duration = Duration::from_secs(40);
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// What a client asks for. The key is the payment's `reference` too, by which the provider's
/// charges are told apart without asking the server.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) key: String,
    pub(super) amount: i64,
    pub(super) payment_method: &'static str,
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    pub(super) retry_after: Option<Duration>,
}

/// No answer came: the request may have arrived or not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut;

/// The way to a server, whose address changes when it is started again.
#[derive(Debug)]
pub(super) struct Api {
    http: Client,
    base: RwLock<Url>,
    key: SecretString,
}

/// An HTTP client that does nothing on its own.
pub(super) fn http_client(base: &Url) -> Result<Client, DrillError> {
    let mut http = Client::builder()
        .http1_only()
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .no_proxy()
        .referer(false)
        .connect_timeout(CONNECT_WITHIN)
        .timeout(ANSWER_WITHIN)
        .tcp_nodelay(true);
    if base.scheme() == "http" {
        // A bare container has no certificates to load, and needs none.
        http = http.tls_certs_only([]);
    }
    http.build().map_err(DrillError::Client)
}

impl Api {
    pub(super) fn new(base: Url, key: SecretString) -> Result<Self, DrillError> {
        Ok(Self {
            http: http_client(&base)?,
            base: RwLock::new(base),
            key,
        })
    }

    pub(super) fn base(&self) -> Url {
        self.base
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The server answers elsewhere from now on.
    pub(super) fn moved_to(&self, base: Url) {
        *self.base.write().unwrap_or_else(PoisonError::into_inner) = base;
    }

    pub(super) async fn pay(&self, wish: &Wish) -> Result<Answer, Cut> {
        let body = json!({
            "amount": wish.amount, "currency": "EUR", "payment_method": wish.payment_method,
            "reference": wish.key,
        });
        let request = self.http.post(self.url("payments", None));
        let request = request
            .header("idempotency-key", &wish.key)
            .header(CONTENT_TYPE, "application/json");
        self.exchange(request.body(body.to_string())).await
    }

    /// How the payment stands, as the server says it; `None` when it cannot be learned now.
    pub(super) async fn fate(&self, key: &str, id: Option<&str>) -> Option<Fate> {
        let url = match id {
            Some(id) => self.url(&format!("payments/{id}"), None),
            None => self.url("payments", Some(("idempotency_key", key))),
        };
        let answer = self.exchange(self.http.get(url)).await.ok()?;
        let json: Value = serde_json::from_slice(&answer.body).ok()?;
        let payment = match (answer.status, id) {
            (200, Some(_)) => &json,
            (200, None) => match json.get("data")?.as_array()?.first() {
                None => return Some(Fate::NotRecorded),
                Some(first) => first,
            },
            (404, Some(_)) => return Some(Fate::NotRecorded),
            _ => return None,
        };
        match payment.get("status")?.as_str()? {
            "succeeded" | "authorized" => Some(Fate::Succeeded),
            "failed" | "canceled" => Some(Fate::Failed),
            "pending" => Some(Fate::Pending),
            _ => None,
        }
    }

    fn url(&self, path: &str, query: Option<(&str, &str)>) -> Url {
        let mut url = self.base();
        let base_path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base_path}/{path}"));
        if let Some((name, value)) = query {
            url.query_pairs_mut().append_pair(name, value);
        }
        url
    }

    async fn exchange(&self, request: RequestBuilder) -> Result<Answer, Cut> {
        let request = request.bearer_auth(self.key.expose_secret());
        let response = request.send().await.map_err(cut)?;
        let (status, retry_after) = (response.status().as_u16(), retry_after(&response));
        let body = response.bytes().await.map_err(cut)?.to_vec();
        Ok(Answer {
            status,
            body,
            retry_after,
        })
    }
}

/// To a client all ways of getting no answer are the same.
fn cut(_: reqwest::Error) -> Cut {
    Cut
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    seconds.parse().ok().map(Duration::from_secs)
}

impl Answer {
    /// The id of the payment that the answer shows, itself or in a problem.
    pub(super) fn payment_id(&self) -> Option<String> {
        let json: Value = serde_json::from_slice(&self.body).ok()?;
        let payment = json.get("payment").unwrap_or(&json);
        Some(payment.get("id")?.as_str()?.to_owned())
    }
}
