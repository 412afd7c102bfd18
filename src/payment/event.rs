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
    /// Money moved for a payment that had already ended without: a person must look at it.
    StrayCharge { provider_reference: String },
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
            Self::StrayCharge { .. } => "stray_charge",
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
