//! Every suite. Those that are named after a question answer it with real processes.

mod simulation;
