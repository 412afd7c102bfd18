//! The HTTP side. Start reading at [`routes`]: every path and method, in one table.
//!
//! **Invariant:** the only module that knows actix-web, and no connection to a database or a
//! provider is opened or driven on its workers: they end at shutdown while operations still run.

mod admin;
mod api_keys;
mod auth;
mod body;
mod connection;
mod create_payment;
mod events;
mod fields;
mod follow_ups;
mod get_payment;
mod health;
mod idempotency_key;
mod list_payments;
mod metrics;
mod operate;
mod parameters;
mod prefer;
mod problem;
mod problem_pages;
mod refunds;
mod request_context;
mod routes;
mod server;
mod strict_json;

pub use api_keys::ApiKeys;
pub use server::{HttpDependencies, HttpServerHandle, HttpSettings, start};
