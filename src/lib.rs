//! oncepay: a self-hosted payment API that charges a customer once, whatever fails.
//!
//! The floors, from the top; each imports only those below it. `ARCHITECTURE.md` says more.
//!
//! | module | what is there |
//! |---|---|
//! | [`cli`] | the command line: the edge of the process |
//! | [`http`] | the contract: paths, headers, problems |
//! | [`actors`] | who drives a payment, in what order; start at [`actors::Payments`] |
//! | [`telemetry`] | logs and metrics |
//! | [`lookups`], [`config`], [`reconcile`] | finished answers at hand; settings; our records beside the providers' books |
//! | [`provider`], [`store`], [`sandbox`], [`api_key`] | the provider's protocol; SQL; a provider that fails on request; how keys look |
//! | [`environment`] | the wall clock and the random source |
//! | [`payment`], [`resilience`] | the rules, pure; start at [`payment::apply`] |
//!
//! The way of a payment: `http/create_payment.rs`, `actors/payments.rs`, `actors/key_router.rs`,
//! `actors/key.rs`, `actors/drive.rs`, and from there `actors/db.rs` and `actors/provider`.

#![forbid(unsafe_code)]

// So that unit tests can share what the suites have.
#[cfg(test)]
extern crate self as oncepay;

pub mod actors;
pub mod api_key;
pub mod cli;
pub mod config;
pub mod environment;
pub mod http;
pub mod lookups;
pub mod payment;
pub mod provider;
pub mod reconcile;
pub mod resilience;
pub mod sandbox;
pub mod store;
pub mod telemetry;
