//! The actors under paused time, with a store and a provider that do as they are told.
//!
//! What takes minutes here takes none; what real processes do is shown by the other suites.

mod drives;
mod lease;
mod long_lists;
mod model_store;
mod overload;
mod recovery;
mod scripted_provider;
mod verdicts;
mod world;
