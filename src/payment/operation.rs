//! An operation: one request with its idempotency key, the unit of exactly-once.

use std::{fmt, str::FromStr, time::Duration};

use super::{
    Answer, Failure, Fingerprint, IdempotencyKey, MerchantId, Mode, OperationId, Payment,
    PaymentId, RefundId, RequestId, Timestamp,
};

/// What an idempotency key is unique in, and the key itself: one operation, for ever.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    pub merchant_id: MerchantId,
    pub mode: Mode,
    pub key: IdempotencyKey,
}

/// What an operation asks of the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OperationKind {
    Create,
    Capture,
    Cancel,
    Refund,
}

impl OperationKind {
    /// Whether it makes a thing of its own at the provider.
    pub fn makes_an_object(self) -> bool {
        matches!(self, Self::Create | Self::Refund)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Capture => "capture",
            Self::Cancel => "cancel",
            Self::Refund => "refund",
        }
    }
}

impl FromStr for OperationKind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Create, Self::Capture, Self::Cancel, Self::Refund]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or(())
    }
}

/// Who may act on an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OperationState {
    /// A driver holds it by a lease, or held it until the lease ran out.
    Open,
    /// Certainly nothing was sent; only the client's retry takes it up again.
    Released,
    /// The outcome is known and the answer stored.
    Settled,
}

impl OperationState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Released => "pending",
            Self::Settled => "settled",
        }
    }
}

impl FromStr for OperationState {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Open, Self::Released, Self::Settled]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or(())
    }
}

/// A random mark of one driver, so that a repeated `Begin` or take-over knows its own row again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Owner(pub [u8; 16]);

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Owner({:02x?})", self.0)
    }
}

/// Where an operation is sent, and every byte of what is sent: fixed before the first send.
#[derive(Clone, PartialEq, Eq)]
pub struct ProviderRoute {
    /// The provider's name in the configuration.
    pub provider: String,
    /// Hash of base URL, account and mode: the same key at another account would charge again.
    pub account: String,
    pub api_version: String,
    /// The idempotency key at the provider.
    pub key: String,
    /// The exact body of the request.
    pub request: Vec<u8>,
}

/// The body names the customer's means of payment: it is not for a log.
impl fmt::Debug for ProviderRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderRoute")
            .field("provider", &self.provider)
            .field("account", &self.account)
            .field("api_version", &self.api_version)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    pub id: OperationId,
    pub payment_id: PaymentId,
    pub merchant_id: MerchantId,
    pub mode: Mode,
    pub idempotency_key: IdempotencyKey,
    pub kind: OperationKind,
    pub fingerprint: Fingerprint,
    /// The request that began it; its answer carries this id for ever.
    pub request_id: RequestId,
    pub state: OperationState,
    /// The fence: it grows with every change of driver.
    pub epoch: i64,
    pub owner: Owner,
    /// Until when the driver of this epoch holds the operation, by the database's clock.
    pub lease_until: Timestamp,
    pub route: ProviderRoute,
    /// When the first byte may have gone out, by the database's clock; never later than it did.
    pub first_sent_at: Timestamp,
    /// Whether any attempt of any epoch may have acted without our knowing.
    pub in_doubt: bool,
    /// Since when that is so without a break, by the database's clock.
    pub in_doubt_since: Option<Timestamp>,
    /// The latest reason for it, as a stable word.
    pub in_doubt_reason: Option<String>,
    /// What it asks for, in minor units; 0 for a cancel.
    pub amount: i64,
    /// What a capture or refund holds back of the payment until it is settled, in minor units.
    pub amount_reserved: i64,
    /// The provider's id of what the operation made, as soon as it is known: it can be inspected.
    pub provider_reference: Option<String>,
    /// Whether nothing may be sent under its key any more, so that only looking settles it.
    pub resends_barred: bool,
    /// When the provider first knew nothing of it although it would have to.
    pub absent_at: Option<Timestamp>,
    /// Why it was refused, once it is.
    pub failure: Option<Failure>,
    pub answer: Option<Answer>,
    /// The provider's id of a charge that came after the payment had ended without one.
    pub stray_reference: Option<String>,
    /// When that charge was given back.
    pub stray_reversed_at: Option<Timestamp>,
    /// Whether the provider is asked once more although it is settled: an operator said that it was
    /// never carried out, before an absence means that.
    pub look_again: bool,
    /// How often it was recovered without its client.
    pub recovery_tries: i32,
    /// When it is next recovered, or expires if it is released; of a settled one, when what is left to
    /// do for it has its turn.
    pub next_recovery_at: Timestamp,
    pub created_at: Timestamp,
}

