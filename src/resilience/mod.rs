//! When to call, when to try again, and when no longer. Pure: time and chance are passed in.
//!
//! | machine | what it decides |
//! |---|---|
//! | [`Breaker`] | whether the provider is worth asking |
//! | [`Limiter`] | how many calls may be under way |
//! | [`RetryBudget`] | whether a further attempt may be made |
//! | [`Backoff`] | how long to wait before it |
//! | [`Deadline`], [`SendWindow`] | whether there is time for it |
//!
//! **Invariant:** nothing here imports another module of the crate, or does I/O.

mod backoff;
mod breaker;
mod budget;
mod deadline;
mod limiter;
mod purpose;
mod send_window;

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
