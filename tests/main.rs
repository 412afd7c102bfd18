//! Every suite. Those that are named after a question answer it with real processes.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "clippy knows test functions, but not the helpers beside them"
)]

mod cli;
mod house;
mod sandbox;
mod simulation;
