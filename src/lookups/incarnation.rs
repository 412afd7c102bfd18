//! Notices that the database has begun another life, as after a restore: what was kept of the life
//! before is not told any more.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use super::{MemoryLookups, seal::Seal};
use crate::store::{Installation, Store};

/// How often the store is asked. So long at most does a node that was not restarted tell what it
/// knows from before.
const EVERY: Duration = Duration::from_secs(2);

pub(super) async fn follow(
    store: Arc<dyn Store>,
    mut known: Installation,
    memory: Arc<MemoryLookups>,
    seal: watch::Sender<Arc<Seal>>,
) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut forget_again = false;
    loop {
        ticks.tick().await;
        if std::mem::take(&mut forget_again) {
            // What was under way when the other life began may have been kept after it.
            memory.clear();
        }
        match store.installation().await {
            Ok(Some(now)) if now != known => {
                tracing::warn!(
                    before = %known.store_incarnation,
                    now = %now.store_incarnation,
                    "the database has begun another life: answers from before are forgotten"
                );
                seal.send_replace(Arc::new(Seal::of(&now)));
                memory.clear();
                forget_again = true;
                known = now;
            }
            Ok(Some(_)) => {}
            Ok(None) => tracing::warn!("the database has lost its row of `installation`"),
            // Whether the database answers is told by those who need it.
            Err(error) => tracing::debug!(%error, "the incarnation was not read"),
        }
    }
}
