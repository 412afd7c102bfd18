//! The right to execute under an idempotency key.

use std::sync::Arc;

use super::answer::Answer;
use super::idempotency::ScopedKey;
use super::world::{State, World};

/// Keeps a key running for as long as it lives. However it ends (settled, or dropped because the
/// caller left a hanging request), the key ends with it.
///
/// **Invariant:** it is never dropped inside the lock; there it is given to [`Ticket::settle`].
pub(super) struct Ticket {
    world: Arc<World>,
    epoch: u64,
    key: Option<ScopedKey>,
    answer: Option<Answer>,
}

impl Ticket {
    /// For a key that was just begun in `epoch`.
    pub(super) fn new(world: Arc<World>, epoch: u64, key: ScopedKey) -> Self {
        Self {
            world,
            epoch,
            key: Some(key),
            answer: None,
        }
    }

    /// Ends the key at once, from inside the lock: done with an answer, unused without.
    pub(super) fn settle(mut self, state: &mut State, answer: Option<Answer>) {
        if let Some(key) = self.key.take() {
            state.end_key(&key, self.epoch, answer);
        }
    }

    /// Leaves the key running, to be done with `answer` (or unused) once the ticket is dropped.
    pub(super) fn withhold(mut self, answer: Option<Answer>) -> Self {
        self.answer = answer;
        self
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.world
                .enter()
                .end_key(&key, self.epoch, self.answer.take());
        }
    }
}
