//! The contract of a store: one suite, which PostgreSQL and SQLite both pass.

#![cfg(test)] // So that clippy knows that every function here is a test's.

#[path = "../harness/mod.rs"]
mod harness;

mod fixture;
mod samples;

mod begin;
mod change;
mod durability;
mod keys;
mod listing;
mod migrations;
mod opening;
mod refusals;
mod throughput;
