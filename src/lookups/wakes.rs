//! Who waits here for an operation that another node drives.

use std::{
    collections::{HashMap, hash_map::Entry},
    future::pending,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::seal::Address;

/// So many messages one waiter heeds: whoever floods us with forged ones gains no more reads than
/// that.
const HEEDED_MAX: u32 = 4;

/// The waiters of this process, by the address of what they wait for.
///
/// **Invariant:** an address is here exactly as long as somebody waits for it.
#[derive(Debug, Default)]
pub(super) struct Waiters(Mutex<HashMap<Address, Awaited>>);

/// Counted under the lock: how many pointers to `notify` there are says nothing of who waits, since a
/// wake holds one for a moment, and so does a waiter that has just left.
#[derive(Debug, Default)]
struct Awaited {
    notify: Arc<Notify>,
    waiters: usize,
}

impl Waiters {
    pub(super) fn join(self: &Arc<Self>, address: Address) -> Wakes {
        let mut all = self.lock();
        let awaited = all.entry(address).or_default();
        awaited.waiters += 1;
        Wakes(Some(Waiting {
            waiters: Arc::clone(self),
            address,
            notify: Arc::clone(&awaited.notify),
            heeded: 0,
        }))
    }

    /// Wakes who waits for `address`; false when nobody does.
    pub(super) fn wake(&self, address: &Address) -> bool {
        let all = self.lock();
        let notify = all.get(address).map(|awaited| Arc::clone(&awaited.notify));
        drop(all);
        // What comes while the waiter reads the store is kept for it.
        notify.inspect(|notify| notify.notify_one()).is_some()
    }

    /// Nothing under the lock panics between two changes that belong together.
    fn lock(&self) -> MutexGuard<'_, HashMap<Address, Awaited>> {
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
        let mut all = self.waiters.lock();
        if let Entry::Occupied(mut awaited) = all.entry(self.address) {
            awaited.get_mut().waiters -= 1;
            if awaited.get().waiters == 0 {
                awaited.remove();
            }
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

    /// A wake that has found its waiter, and a twin that leaves at the same moment, hold on to what is
    /// notified for a little longer than it is awaited.
    #[test]
    fn nothing_is_left_behind_by_who_leaves_beside_a_wake_or_another() {
        let waiters = Arc::new(Waiters::default());
        let (ours, twin) = (waiters.join([1; 32]), waiters.join([1; 32]));
        let held = ours.0.as_ref().map(|waiting| Arc::clone(&waiting.notify));
        drop(ours);
        drop(twin);
        assert!(waiters.lock().is_empty());
        drop(held);
        // Who comes next is awaited anew.
        let next = waiters.join([1; 32]);
        assert!(waiters.wake(&[1; 32]));
        drop(next);
        assert!(waiters.lock().is_empty());
    }
}
