//! API keys, looked up by their digest.
//!
//! Look-ups stand before admission, so they have bounds of their own: each key is looked up by one
//! request at a time, however many bring it, and only so many keys at once.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};
use quick_cache::sync::Cache;
use tokio::time::Instant;

use super::problem::Refused;
use crate::{
    actors::Refusal,
    api_key::{self, PlainKey},
    payment::ApiKeyRole,
    store::{ReadError, Store},
};

/// How long a key that was found is believed without asking the store: so long does a revoked key
/// go on working at most.
const BELIEVED_FOR: Duration = Duration::from_secs(5);
/// How long a key that was not found is known to be unknown.
const UNKNOWN_FOR: Duration = Duration::from_secs(1);
const KEYS_KEPT: usize = 10_000;
/// Keys that are looked up in the store at once; with one more, its request is turned away.
const LOOK_UPS_MAX: usize = 32;

type Digest = [u8; 32];
type Found = Result<Option<ApiKeyRole>, ReadError>;
type LookUp = BoxFuture<'static, Found>;

/// The API keys of the store, with those in use kept close at hand.
pub struct ApiKeys {
    store: Arc<dyn Store>,
    found: Cache<Digest, (ApiKeyRole, Instant)>,
    /// Beside those that exist, so that guesses cannot crowd them out.
    unknown: Cache<Digest, Instant>,
    /// The look-ups that somebody waits for.
    under_way: Mutex<HashMap<Digest, WeakShared<LookUp>>>,
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeys").finish_non_exhaustive()
    }
}

impl ApiKeys {
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            found: Cache::new(KEYS_KEPT),
            unknown: Cache::new(KEYS_KEPT),
            under_way: Mutex::default(),
        }
    }

    /// What a key opens; `None` when there is no such key.
    pub(super) async fn role(&self, key: &str) -> Result<Option<ApiKeyRole>, Refused> {
        if PlainKey::parse(key).is_none() {
            return Ok(None);
        }
        let digest = api_key::digest(key);
        let now = Instant::now();
        if let Some((role, until)) = self.found.get(&digest)
            && now < until
        {
            return Ok(Some(role));
        }
        if self.unknown.get(&digest).is_some_and(|until| now < until) {
            return Ok(None);
        }
        let look_up = self.look_up(digest).ok_or(Refusal::Overloaded)?;
        let role = look_up.await?;
        let now = Instant::now();
        match role {
            Some(role) => self.found.insert(digest, (role, now + BELIEVED_FOR)),
            None => {
                self.found.remove(&digest);
                self.unknown.insert(digest, now + UNKNOWN_FOR);
            }
        }
        Ok(role)
    }

    /// The look-up of a key, with everyone who waits for the same one; `None` when too many others
    /// are under way.
    fn look_up(&self, digest: Digest) -> Option<Shared<LookUp>> {
        let mut under_way = (self.under_way.lock()).unwrap_or_else(PoisonError::into_inner);
        if let Some(look_up) = under_way.get(&digest).and_then(WeakShared::upgrade) {
            return Some(look_up);
        }
        // One that ended, or that nobody waits for any more, has no strong reference left.
        under_way.retain(|_, look_up| look_up.upgrade().is_some());
        if under_way.len() >= LOOK_UPS_MAX {
            return None;
        }
        let store = Arc::clone(&self.store);
        let look_up = async move { Ok(store.find_api_key(digest).await?.map(|key| key.role)) };
        let look_up = look_up.boxed().shared();
        under_way.extend(look_up.downgrade().map(|weak| (digest, weak)));
        Some(look_up)
    }
}
