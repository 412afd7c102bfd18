//! A provider and a change of its breaker, as JSON.

use serde::Serialize;

use crate::{
    actors::{BreakerEvent, PastTransition, ProviderSnapshot},
    payment::Timestamp,
};

/// A provider: whether it takes payments, and why not.
#[derive(Serialize)]
pub(super) struct ProviderView {
    object: &'static str,
    name: String,
    /// Whether new payments may go to it.
    routed: bool,
    /// Whether a payment would be sent to it now.
    available: bool,
    breaker: BreakerView,
    concurrency: ConcurrencyView,
    retry_budget: RetryBudgetView,
}

#[derive(Serialize)]
struct BreakerView {
    state: &'static str,
    /// When an open breaker lets the next call pass.
    retry_at: Option<Timestamp>,
    /// Shares of the calls in the window, 0 to 1; null while there are too few calls.
    failure_rate: Option<f64>,
    slow_call_rate: Option<f64>,
    window_s: u64,
    calls: u32,
    failed: u32,
    slow: u32,
    /// Calls refused since the last transition.
    not_permitted: u64,
    /// The last ones, the newest first.
    transitions: Vec<TransitionView>,
}

#[derive(Serialize)]
struct ConcurrencyView {
    limit: u32,
    in_flight: u32,
    settling: u32,
}

#[derive(Serialize)]
struct RetryBudgetView {
    /// Retries that could be made now.
    tokens: u64,
}

/// A change of a breaker's state; in a list of one provider's, without its name.
#[derive(Serialize)]
pub(super) struct TransitionView {
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<String>,
    from: &'static str,
    to: &'static str,
    reason: &'static str,
    at: Timestamp,
}

impl ProviderView {
    pub(super) fn of(snapshot: &ProviderSnapshot) -> Self {
        let transitions = snapshot.transitions.iter().rev();
        Self {
            object: "provider",
            name: snapshot.name.clone(),
            routed: snapshot.routed,
            available: snapshot.available,
            breaker: BreakerView {
                state: snapshot.state.as_str(),
                retry_at: snapshot.retry_at,
                failure_rate: snapshot.failure_rate,
                slow_call_rate: snapshot.slow_rate,
                window_s: snapshot.window.as_secs(),
                calls: snapshot.calls,
                failed: snapshot.failed,
                slow: snapshot.slow,
                not_permitted: snapshot.not_permitted,
                transitions: transitions.map(TransitionView::of_the_past).collect(),
            },
            concurrency: ConcurrencyView {
                limit: snapshot.concurrency.limit,
                in_flight: snapshot.concurrency.in_flight,
                settling: snapshot.concurrency.settling,
            },
            retry_budget: RetryBudgetView {
                tokens: snapshot.retry_budget,
            },
        }
    }
}

impl TransitionView {
    fn of_the_past(past: &PastTransition) -> Self {
        Self {
            provider: None,
            from: past.from.as_str(),
            to: past.to.as_str(),
            reason: past.reason.as_str(),
            at: past.at,
        }
    }

    pub(super) fn of(event: &BreakerEvent) -> Self {
        Self {
            provider: Some(event.provider.to_string()),
            from: event.from.as_str(),
            to: event.to.as_str(),
            reason: event.reason.as_str(),
            at: event.at,
        }
    }
}
