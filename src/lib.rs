#![forbid(unsafe_code)]
pub mod api_key;
pub mod config;
pub mod environment;
pub mod payment;
pub mod provider;
pub mod resilience;
pub mod sandbox;
pub mod store;
