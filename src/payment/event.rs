//! The facts about a payment, in the past tense; they are added and never changed.

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// What happened to a payment. Kept as JSON for ever: variants and fields are only ever added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum PaymentEvent {
    /// The intent is recorded, before anything was sent.
    Created {
        amount: i64,
        currency: String,
        provider: String,
    },
    /// The provider may have acted, and did not say so.
    BecameInDoubt { reason: String },
    /// Certainly nothing was sent; the key waits for the client.
    Released { reason: String },
    /// The client came back for a released payment.
    Resumed {},
    /// The provider holds the money.
    Authorized {
        amount: i64,
        provider_reference: String,
    },
    /// The money has moved.
    Captured {
        amount: i64,
        provider_reference: String,
    },
    /// The provider refused for good.
    Declined { code: String, message: String },
    /// Nobody came back for a released payment in time.
    Expired {},
    /// The client gave up a released payment.
    Canceled {},
    /// The hold was given back.
    Voided {},
    /// Certainly nothing was sent; the next provider was chosen before anything was sent there.
    FailedOver {
        from: String,
        to: String,
        reason: String,
    },
    /// Money moved for a payment that had already ended without: it is given back.
    StrayCharge { provider_reference: String },
    /// A stray charge was given back: voided or refunded.
    StrayChargeReversed {
        provider_reference: String,
        reversed_as: String,
    },
    /// A capture, cancel or refund is recorded, before anything was sent; its amount is held back.
    OperationBegun {
        operation: String,
        kind: String,
        amount: i64,
    },
    /// The provider may have carried the operation out, and did not say so.
    OperationInDoubt { operation: String, reason: String },
    /// Certainly nothing was sent of the operation; its key waits for the client.
    OperationReleased { operation: String, reason: String },
    /// The client came back for a released operation.
    OperationResumed { operation: String },
    /// The operation was refused for good, or its time ran out; its amount is free again.
    OperationFailed {
        operation: String,
        code: String,
        message: String,
    },
    /// Money went back to the customer.
    Refunded {
        refund: String,
        amount: i64,
        provider_reference: String,
    },
    /// The provider carried out what the client had been told was refused: a person must look.
    StrayOperation {
        operation: String,
        provider_reference: String,
    },
    /// What is recorded came from a backup, or from the provider after one was restored: what the
    /// operation did since then is known there alone, and nothing is sent for it any more.
    Restored { operation: String },
    /// An operator settled what was in doubt.
    Resolved {
        operation: String,
        by: String,
        why: String,
    },
}

impl PaymentEvent {
    /// The event's stable name, as it stands in its JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Created { .. } => "created",
            Self::BecameInDoubt { .. } => "became_in_doubt",
            Self::Released { .. } => "released",
            Self::Resumed {} => "resumed",
            Self::Authorized { .. } => "authorized",
            Self::Captured { .. } => "captured",
            Self::Declined { .. } => "declined",
            Self::Expired {} => "expired",
            Self::Canceled {} => "canceled",
            Self::Voided {} => "voided",
            Self::FailedOver { .. } => "failed_over",
            Self::StrayCharge { .. } => "stray_charge",
            Self::StrayChargeReversed { .. } => "stray_charge_reversed",
            Self::OperationBegun { .. } => "operation_begun",
            Self::OperationInDoubt { .. } => "operation_in_doubt",
            Self::OperationReleased { .. } => "operation_released",
            Self::OperationResumed { .. } => "operation_resumed",
            Self::OperationFailed { .. } => "operation_failed",
            Self::Refunded { .. } => "refunded",
            Self::StrayOperation { .. } => "stray_operation",
            Self::Restored { .. } => "restored",
            Self::Resolved { .. } => "resolved",
        }
    }
}

/// An event with its place in the payment's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordedEvent {
    /// 1 for the first event of the payment, without gaps.
    pub seq: i64,
    #[serde(flatten)]
    pub event: PaymentEvent,
    pub created_at: Timestamp,
}
