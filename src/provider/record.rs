//! Payments as the provider shows them: for comparing our records, and for rebuilding lost ones.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::payment::{
    Capture, Fingerprint, IdempotencyKey, MerchantId, Mode, OperationId, PaymentId, RequestId,
    Timestamp,
};

/// Who asks: sent along, so that our logs and the provider's can be read together.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub request_id: RequestId,
}

/// A span of the provider's time, both ends included, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub from: Timestamp,
    pub to: Timestamp,
}

/// One payment at the provider. Amounts are in our minor units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The provider's id of it.
    pub reference: String,
    /// By the provider's clock, in whole seconds.
    pub created_at: Timestamp,
    pub state: RecordState,
    pub amount: i64,
    /// ISO 4217, in capitals.
    pub currency: String,
    pub captured: i64,
    pub refunded: i64,
    pub capture: Capture,
    pub description: Option<String>,
    /// Which installation made it; what was made before that was sent along has none.
    pub installation: Option<Uuid>,
    /// Our payment, if it carries our mark; everything else of the account has none.
    pub payment_id: Option<PaymentId>,
    /// Our operation that made it.
    pub operation_id: Option<OperationId>,
    /// What rebuilding our payment takes; payments from before it was sent along have none.
    pub origin: Option<RecordOrigin>,
    /// Our operation that captured what it held.
    pub captured_by: Option<MadeBy>,
}

/// How a payment stands at the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordState {
    /// The money is held.
    Held,
    /// The money has moved, whatever went back since.
    Captured,
    /// The money was held, and the hold was given back.
    Voided,
    /// No money was ever held.
    Refused,
    /// It waits for the customer, or is still carried out.
    Unfinished,
}

/// An operation of ours, as its mark at the provider tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeBy {
    pub operation_id: OperationId,
    pub idempotency_key: IdempotencyKey,
    pub fingerprint: Fingerprint,
}

/// Where a payment came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordOrigin {
    pub merchant_id: MerchantId,
    pub mode: Mode,
    pub made_by: MadeBy,
    pub request: KeptRequest,
}

/// What the client sent that the provider's own fields do not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct KeptRequest {
    /// Not for a log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// One page of a list, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordPage<T = Record> {
    pub records: Vec<T>,
    /// After what the next page begins, if there is one.
    pub next: Option<String>,
}

/// One refund at the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundRecord {
    /// The provider's id of it.
    pub reference: String,
    /// In minor units.
    pub amount: i64,
    /// Which installation made it; what was made before that was sent along has none.
    pub installation: Option<Uuid>,
    /// Our payment that it is of, if it carries our mark.
    pub payment_id: Option<PaymentId>,
    pub made_by: Option<MadeBy>,
}

impl Record {
    /// Whether money is held, may still move, or was kept.
    pub fn keeps_money(&self) -> bool {
        match self.state {
            RecordState::Held | RecordState::Unfinished => true,
            RecordState::Captured => self.captured > self.refunded,
            RecordState::Voided | RecordState::Refused => false,
        }
    }
}

impl RecordState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Captured => "captured",
            Self::Voided => "voided",
            Self::Refused => "refused",
            Self::Unfinished => "unfinished",
        }
    }
}