/// What a new operation is given; all else follows from its being new.
#[derive(Clone, Debug)]
pub struct Opening {
    pub id: OperationId,
    pub payment_id: PaymentId,
    pub scope: Scope,
    pub kind: OperationKind,
    pub fingerprint: Fingerprint,
    pub request_id: RequestId,
    pub owner: Owner,
    pub route: ProviderRoute,
    /// In minor units; 0 for a cancel.
    pub amount: i64,
    pub created_at: Timestamp,
}

impl Operation {
    /// An operation of the first epoch. The store sets the times of its lease.
    pub fn open(opening: Opening) -> Self {
        Self {
            id: opening.id,
            payment_id: opening.payment_id,
            merchant_id: opening.scope.merchant_id,
            mode: opening.scope.mode,
            idempotency_key: opening.scope.key,
            kind: opening.kind,
            fingerprint: opening.fingerprint,
            request_id: opening.request_id,
            state: OperationState::Open,
            epoch: 1,
            owner: opening.owner,
            lease_until: opening.created_at,
            route: opening.route,
            first_sent_at: opening.created_at,
            in_doubt: false,
            in_doubt_since: None,
            in_doubt_reason: None,
            amount: opening.amount,
            amount_reserved: 0,
            provider_reference: None,
            resends_barred: false,
            absent_at: None,
            failure: None,
            answer: None,
            stray_reference: None,
            stray_reversed_at: None,
            look_again: false,
            recovery_tries: 0,
            next_recovery_at: opening.created_at,
            created_at: opening.created_at,
        }
    }

    /// The id that a refund has as a thing of its own.
    pub fn refund_id(&self) -> RefundId {
        RefundId::from_uuid(self.id.as_uuid())
    }

    /// The provider's id of what it made, if it makes a thing of its own: how that stands is how it
    /// ended. A capture or cancel changes the payment's object, which is there before.
    pub fn own_object(&self) -> Option<&str> {
        self.provider_reference
            .as_deref()
            .filter(|_| self.kind.makes_an_object())
    }

    /// Whether a charge of it waits to be given back.
    pub fn has_stray(&self) -> bool {
        self.stray_reference.is_some() && self.stray_reversed_at.is_none()
    }

    /// Whether there is something left to do for it although it is settled.
    pub fn has_loose_end(&self) -> bool {
        self.state == OperationState::Settled && (self.has_stray() || self.look_again)
    }

    /// Whether nothing is sent for it any more and nothing is known of what it made: its provider's list
    /// has to be read for it, which takes long.
    pub fn can_only_be_found(&self) -> bool {
        self.resends_barred && self.provider_reference.is_none()
    }

    /// Whether a driver still holds the operation, `now` being the database's clock.
    pub fn is_leased(&self, now: Timestamp) -> bool {
        self.state == OperationState::Open && now < self.lease_until
    }
}

/// An intent to be recorded before anything is sent: a new payment and the operation that creates it.
///
/// The store overwrites `lease_until`, `next_recovery_at` and `first_sent_at` of the operation by
/// its own clock, with `lease` from now as the end of the lease.
#[derive(Clone, Debug)]
pub struct NewOperation {
    pub operation: Operation,
    pub payment: Payment,
    pub lease: Duration,
}

/// An operation and its payment as they stand in the store after a write or a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    pub operation: Operation,
    pub payment: Payment,
    /// Whether the write that was asked for is what stands now; always false for a read.
    pub applied: bool,
    /// The store's clock at that moment.
    pub now: Timestamp,
}
