//! When to try again, and when no longer. Pure: time and chance are passed in.
//!
//! **Invariant:** nothing here imports another module of the crate, or does I/O.

mod backoff;
mod send_window;

pub use backoff::Backoff;
pub use send_window::SendWindow;
