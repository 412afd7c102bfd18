//! Look-ups in this process's memory, bounded by bytes.

use std::{fmt, sync::Arc};

use futures_util::future::{BoxFuture, FutureExt, ready};
use quick_cache::{Weighter, sync::Cache};

use super::{Lookups, SettledAnswer};
use crate::payment::Scope;

/// Keeps the answers that were asked for most recently.
pub struct MemoryLookups(Cache<Scope, Arc<SettledAnswer>, ByBytes>);

impl fmt::Debug for MemoryLookups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLookups")
            .field("answers", &self.0.len())
            .finish_non_exhaustive()
    }
}

#[derive(Clone)]
struct ByBytes;

/// What an entry costs beside its texts, in bytes: an estimate of the maps and headers around it.
const OVERHEAD_BYTES: u64 = 256;

impl Weighter<Scope, Arc<SettledAnswer>> for ByBytes {
    fn weight(&self, scope: &Scope, settled: &Arc<SettledAnswer>) -> u64 {
        let location = settled.answer.location.as_ref().map_or(0, String::len);
        let texts = scope.key.as_str().len() + settled.answer.body.len() + location;
        OVERHEAD_BYTES + texts as u64
    }
}

impl MemoryLookups {
    /// Keeps answers of up to `bytes_max` bytes in all.
    pub fn new(bytes_max: u64) -> Self {
        let typical_bytes = OVERHEAD_BYTES + 768;
        let items = usize::try_from(bytes_max / typical_bytes)
            .unwrap_or(usize::MAX)
            .max(1);
        Self(Cache::with_weighter(items, bytes_max, ByBytes))
    }

    pub(super) fn find(&self, scope: &Scope) -> Option<SettledAnswer> {
        let settled = self.0.get(scope)?;
        Some(SettledAnswer::clone(&settled))
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        self.0.clear();
    }
}

impl Lookups for MemoryLookups {
    fn get<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Option<SettledAnswer>> {
        ready(self.find(scope)).boxed()
    }

    fn put(&self, scope: Scope, settled: SettledAnswer) {
        self.0.insert(scope, Arc::new(settled));
    }
}
