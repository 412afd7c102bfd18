//! The HTTP contract, as a client meets it.

mod admin;
mod alerts;
mod errors;
mod listing;
mod operations;
mod payments;
mod trouble;
