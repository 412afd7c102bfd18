//! Exchanges that share one time limit and go out under one version of the protocol.

use reqwest::{
    Method, RequestBuilder,
    header::{CONTENT_TYPE, HeaderName},
};
use tokio::time::Instant;

use super::{
    StripeProvider,
    answer::Answer,
    client::{LIST_BYTES_MAX, NoAnswer, OBJECT_BYTES_MAX},
    verdicts,
};
use crate::{
    payment::RequestId,
    provider::{InDoubt, InDoubtReason, NotSentReason, Outcome},
};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const STRIPE_VERSION: HeaderName = HeaderName::from_static("stripe-version");

pub(super) struct Exchanges<'a> {
    provider: &'a StripeProvider,
    api_version: &'a str,
    request_id: RequestId,
    deadline: Instant,
}

impl<'a> Exchanges<'a> {
    /// Together they take no longer than one attempt may.
    pub(super) fn begin(
        provider: &'a StripeProvider,
        api_version: &'a str,
        request_id: RequestId,
    ) -> Self {
        Self {
            provider,
            api_version,
            request_id,
            deadline: Instant::now() + provider.profile.attempt_timeout,
        }
    }

    /// `path` is what follows `/v1/`, of parts that are fit for a path.
    pub(super) async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Answer, NoAnswer> {
        self.read(path, query, OBJECT_BYTES_MAX).await
    }

    /// As [`Self::get`], for a page of many objects.
    pub(super) async fn list(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Answer, NoAnswer> {
        self.read(path, query, LIST_BYTES_MAX).await
    }

    async fn read(
        &self,
        path: &str,
        query: &[(&str, &str)],
        bytes_max: usize,
    ) -> Result<Answer, NoAnswer> {
        let mut url = self.provider.url(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let http = &self.provider.client.http;
        self.exchange(http.request(Method::GET, url), bytes_max)
            .await
    }

    pub(super) async fn post(
        &self,
        path: &str,
        key: &str,
        body: Vec<u8>,
    ) -> Result<Answer, NoAnswer> {
        let http = &self.provider.client.http;
        let request = http
            .request(Method::POST, self.provider.url(path))
            .header(IDEMPOTENCY_KEY, key)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body);
        self.exchange(request, OBJECT_BYTES_MAX).await
    }

    async fn exchange(
        &self,
        request: RequestBuilder,
        bytes_max: usize,
    ) -> Result<Answer, NoAnswer> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(NoAnswer::TimedOut("no time is left".into()));
        }
        let request = request
            .timeout(left)
            .header(STRIPE_VERSION, self.api_version)
            .header(REQUEST_ID, self.request_id.to_string())
            .build()
            .map_err(|_error| NoAnswer::NotWritten)?;
        self.provider.client.exchange(request, bytes_max).await
    }
}

impl NoAnswer {
    /// What is known of the exchange; `what` says which it was, if it was not the attempt itself.
    pub(super) fn outcome(self, reference: Option<&str>, what: &str) -> Outcome {
        let told = |detail: String| match what {
            "" => detail,
            what => format!("{what}: {detail}"),
        };
        let (reason, detail) = match self {
            Self::NotWritten => {
                return verdicts::withheld(&told("it cannot be written as HTTP".into()));
            }
            Self::NotConnected(detail) => {
                return verdicts::not_sent(NotSentReason::ConnectFailed, told(detail));
            }
            Self::TimedOut(detail) => (InDoubtReason::Timeout, detail),
            Self::Lost(detail) => (InDoubtReason::ConnectionLost, detail),
            Self::CallLost => (
                InDoubtReason::CallLost,
                "the runtime that drove the call has ended".into(),
            ),
        };
        Outcome::InDoubt(InDoubt {
            reason,
            detail: told(detail),
            reference: reference.map(str::to_owned),
        })
    }
}
