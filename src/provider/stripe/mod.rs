//! The adapter to Stripe and to whatever speaks its protocol, our sandbox among them. Start reading
//! at [`StripeProvider`]; what an answer means stands in `answer`, and beside each object.
//!
//! It creates and confirms a payment intent in one request, with the merchant's customer away from
//! the screen: a payment that would need the customer is declined.
//!
//! **Invariant:** one call is one attempt; nothing here retries.
//! **Invariant:** neither the secret nor a means of payment gets into an outcome or a `Debug` text.

mod answer;
mod attempt;
mod client;
mod currency;
mod error;
mod exchange;
mod find_create;
mod intent;
mod list;
mod lookup;
mod marks;
mod readings;
mod records;
mod refund;
mod request;
mod reverse;
mod settings;
mod text;
mod verdicts;

use std::fmt;

use futures_util::future::BoxFuture;
use reqwest::Url;
use tokio::runtime::Handle;
use uuid::Uuid;

use self::{client::Client, readings::Readings};
use super::{
    Asked, Books, Call, Draft, Found, Outcome, Provider, ProviderProfile, Record, RecordPage,
    RefundRecord, Search, Span, Stray,
};
use crate::payment::Payment;

pub use settings::{ABSENCE_WAIT, API_VERSION, KEY_RETENTION, StripeSettings, StripeSettingsError};

/// One account at Stripe.
pub struct StripeProvider {
    profile: ProviderProfile,
    client: Client,
    /// `…/v1`
    api_url: Url,
    installation: Option<Uuid>,
    readings: Readings,
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
        let mut api_url = base_url;
        let path = format!("{}/v1", api_url.path().trim_end_matches('/'));
        api_url.set_path(&path);
        Ok(Self {
            profile,
            client,
            api_url,
            installation: settings.installation,
            readings: Readings::default(),
        })
    }

    /// `path` is what follows `/v1/`, of parts that are fit for a path.
    fn url(&self, path: &str) -> Url {
        let mut url = self.api_url.clone();
        url.set_path(&format!("{}/{path}", url.path()));
        url
    }
}

impl Provider for StripeProvider {
    fn profile(&self) -> &ProviderProfile {
        &self.profile
    }

    fn prepare(&self, payment: &Payment, draft: Draft<'_>) -> Vec<u8> {
        request::body(payment, draft, self.installation)
    }

    fn send<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Outcome> {
        Box::pin(self.attempt(call))
    }

    fn inspect<'a>(&'a self, call: &'a Call, reference: &'a str) -> BoxFuture<'a, Outcome> {
        Box::pin(self.look_up(call, reference))
    }

    fn find<'a>(&'a self, call: &'a Call, search: &'a mut Search) -> BoxFuture<'a, Found> {
        Box::pin(self.find_by(call, search))
    }

    fn reverse<'a>(&'a self, stray: &'a Stray) -> BoxFuture<'a, Outcome> {
        Box::pin(self.give_back(stray))
    }
}

impl Books for StripeProvider {
    fn records<'a>(
        &'a self,
        asked: Asked,
        span: Span,
        after: Option<&'a str>,
    ) -> BoxFuture<'a, Result<RecordPage, Outcome>> {
        Box::pin(self.record_page(asked, span, after))
    }

    fn record<'a>(
        &'a self,
        asked: Asked,
        reference: &'a str,
    ) -> BoxFuture<'a, Result<Option<Record>, Outcome>> {
        Box::pin(self.one_record(asked, reference))
    }

    fn refund_records<'a>(
        &'a self,
        asked: Asked,
        span: Span,
        after: Option<&'a str>,
    ) -> BoxFuture<'a, Result<RecordPage<RefundRecord>, Outcome>> {
        Box::pin(self.refund_page(asked, span, after))
    }
}

impl fmt::Debug for StripeProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StripeProvider")
            .field("profile", &self.profile)
            .finish_non_exhaustive()
    }
}
