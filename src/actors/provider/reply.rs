//! A driver's answer, which cannot be forgotten.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::oneshot;

use crate::provider::{InDoubt, InDoubtReason, NotSent, NotSentReason, Outcome};

/// Whether a byte may have gone to the provider. Set before, read when a job was lost.
#[derive(Clone, Debug, Default)]
pub(super) struct Footprint(Arc<AtomicBool>);

impl Footprint {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Answers the driver of a job exactly once: with its outcome, or, when whoever held it was lost,
/// with what is known then.
#[derive(Debug)]
pub(super) struct Reply {
    driver: Option<oneshot::Sender<Outcome>>,
    in_doubt: bool,
    footprint: Footprint,
}

impl Reply {
    pub(super) fn new(in_doubt: bool) -> (Self, oneshot::Receiver<Outcome>) {
        let (driver, outcome) = oneshot::channel();
        let reply = Self {
            driver: Some(driver),
            in_doubt,
            footprint: Footprint::default(),
        };
        (reply, outcome)
    }

    pub(super) fn footprint(&self) -> Footprint {
        self.footprint.clone()
    }

    pub(super) fn answer(&mut self, outcome: Outcome) {
        if let Some(driver) = self.driver.take() {
            // A driver that no longer listens has left the operation to the next one.
            drop(driver.send(outcome));
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        let outcome = if self.in_doubt || self.footprint.is_set() {
            lost()
        } else {
            Outcome::NotSent(NotSent {
                reason: NotSentReason::Withheld,
                detail: "the call was lost before anything was sent".to_owned(),
                retry_after: None,
            })
        };
        self.answer(outcome);
    }
}

/// A call that may have been made, and of which nothing is known.
pub(super) fn lost() -> Outcome {
    Outcome::InDoubt(InDoubt {
        reason: InDoubtReason::CallLost,
        detail: "the task that called the provider was lost".to_owned(),
        reference: None,
    })
}
