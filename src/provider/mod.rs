//! What a provider can be asked, and what we can know of its answer. Start reading at [`Outcome`].
//!
//! **Invariant:** only [`stripe`] knows a provider's protocol.
//! **Invariant:** an answer that is not understood is [`Outcome::InDoubt`], never a guess.

mod key;
mod outcome;
pub mod stripe;

use std::{fmt, time::Duration};

use futures_util::future::BoxFuture;

pub use key::provider_key;
pub use outcome::{InDoubt, InDoubtReason, NotSent, NotSentReason, Outcome};

use crate::payment::{Mode, Money, OperationId, Payment, PaymentId, RequestId};

/// What never changes about a provider while the program runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderProfile {
    /// Its name in the configuration, and in every payment it took.
    pub name: String,
    /// Hash of base URL, account and mode: where its idempotency keys are valid.
    pub account: String,
    pub api_version: String,
    /// The one mode it serves; `None` for a sandbox, where either is play money.
    pub mode: Option<Mode>,
    /// How long one attempt may take from its first byte to the end of the answer.
    pub attempt_timeout: Duration,
    /// How long the provider is sure to remember an idempotency key.
    pub key_retention: Duration,
}

impl ProviderProfile {
    pub fn serves(&self, mode: Mode) -> bool {
        self.mode.is_none_or(|served| served == mode)
    }
}

/// One attempt to authorize (and perhaps capture) a payment. All of it was committed before.
#[derive(Clone)]
pub struct AuthorizeCall {
    /// The idempotency key at the provider.
    pub key: String,
    /// The exact body, as [`Provider::prepare`] made it.
    pub request: Vec<u8>,
    /// What an approval must be for, lest it be another's.
    pub expected: Expected,
    /// Whether no attempt before this one, of any driver, can have reached the provider: only then
    /// does a validation error settle the operation.
    pub first_attempt: bool,
    /// Sent along, so that our logs and the provider's can be read together.
    pub request_id: RequestId,
}

/// The call names the customer's means of payment: it is not for a log.
impl fmt::Debug for AuthorizeCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizeCall")
            .field("expected", &self.expected)
            .finish_non_exhaustive()
    }
}

/// What the provider's object must show for an approval to be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    pub operation_id: OperationId,
    pub payment_id: PaymentId,
    pub money: Money,
}

/// A payment provider. Every method tells all there is to know; none retries.
pub trait Provider: Send + Sync + 'static {
    fn profile(&self) -> &ProviderProfile;

    /// The exact body that authorizes `payment`: pure, so that it can be committed before it is sent.
    fn prepare(&self, payment: &Payment, operation_id: OperationId) -> Vec<u8>;

    /// Sends one attempt.
    fn authorize<'a>(&'a self, call: &'a AuthorizeCall) -> BoxFuture<'a, Outcome>;

    /// Asks how the provider's object `reference`, made by an earlier attempt of `call`, stands now.
    /// One that waits for the customer's action is canceled, and declined once that is confirmed.
    fn inspect<'a>(&'a self, call: &'a AuthorizeCall, reference: &'a str)
    -> BoxFuture<'a, Outcome>;
}
