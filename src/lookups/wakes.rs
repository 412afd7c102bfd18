//! Who waits here for an operation that another node drives.

use std::{
    collections::HashMap,
    future::pending,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::sync::Notify;

use super::seal::Address;

/// So many messages one waiter heeds: whoever floods us with forged ones gains no more reads than
/// that.
const HEEDED_MAX: u32 = 4;

/// The waiters of this process, by the address of what they wait for.
#[derive(Debug, Default)]
pub(super) struct Waiters(Mutex<HashMap<Address, Weak<Notify>>>);

impl Waiters {
    pub(super) fn join(self: &Arc<Self>, address: Address) -> Wakes {
        let mut waiting = self.lock();
        let entry = waiting.entry(address).or_default();
        let notify = entry.upgrade().unwrap_or_default();
        *entry = Arc::downgrade(&notify);
        Wakes(Some(Waiting {
            waiters: Arc::clone(self),
            address,
            notify,
            heeded: 0,
        }))
    }

    /// Wakes who waits for `address`; false when nobody does.
    pub(super) fn wake(&self, address: &Address) -> bool {
        let awaited = self.lock().get(address).and_then(Weak::upgrade);
        // What comes while the waiter reads the store is kept for it.
        awaited.inspect(|notify| notify.notify_one()).is_some()
    }

    /// A map of weak pointers is whole at any time.
    fn lock(&self) -> MutexGuard<'_, HashMap<Address, Weak<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The messages for one waiter.
#[derive(Debug)]
pub struct Wakes(Option<Waiting>);

#[derive(Debug)]
struct Waiting {
    waiters: Arc<Waiters>,
    address: Address,
    notify: Arc<Notify>,
    heeded: u32,
}

impl Wakes {
    /// No message ever comes.
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// Waits for the next message; for ever after a few, or when none can come.
    pub async fn next(&mut self) {
        match &mut self.0 {
            Some(waiting) if waiting.heeded < HEEDED_MAX => {
                waiting.notify.notified().await;
                waiting.heeded += 1;
            }
            _ => pending().await,
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut waiting = self.waiters.lock();
        if Arc::strong_count(&self.notify) == 1 {
            waiting.remove(&self.address);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_message_wakes_who_waits_for_it_and_nobody_else() {
        let waiters = Arc::new(Waiters::default());
        let (mut ours, mut other) = (waiters.join([1; 32]), waiters.join([2; 32]));
        assert!(ours.next().now_or_never().is_none());

        assert!(waiters.wake(&[1; 32]));
        assert!(!waiters.wake(&[3; 32]));

        assert!(ours.next().now_or_never().is_some());
        assert!(
            ours.next().now_or_never().is_none(),
            "one message, one wake"
        );
        assert!(other.next().now_or_never().is_none());
    }

    #[tokio::test]
    async fn a_flood_wakes_a_few_times_only_and_leaves_nothing_behind() {
        let waiters = Arc::new(Waiters::default());
        let mut ours = waiters.join([1; 32]);
        let mut woken = 0;
        for _ in 0..100 {
            waiters.wake(&[1; 32]);
            woken += u32::from(ours.next().now_or_never().is_some());
        }
        assert_eq!(woken, HEEDED_MAX);

        let twin = waiters.join([1; 32]);
        drop(ours);
        assert!(waiters.wake(&[1; 32]), "the twin waits still");
        drop(twin);
        assert!(!waiters.wake(&[1; 32]));
        assert!(waiters.lock().is_empty());
    }
}
