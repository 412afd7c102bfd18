//! What a provider can be asked, and what we can know of its answer. Start reading at [`Outcome`].
//!
//! **Invariant:** only [`stripe`] knows a provider's protocol.
//! **Invariant:** an answer that is not understood is [`Outcome::InDoubt`], never a guess.

mod key;
mod outcome;
mod record;
pub mod stripe;

use std::{fmt, time::Duration};

use futures_util::future::BoxFuture;
use tokio::time::Instant;

pub use key::provider_key;
pub use outcome::{InDoubt, InDoubtReason, NotSent, NotSentReason, Outcome};
pub use record::{
    Asked, KeptRequest, MadeBy, Record, RecordOrigin, RecordPage, RecordState, RefundRecord, Span,
};

use crate::payment::{
    Capture, Fingerprint, IdempotencyKey, MerchantId, Mode, Money, OperationId, OperationKind,
    Payment, PaymentId, RequestId, Standing, Timestamp,
};

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
    /// How long after that an operation of which it knows nothing counts as never carried out, if it
    /// still knows nothing of it after half as long again.
    pub absence_wait: Duration,
}

impl ProviderProfile {
    pub fn serves(&self, mode: Mode) -> bool {
        self.mode.is_none_or(|served| served == mode)
    }
}

/// What an operation asks for, to be written as a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draft<'a> {
    pub operation_id: OperationId,
    pub kind: OperationKind,
    /// The client's key and what it asked for under it: they go along, so that the operation can be
    /// rebuilt from the provider's object should our row be lost.
    pub idempotency_key: &'a IdempotencyKey,
    pub fingerprint: Fingerprint,
    /// Of the payment for a create or a cancel, else what is to be captured or refunded.
    pub money: Money,
}

/// An operation as its provider gets it. All of it was committed before.
#[derive(Clone)]
pub struct Call {
    pub kind: OperationKind,
    /// The idempotency key at the provider.
    pub key: String,
    /// The version of the protocol that it was first sent under: another would be another request.
    pub api_version: String,
    /// The exact body, as [`Provider::prepare`] made it.
    pub request: Vec<u8>,
    /// The provider's id of the payment that a capture, cancel or refund is about.
    pub target: Option<String>,
    /// What an approval must be for, lest it be another's.
    pub expected: Expected,
    /// Whether no attempt before this one, of any driver, can have reached the provider: only then
    /// does a validation error settle the operation.
    pub first_attempt: bool,
    /// Sent along, so that our logs and the provider's can be read together.
    pub request_id: RequestId,
}

impl Call {
    /// The operation of `standing`, as it is recorded.
    pub fn of(standing: &Standing, request_id: RequestId) -> Self {
        let Standing {
            operation, payment, ..
        } = standing;
        let money = match operation.kind {
            OperationKind::Create | OperationKind::Cancel => payment.money,
            OperationKind::Capture | OperationKind::Refund => payment.money.part(operation.amount),
        };
        Self {
            kind: operation.kind,
            key: operation.route.key.clone(),
            api_version: operation.route.api_version.clone(),
            request: operation.route.request.clone(),
            target: match operation.kind {
                OperationKind::Create => None,
                _ => payment.provider_reference.clone(),
            },
            expected: Expected::of(standing, money),
            first_attempt: !operation.in_doubt,
            request_id,
        }
    }
}

/// The call names the customer's means of payment: it is not for a log.
impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("kind", &self.kind)
            .field("expected", &self.expected)
            .finish_non_exhaustive()
    }
}

/// What the provider's object must show for an approval to be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    pub operation_id: OperationId,
    pub payment_id: PaymentId,
    /// As in the operation's [`Draft`].
    pub money: Money,
    pub capture: Capture,
    pub identity: Identity,
}

/// Who asked for what under which keys. What was made for it carries this, even if a row that was lost
/// since had other ids: a key is one operation's for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub merchant_id: MerchantId,
    pub mode: Mode,
    /// The client's key of the payment.
    pub payment_key: IdempotencyKey,
    /// The client's key of the operation.
    pub key: IdempotencyKey,
    pub fingerprint: Fingerprint,
}

impl Expected {
    /// What the operation of `standing` must show, which is about so much money.
    pub fn of(standing: &Standing, money: Money) -> Self {
        let (operation, payment) = (&standing.operation, &standing.payment);
        Self {
            operation_id: operation.id,
            payment_id: operation.payment_id,
            money,
            capture: payment.capture,
            identity: Identity {
                merchant_id: operation.merchant_id,
                mode: operation.mode,
                payment_key: payment.idempotency_key.clone(),
                key: operation.idempotency_key.clone(),
                fingerprint: operation.fingerprint,
            },
        }
    }
}

/// When an operation can have reached the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentBetween {
    pub first: Timestamp,
    pub last: Timestamp,
}

