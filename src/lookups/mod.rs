//! Finished answers, kept close at hand. Never an authority: losing them costs time and nothing else.
//!
//! **Invariant:** only the answer of a settled operation is put here, after it was committed.

mod memory;

use futures_util::future::BoxFuture;

pub use memory::MemoryLookups;

use crate::payment::{Answer, Fingerprint, Scope};

/// A settled operation's answer, with what its request is recognised by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettledAnswer {
    pub fingerprint: Fingerprint,
    pub answer: Answer,
}

pub trait Lookups: Send + Sync + 'static {
    fn get<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Option<SettledAnswer>>;

    fn put(&self, scope: Scope, settled: SettledAnswer) -> BoxFuture<'_, ()>;
}
