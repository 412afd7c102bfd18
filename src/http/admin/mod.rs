//! What operators ask for, with an admin key.

pub(super) mod events;
pub(super) mod providers;
pub(super) mod set_breaker;
mod view;
