//! The contract of a store: one suite, which PostgreSQL and SQLite both pass.

pub(crate) mod fixture;
pub(crate) mod samples;

mod begin;
mod change;
mod claims;
mod durability;
mod ends;
mod follow_ups;
mod hosts;
mod installation;
mod keys;
mod lease;
mod listing;
mod migrating_beside;
mod migrations;
mod opening;
mod refusals;
mod sick;
mod tls;
mod unreadable;
mod upgrade;
