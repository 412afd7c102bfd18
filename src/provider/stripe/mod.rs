//! The adapter to Stripe and to whatever speaks its protocol, our sandbox among them. Start reading
//! at [`StripeProvider`]; what an answer means stands in `answer` and `intent`.
//!
//! It creates and confirms a payment intent in one request, with the merchant's customer away from
//! the screen: a payment that would need the customer is declined.
//!
//! **Invariant:** one call is one attempt; nothing here retries.
//! **Invariant:** neither the secret nor a means of payment gets into an outcome or a `Debug` text.

mod answer;
mod client;
mod currency;
mod intent;
mod request;
mod settings;
mod text;

use std::{fmt, time::Duration};

use futures_util::future::BoxFuture;
use reqwest::{
    Method, Request, RequestBuilder, Url,
    header::{CONTENT_TYPE, HeaderName},
};
use tokio::{runtime::Handle, time::Instant};

use self::{
    answer::Answer,
    client::{Client, NoAnswer},
    intent::{CANCELLATION_REASON, in_doubt, in_doubt_about, is_reference},
};
use super::{
    Call, Draft, Found, InDoubtReason, NotSent, NotSentReason, Outcome, Provider, ProviderProfile,
    SentBetween, Stray,
};
use crate::payment::Payment;

pub use settings::{ABSENCE_WAIT, API_VERSION, KEY_RETENTION, StripeSettings, StripeSettingsError};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// One account at Stripe.
pub struct StripeProvider {
    profile: ProviderProfile,
    client: Client,
    /// `…/v1/payment_intents`
    intents_url: Url,
}

impl StripeProvider {
    /// `runtime` opens and drives every connection: it has to outlive every caller's runtime, and
    /// needs I/O and time enabled.
    ///
    /// # Errors
    /// [`StripeSettingsError`] names the setting that cannot be used.
    pub fn new(settings: StripeSettings, runtime: Handle) -> Result<Self, StripeSettingsError> {
        let base_url = settings.checked_base_url()?;
        let profile = settings.profile(&base_url)?;
        let client = Client::new(&settings, &base_url, runtime)?;
        let mut intents_url = base_url;
        let path = format!(
            "{}/v1/payment_intents",
            intents_url.path().trim_end_matches('/')
        );
        intents_url.set_path(&path);
        Ok(Self {
            profile,
            client,
            intents_url,
        })
    }

    async fn charge(&self, call: &Call) -> Outcome {
        let request = self
            .post(self.intents_url.clone(), &call.key, call.request.clone())
            .header(REQUEST_ID, call.request_id.to_string())
            .build();
        let request = match request {
            Ok(request) => request,
            Err(_) => return withheld("the request cannot be written as HTTP"),
        };
        match self.client.exchange(request).await {
            Ok(answer) => answer::of_charge(&answer, call),
            Err(NoAnswer::NotConnected(detail)) => Outcome::NotSent(NotSent {
                reason: NotSentReason::ConnectFailed,
                detail,
                retry_after: None,
            }),
            Err(no_answer) => {
                let (reason, detail) = no_answer.doubt();
                in_doubt(reason, detail)
            }
        }
    }

    /// Takes up to three exchanges, and together no longer than one attempt may.
    async fn look_up(&self, call: &Call, reference: &str) -> Result<Outcome, NoAnswer> {
        let lookup = Lookup {
            provider: self,
            call,
            reference,
            deadline: Instant::now() + self.profile.attempt_timeout,
        };
        let answer = lookup.get().await?;
        if !answer::awaits_customer(&answer, call, reference) {
            return Ok(answer::of_lookup(&answer, call, reference));
        }
        let canceled = lookup.cancel().await?;
        let outcome = answer::of_lookup(&canceled, call, reference);
        if matches!(outcome, Outcome::Declined(_)) {
            return Ok(outcome);
        }
        // It was not canceled, or not now, or that cannot be read: only its state tells.
        let answer = lookup.get().await?;
        Ok(answer::of_lookup(&answer, call, reference))
    }