/// A search for what an operation may have made, and how far it has come: the next question goes on from
/// there, also hours later, and one that failed is asked again. All but the time is the provider's own to
/// read and write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    pub sent: SentBetween,
    /// From when on a reading that shows nothing of the operation is evidence, whoever it was for; none if
    /// only what is read for this search is.
    pub counts_since: Option<Instant>,
    /// How many parts of that time have been read to their end.
    pub parts_read: usize,
    /// Where in the next part it is.
    pub place: Place,
    /// What was met of the operation that something better may still outdo.
    pub met: Vec<Outcome>,
}

/// A place in a list that is read from its newest object to its oldest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The latest second that was not read to its end, if anything was read.
    pub down_to: Option<i64>,
    /// The provider's id of the last object that was read, and the latest second that was asked for with
    /// the objects before it.
    pub after: Option<String>,
    pub asked_to: Option<i64>,
    /// What was read of that second so far: since when, and the digests of its objects.
    pub second_read: Option<(Instant, Vec<u64>)>,
    /// Whether objects came in another order: then nobody else can rely on what was read in part.
    pub is_unordered: bool,
}

impl Search {
    pub fn new(sent: SentBetween, counts_since: Option<Instant>) -> Self {
        Self {
            sent,
            counts_since,
            parts_read: 0,
            place: Place::default(),
            met: Vec::new(),
        }
    }

    /// Whether anything of the operation was met.
    pub fn has_met(&self) -> bool {
        !self.met.is_empty()
    }
}

/// What looking for an operation without knowing its object brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing that settles so far: the next question of the same search goes on from here.
    More,
    /// The provider has it. In doubt, with its reference, if it is not finished.
    There(Outcome),
    /// The provider lists everything of that time, and this is not among it. A fresh operation may
    /// still arrive: only time makes an absence mean something.
    Absent,
    /// No answer, or none that tells: never definite. What was not sent is the question.
    Unanswered(Outcome),
}

/// A charge that nobody wants, to be given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stray {
    /// The provider's id of the charge.
    pub reference: String,
    /// The idempotency key of giving it back.
    pub key: String,
    /// As of the operation that made the charge.
    pub api_version: String,
    pub expected: Expected,
    pub request_id: RequestId,
}

/// A payment provider. Every method tells all there is to know; none retries.
pub trait Provider: Send + Sync + 'static {
    fn profile(&self) -> &ProviderProfile;

    /// The exact body that asks for `draft` of `payment`: pure, so that it can be committed before it
    /// is sent.
    fn prepare(&self, payment: &Payment, draft: Draft<'_>) -> Vec<u8>;

    /// Sends one attempt. An answer that only tells that the object is in another state than the
    /// request needs is followed by a question for that object, within the same time.
    fn send<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Outcome>;

    /// Asks how the object `reference`, made by an earlier attempt of `call`, stands now: a refund
    /// for a refund, the payment for all else. A payment that waits for the customer's action is
    /// canceled, and declined once that is confirmed.
    ///
    /// [`Outcome::NotSent`] is of the question: it did not get through, was refused with our secret,
    /// or was one too many. It says nothing of the operation, and clears no doubt.
    fn inspect<'a>(&'a self, call: &'a Call, reference: &'a str) -> BoxFuture<'a, Outcome>;

    /// Looks for what `call` may have done, by the time it was sent: by a list that shows what was
    /// written before, not by a search that lags; for a capture or cancel by the state of its payment.
    ///
    /// Asks one question of `search`, such as for one page and how the finds on it stand, within the time
    /// of one attempt, and is to be called until it says something else than [`Found::More`]. Asking again
    /// after [`Found::Unanswered`] repeats that question.
    fn find<'a>(&'a self, call: &'a Call, search: &'a mut Search) -> BoxFuture<'a, Found>;

    /// Gives a charge back: voids a hold, refunds what is left of a capture, under a key derived from
    /// the stray's. Approved once nothing is held or kept any more, whoever gave it back. Takes several
    /// exchanges, of which each step has the time of one attempt.
    fn reverse<'a>(&'a self, stray: &'a Stray) -> BoxFuture<'a, Outcome>;
}

/// What a provider has on its books, for whoever compares our records with them or rebuilds ours.
pub trait Books: Provider {
    /// One page of all payments that were made there in a span of time, ours or not, by a list that
    /// shows what was written before. The error says why there is no whole page.
    fn records<'a>(
        &'a self,
        asked: Asked,
        span: Span,
        after: Option<&'a str>,
    ) -> BoxFuture<'a, Result<RecordPage, Outcome>>;

    /// The payment of that id; `None` if the provider says that there is none.
    fn record<'a>(
        &'a self,
        asked: Asked,
        reference: &'a str,
    ) -> BoxFuture<'a, Result<Option<Record>, Outcome>>;

    /// One page of all refunds that were made there in a span of time.
    fn refund_records<'a>(
        &'a self,
        asked: Asked,
        span: Span,
        after: Option<&'a str>,
    ) -> BoxFuture<'a, Result<RecordPage<RefundRecord>, Outcome>>;
}
