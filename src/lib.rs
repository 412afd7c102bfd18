#![forbid(unsafe_code)]
pub mod api_key;
pub mod cli;
pub mod config;
pub mod environment;
pub mod http;
pub mod lookups;
pub mod payment;
pub mod provider;
pub mod resilience;
pub mod sandbox;
pub mod store;
pub mod telemetry;
