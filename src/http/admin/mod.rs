//! What operators ask for, with an admin key.

pub(super) mod events;
pub(super) mod payments;
pub(super) mod providers;
pub(super) mod resolve_payment;
pub(super) mod set_breaker;
mod view;
