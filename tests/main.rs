//! Every suite. Those that are named after a question answer it with real processes.

#![cfg(test)] // So that clippy knows that every function here is a test's.

mod campaign;
mod cli;
mod cluster;
mod contract;
mod crash;
mod database_fails;
mod downstream_fails;
mod drill;
mod fence;
mod harness;
mod house;
mod model;
mod mutations;
mod overload;
mod reconcile;
mod redis;
mod response_lost;
mod restores;
mod sandbox;
mod simulation;
mod store;
mod stripe;
mod twice;
