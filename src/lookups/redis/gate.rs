//! Whether Redis is worth asking.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::super::LookupWatch;
use crate::{
    environment::Environment,
    resilience::{Breaker, BreakerPermit, BreakerSettings, BreakerState, CallResult, Purpose},
};

/// The breaker of Redis, shared by all who ask it.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    breaker: Breaker,
    environment: Environment,
    watch: Arc<dyn LookupWatch>,
}

impl Gate {
    pub(super) fn new(
        settings: BreakerSettings,
        environment: Environment,
        watch: Arc<dyn LookupWatch>,
    ) -> Self {
        watch.breaker(BreakerState::Closed);
        Self {
            breaker: Breaker::new(settings, Instant::now()),
            environment,
            watch,
        }
    }

    /// Leave to ask once, unless the breaker is open.
    pub(super) fn permit(&self, now: Instant) -> Option<Permit> {
        let chance = self.environment.random_fraction();
        let permit = self.breaker.acquire(Purpose::Client, now, chance);
        self.publish();
        Some(Permit {
            permit: permit.ok()?,
            gate: self.clone(),
        })
    }

    fn publish(&self) {
        let transitions = self.breaker.take_transitions();
        for one in &transitions {
            tracing::warn!(
                from = one.from.as_str(),
                to = one.to.as_str(),
                reason = one.reason.as_str(),
                "the breaker of Redis changed; payments do not need it"
            );
        }
        if !transitions.is_empty() {
            self.watch.breaker(self.breaker.state());
        }
    }
}

/// Leave to ask once; dropped, it says nothing.
#[derive(Debug)]
pub(super) struct Permit {
    permit: BreakerPermit,
    gate: Gate,
}

impl Permit {
    /// Redis was asked; `answered` is false after an error or no answer in time.
    pub(super) fn record(self, answered: bool, took: Duration) {
        let result = if answered {
            CallResult::Success
        } else {
            CallResult::Failure
        };
        let chance = self.gate.environment.random_fraction();
        self.permit.record(result, took, Instant::now(), chance);
        self.gate.publish();
    }
}