    fn post(&self, url: Url, key: &str, body: Vec<u8>) -> RequestBuilder {
        self.client
            .http
            .request(Method::POST, url)
            .header(IDEMPOTENCY_KEY, key)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body)
    }
}

/// One look-up in progress.
struct Lookup<'a> {
    provider: &'a StripeProvider,
    call: &'a Call,
    /// Known to be fit for a path.
    reference: &'a str,
    deadline: Instant,
}

impl Lookup<'_> {
    async fn get(&self) -> Result<Answer, NoAnswer> {
        let http = &self.provider.client.http;
        self.exchange(http.request(Method::GET, self.url(""))).await
    }

    /// The key is derived from the attempt's, so that canceling twice cancels once.
    async fn cancel(&self) -> Result<Answer, NoAnswer> {
        let key = format!("{}_cancel", self.call.key);
        let body = format!("cancellation_reason={CANCELLATION_REASON}");
        let url = self.url("/cancel");
        self.exchange(self.provider.post(url, &key, body.into_bytes()))
            .await
    }

    async fn exchange(&self, request: RequestBuilder) -> Result<Answer, NoAnswer> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(NoAnswer::TimedOut("no time is left".into()));
        }
        let request = self.build(request, left)?;
        self.provider.client.exchange(request).await
    }

    fn build(&self, request: RequestBuilder, left: Duration) -> Result<Request, NoAnswer> {
        request
            .timeout(left)
            .header(REQUEST_ID, self.call.request_id.to_string())
            .build()
            .map_err(|error| NoAnswer::NotConnected(error.without_url().to_string()))
    }

    fn url(&self, action: &str) -> Url {
        let mut url = self.provider.intents_url.clone();
        url.set_path(&format!("{}/{}{action}", url.path(), self.reference));
        url
    }
}

impl Provider for StripeProvider {
    fn profile(&self) -> &ProviderProfile {
        &self.profile
    }

    fn prepare(&self, payment: &Payment, draft: Draft) -> Vec<u8> {
        request::body(payment, draft.operation_id)
    }

    fn send<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Outcome> {
        Box::pin(self.charge(call))
    }

    fn find<'a>(&'a self, _: &'a Call, _: SentBetween) -> BoxFuture<'a, Found> {
        Box::pin(async { Found::Unanswered(withheld("not known yet")) })
    }

    fn reverse<'a>(&'a self, _: &'a Stray) -> BoxFuture<'a, Outcome> {
        Box::pin(async { withheld("not known yet") })
    }

    fn inspect<'a>(&'a self, call: &'a Call, reference: &'a str) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            if !is_reference(reference) {
                return in_doubt(
                    InDoubtReason::Mismatch,
                    "the reference is no id of Stripe's",
                );
            }
            match self.look_up(call, reference).await {
                Ok(outcome) => outcome,
                Err(no_answer) => {
                    let (reason, detail) = no_answer.doubt();
                    in_doubt_about(reason, &format!("look-up: {detail}"), reference)
                }
            }
        })
    }
}

impl NoAnswer {
    /// The exchange as a doubt: of a look-up, not even a refused connection settles anything.
    fn doubt(self) -> (InDoubtReason, String) {
        match self {
            Self::TimedOut(detail) => (InDoubtReason::Timeout, detail),
            Self::NotConnected(detail) | Self::Lost(detail) => {
                (InDoubtReason::ConnectionLost, detail)
            }
            Self::CallLost => (
                InDoubtReason::CallLost,
                "the runtime that drove the call has ended".into(),
            ),
        }
    }
}

fn withheld(detail: &str) -> Outcome {
    Outcome::NotSent(NotSent {
        reason: NotSentReason::Withheld,
        detail: detail.into(),
        retry_after: None,
    })
}

impl fmt::Debug for StripeProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StripeProvider")
            .field("profile", &self.profile)
            .finish_non_exhaustive()
    }
}
