//! The sandbox over real sockets: its protocol, its idempotency rules, its faults, its truth.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "clippy knows test functions, but not the helpers beside them"
)]

mod faults;
mod harness;
mod idempotency;
mod own_side;
mod payment_methods;
mod payments;
mod protocol;
mod refuse_connection;
