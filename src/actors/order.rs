//! What is asked of the actors, and what they answer.

use std::time::Duration;

use tokio::time::Instant;

use crate::payment::{
    Answer, Canonical, CreatePayment, FollowUp, Inadmissible, Mode, PaymentView, RequestId,
    Resource, Scope,
};

/// One request for an operation, on its way through the actors.
#[derive(Debug)]
pub struct Order {
    pub scope: Scope,
    pub request: Request,
    pub canonical: Canonical,
    pub request_id: RequestId,
    /// When the operation must have an answer, however little that says.
    pub deadline: Instant,
}

#[derive(Debug)]
pub enum Request {
    Create(CreatePayment),
    FollowUp(FollowUp),
}

impl Request {
    pub fn canonical(&self) -> Canonical {
        match self {
            Self::Create(request) => request.canonical(),
            Self::FollowUp(request) => request.canonical(),
        }
    }
}

/// How long a client waits for a definite answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    UntilTheDeadline,
    AtMost(Duration),
}

/// The answer to a request that names an operation.
#[derive(Debug)]
pub enum Reply {
    Settled {
        answer: Answer,
        /// Whether the operation had been begun by another request.
        replayed: bool,
    },
    /// Recorded, and not settled yet.
    Processing(Box<Resource>),
    /// Certainly not carried out: the key may be used again for the same request.
    Pending(Box<PaymentView>),
}

/// Why a request got no answer of an operation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the key belongs to another request")]
    KeyReused,
    /// The payment does not allow the operation.
    #[error(transparent)]
    Inadmissible(Box<Inadmissible>),
    #[error("more work than this server takes")]
    Overloaded,
    #[error("no provider is configured for {0} payments")]
    NoProvider(Mode),
    #[error("the store was not reached")]
    StoreUnavailable,
    #[error("the request may have been recorded")]
    OutcomeUnknown,
    #[error("a defect of this server")]
    Internal,
}
