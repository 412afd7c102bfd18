//! What a payment is and how it may change. Start reading at [`Change`] and [`apply`].
//!
//! Pure: no I/O, no clock, no random source, no framework. A store locks an operation and its
//! payment, asks [`apply`] what a change makes of them, and writes that down.
//!
//! **Invariant:** nothing here imports another module of the crate.
//! **Invariant:** a payment's status changes only through [`PaymentStatus::apply`].

mod answer;
mod card_number;
mod change;
mod event;
mod fingerprint;
mod follow_up;
mod id;
mod idempotency_key;
mod merchant;
mod money;
mod operation;
#[expect(
    clippy::module_inception,
    reason = "the payment itself is one file among its kin"
)]
mod payment;
mod problem;
mod request;
mod settling;
mod status;
mod timestamp;
mod verdict;

pub use answer::{Answer, PaymentView, RefundView, Resource};
pub use card_number::contains_card_number;
pub use change::{Change, Effect, FoundAt, LeftInDoubt, OperationChange, apply};
pub use event::{PaymentEvent, RecordedEvent};
pub use fingerprint::{Canonical, Fingerprint, UnknownFingerprintVersion};
pub use follow_up::{Admitted, Begun, FollowUp, Inadmissible, NewFollowUp, admit};
pub use id::{
    ApiKeyId, Id, IdError, MerchantId, OperationId, PaymentId, Prefix, RefundId, RequestId,
};
pub use idempotency_key::{IdempotencyKey, IdempotencyKeyError};
pub use merchant::{ApiKey, ApiKeyRole, Merchant, Mode};
pub use money::{AMOUNT_MAX, Currency, Money, MoneyError};
pub use operation::{
    NewOperation, Opening, Operation, OperationKind, OperationState, Owner, ProviderRoute, Scope,
    Standing,
};
pub use payment::{Failure, Origin, Payment};
pub use problem::{FieldError, Problem, ProblemCode};
pub use request::{Capture, CreatePayment};
pub use settling::{
    Absence, ProviderTerms, Step, absence_counts_from, absence_is_read_from, judge_absence,
    made_from, made_until, next_step, send_until,
};
pub use status::{IllegalEvent, PaymentStatus};
pub use timestamp::Timestamp;
pub use verdict::{Approval, ApprovedAs, Decline, Stands, Verdict};
