//! Who is let in, when to call, when to try again, and when no longer. Pure: time and chance are
//! passed in.
//!
//! | machine | what it decides |
//! |---|---|
//! | [`Admission`] | whether there is room for an operation |
//! | [`TurnedAway`] | when those without room may come again |
//! | [`Breaker`] | whether the provider is worth asking |
//! | [`Limiter`] | how many calls may be under way |
//! | [`RetryBudget`] | whether a further attempt may be made |
//! | [`Backoff`] | how long to wait before it |
//! | [`Deadline`], [`SendWindow`] | whether there is time for it |
//!
//! **Invariant:** nothing here imports another module of the crate, or does I/O.

mod admission;
mod backoff;
mod breaker;
mod budget;
mod deadline;
mod limiter;
mod purpose;
mod send_window;
mod turned_away;

pub use admission::{Admission, AdmissionBounds, AdmissionPermit, NotAdmitted};
pub use backoff::Backoff;
pub use breaker::{
    Breaker, BreakerPermit, BreakerSettings, BreakerSnapshot, BreakerState, CallResult,
    NotPermitted, OperatorSwitch, Transition, TransitionReason,
};
pub use budget::{BudgetSettings, RetryBudget};
pub use deadline::Deadline;
pub use limiter::{Limiter, LimiterPermit, LimiterSettings, LimiterSnapshot};
pub use purpose::Purpose;
pub use send_window::SendWindow;
pub use turned_away::{TurnedAway, spread_s};
