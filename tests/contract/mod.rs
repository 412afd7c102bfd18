//! The HTTP contract, as a client meets it.

mod admin;
mod admin_payments;
mod alerts;
mod asking;
mod bounds;
mod captures;
mod errors;
mod listing;
mod operations;
mod payments;
mod refunds;
mod trouble;
mod upgrades;
