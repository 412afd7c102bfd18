//! The HTTP client: one exchange, and what is known if it fails.
//!
//! **Invariant:** nothing here retries, follows a redirect or uses a proxy that nobody configured.
//! (The connection pool may pass a request to another connection if the one it chose turns out to
//! be closed before anything of the request was written.)
//! **Invariant:** connections are opened and driven on the given runtime only, so that the end of
//! the caller's cuts nothing.

use std::{error::Error, time::Duration};

use reqwest::{
    Request, Response, Url,
    header::{AUTHORIZATION, HeaderMap, RETRY_AFTER},
    redirect, retry,
};
use tokio::runtime::Handle;

use super::{StripeSettings, StripeSettingsError, answer::Answer, text};

/// Longer than any answer that has a meaning here and shows one object: see [`LIST_BYTES_MAX`].
pub(super) const OBJECT_BYTES_MAX: usize = 1024 * 1024;
/// Longer than a page of a hundred payments, other than in extremes. Stripe lets a payment have 50 pairs
/// of metadata with 40 + 500 characters, which it copies to its charge, so that one that is shown with its
/// charge may have 54,000, beside some 10,000 of its own: 6.4 MB a page. In the worst case each character
/// is escaped, to six bytes, so that ten of them may have 4 MB: such a page is asked for in smaller ones.
pub(super) const LIST_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Well below the time after which load balancers close idle connections: a request that meets the
/// close is in doubt.
const IDLE_MAX: Duration = Duration::from_secs(20);
const KEEPALIVE: Duration = Duration::from_secs(15);
/// The longest wait that a provider may ask for.
const RETRY_AFTER_SECONDS_MAX: u64 = 3_600;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// The request is no HTTP, so nothing was sent.
    NotWritten,
    /// No connection came about, so nothing was sent.
    NotConnected(String),
    TimedOut(String),
    /// The connection broke at some time after it stood.
    Lost(String),
    /// The task was lost with its runtime.
    CallLost,
}

pub(super) struct Client {
    pub(super) http: reqwest::Client,
    runtime: Handle,
}

impl Client {
    pub(super) fn new(
        settings: &StripeSettings,
        base_url: &Url,
        runtime: Handle,
    ) -> Result<Self, StripeSettingsError> {
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            return Err(StripeSettingsError::NoCryptoProvider);
        }
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, settings.authorization()?);
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("oncepay/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .http1_only()
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .no_proxy()
            .referer(false)
            .connect_timeout(settings.connect_timeout)
            .timeout(settings.attempt_timeout)
            .pool_idle_timeout(IDLE_MAX)
            .tcp_keepalive(KEEPALIVE)
            .tcp_nodelay(true);
        if base_url.scheme() == "http" {
            // A sandbox in a bare container has no certificates to load, and needs none.
            http = http.tls_certs_only([]);
        }
        Ok(Self {
            http: http.build().map_err(StripeSettingsError::Client)?,
            runtime,
        })
    }

    /// Sends `request` and reads its answer to the end, of at most `bytes_max`. The exchange goes on if
    /// this future is dropped or its runtime ends.
    pub(super) async fn exchange(
        &self,
        request: Request,
        bytes_max: usize,
    ) -> Result<Answer, NoAnswer> {
        let http = self.http.clone();
        let task = self.runtime.spawn(async move {
            let response = http.execute(request).await.map_err(before_the_head)?;
            read(response, bytes_max).await.map_err(after_the_head)
        });
        task.await.unwrap_or(Err(NoAnswer::CallLost))
    }
}

async fn read(mut response: Response, bytes_max: usize) -> Result<Answer, reqwest::Error> {
    let header = |name: &str| response.headers().get(name)?.to_str().ok();
    let mut answer = Answer {
        status: response.status().as_u16(),
        replayed: header("idempotent-replayed") == Some("true"),
        retry_after: header(RETRY_AFTER.as_str())
            .and_then(|seconds| seconds.parse().ok())
            .map(|seconds: u64| Duration::from_secs(seconds.min(RETRY_AFTER_SECONDS_MAX))),
        body: None,
    };
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > bytes_max {
            return Ok(answer);
        }
        body.extend_from_slice(&chunk);
    }
    answer.body = Some(body);
    Ok(answer)
}

/// Only a connection that never stood proves that nothing was sent (rule 4).
fn before_the_head(error: reqwest::Error) -> NoAnswer {
    if error.is_connect() {
        NoAnswer::NotConnected(describe(error))
    } else {
        after_the_head(error)
    }
}

fn after_the_head(error: reqwest::Error) -> NoAnswer {
    if error.is_timeout() {
        NoAnswer::TimedOut(describe(error))
    } else {
        NoAnswer::Lost(describe(error))
    }
}

/// The innermost cause: the outer ones only say that a request failed.
fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut innermost: &dyn Error = &error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    text::sentence(&innermost.to_string(), None).unwrap_or_else(|| "no cause was given".into())
}
