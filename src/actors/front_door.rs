//! The front door of the actors: the gate, what it counts, and how long those whom it turns away are
//! told to wait.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;
use tracing::debug;

use super::Refusal;
use crate::{
    payment::{MerchantId, Mode, Scope},
    resilience::{Admission, AdmissionBounds, AdmissionPermit, NotAdmitted, TurnedAway},
    telemetry::AdmissionMetrics,
};

/// Who shares the house with others. A merchant's tests take no room from its live payments.
type Tenant = (MerchantId, Mode);

/// A request's seat at the place of its operation.
pub(crate) type Seat = AdmissionPermit<Tenant, Scope>;

pub(super) struct FrontDoor {
    gate: Admission<Tenant, Scope>,
    turned_away: Mutex<TurnedAway>,
    opened: Instant,
    metrics: AdmissionMetrics,
}

impl FrontDoor {
    pub(super) fn new(bounds: AdmissionBounds, metrics: AdmissionMetrics) -> Self {
        Self {
            gate: Admission::new(bounds),
            turned_away: Mutex::default(),
            opened: Instant::now(),
            metrics,
        }
    }

    /// Lets a request in, or turns it away at once.
    pub(super) fn admit(&self, scope: &Scope) -> Result<Seat, Refusal> {
        let tenant = (scope.merchant_id, scope.mode);
        match self.gate.admit(tenant, scope.clone()) {
            Ok(seat) => {
                self.turned_away().admitted(self.opened.elapsed());
                Ok(seat)
            }
            Err(reason) => {
                debug!(merchant = %scope.merchant_id, %reason, "turned away");
                self.count(label(reason));
                Err(Refusal::Overloaded)
            }
        }
    }

    /// Counts a request that was let in and whose work then waited too long to be begun.
    pub(super) fn turned_back(&self) {
        self.count("queue");
    }

    fn count(&self, reason: &'static str) {
        self.metrics.refused(reason);
        self.turned_away().refused(self.opened.elapsed());
    }

    /// The seconds over which to spread those who are turned away now.
    pub(super) fn retry_span_s(&self) -> u32 {
        self.turned_away().span_s(self.opened.elapsed())
    }

    pub(super) fn in_flight(&self) -> usize {
        self.gate.in_flight()
    }

    /// Lets nobody in any more.
    pub(super) fn close(&self) {
        self.gate.close();
    }

    fn turned_away(&self) -> MutexGuard<'_, TurnedAway> {
        self.turned_away
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn label(reason: NotAdmitted) -> &'static str {
    match reason {
        NotAdmitted::Full => "full",
        NotAdmitted::Share => "share",
        NotAdmitted::Seats => "seats",
        NotAdmitted::Closed => "closed",
    }
}
