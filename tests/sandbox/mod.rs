//! The sandbox over real sockets: its protocol, its idempotency rules, its faults, its truth.

mod faults;
mod harness;
mod idempotency;
mod own_side;
mod payment_methods;
mod payments;
mod protocol;
mod refuse_connection;
