//! Finished answers, kept close at hand. Never an authority: losing them costs time and nothing else.
//! Start reading at [`Lookups`]; [`TieredLookups`] is what a server uses: its memory, and behind it
//! Redis, if there is one.
//!
//! **Invariant:** only the answer of a settled operation is put here, after it was committed.
//! **Invariant:** nothing that comes from Redis is believed unless it carries our seal (`seal`).
//! **Invariant:** nothing outside `lookups` names Redis' client.

mod incarnation;
mod memory;
mod redis;
mod seal;
mod tiered;
mod wakes;
mod watch;

use futures_util::future::BoxFuture;

pub use self::redis::{LookupError, RedisSettings, reach};
pub use memory::MemoryLookups;
pub use seal::Refused;
pub use tiered::{TieredLookups, TieredSettings};
pub use wakes::Wakes;
pub use watch::{Found, LookupWatch, Put, Tier, Unwatched};

use crate::payment::{Answer, Fingerprint, Scope};

/// A settled operation's answer, with what its request is recognised by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettledAnswer {
    pub fingerprint: Fingerprint,
    pub answer: Answer,
}

pub trait Lookups: Send + Sync + 'static {
    /// The answer that is at hand. None at hand says nothing about the operation.
    fn get<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Option<SettledAnswer>>;

    /// Keeps an answer that is committed, and wakes who waits for it on other nodes. Never waits:
    /// what does not fit is dropped.
    fn put(&self, scope: Scope, settled: SettledAnswer);

    /// Messages that the operation of `scope` was settled elsewhere: a reason to look into the store
    /// at once, and none to believe anything. None may ever come.
    fn wakes(&self, _scope: &Scope) -> Wakes {
        Wakes::none()
    }
}
