//! The contract of a store: one suite, which PostgreSQL and SQLite both pass.

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
