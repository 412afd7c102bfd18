//! What happens if the downstream service fails?

mod breaker;
