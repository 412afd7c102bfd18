//! The provider that fails on request: a stateful stand-in for Stripe, with ground truth.
//!
//! It speaks the part of Stripe's wire protocol that our adapter uses, so that one adapter serves
//! both. Start reading at [`Sandbox::start`], then `provider::respond`.
//!
//! - **Main port**: `POST /v1/payment_intents` (only with `confirm=true`), `GET`, `capture`,
//!   `cancel`, list and search; `POST /v1/refunds`, `GET` and list. Also the own side, below.
//! - **Own side**, also on the **control port**, which no fault ever closes: `PUT`, `GET`,
//!   `DELETE /sandbox/faults`; `GET /sandbox/charges?idempotency_key=|metadata[..]=`;
//!   `DELETE /sandbox/charges`, which forgets everything but the faults; `GET /sandbox/stats`.
//!
//! What it decides where Stripe's documentation leaves room:
//! - Stored under a key: everything from the moment execution began, which includes declines and
//!   conflicts of state or amount. Not stored: 401, 429, 503, `error_before`, an invalid parameter,
//!   an unknown payment method or object, and what the idempotency layer itself refuses.
//! - A key that is used with other parameters is a mismatch even while its first request runs.
//! - `hang_after` and `reset_after` strike replays too, since it is the wire that fails;
//!   `error_after` and `error_stored` need an execution, and pass over an invalid request.
//! - A key is valid within an account, as at Stripe. Secrets `sandbox_<account>_<anything>` are of that
//!   account; every other secret is an account of its own. What there is, every account sees.
//! - A hang ends after [`SandboxConfig::hang_max`] with the connection closed, without an answer.
//!
//! **Invariant:** nothing here imports another module of this crate.
//! **Invariant:** money moves only in `ledger`, under the one lock in `world`.

mod answer;
mod calls;
mod cancel;
mod capture;
mod commands;
mod control;
mod create;
mod faults;
mod faults_in_force;
mod faults_json;
mod form;
mod ground_truth;
mod idempotency;
mod index;
mod intents;
mod latency;
mod ledger;
mod lookups;
mod metadata;
mod payment_methods;
mod port;
mod provider;
pub(crate) mod random;
mod refunds;
mod routes;
mod search_query;
mod server;
mod stats;
mod ticket;
mod world;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio_util::sync::DropGuard;
use tokio_util::task::TaskTracker;

pub use faults::{CallClass, FaultKind, FaultPlan, FaultRule};
pub use ground_truth::{Charge, ChargeFilter, Charges};
pub use intents::IntentStatus;
pub use latency::{Latency, LatencyError};
pub use stats::Stats;

use port::Port;
use world::World;

/// Everything that the sandbox needs from outside.
#[derive(Clone)]
pub struct SandboxConfig {
    /// Main port; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Control port; `None` is `listen`'s address with the next port (port 0: a free one).
    pub control_listen: Option<SocketAddr>,
    /// The secret that callers must show; `None` accepts any, but one must be there.
    pub secret: Option<SecretString>,
    /// Start of all ids, fault draws and latencies: the same seed repeats a run, ids included.
    pub seed: u64,
    /// The wall clock, in unix microseconds.
    pub now: Arc<dyn Fn() -> i64 + Send + Sync>,
    /// How long an answer is remembered under its key, by `now`; 24 h as at Stripe.
    pub key_retention: Duration,
    /// How long `pm_sandbox_processing` stays in `processing`, by `now`; 1 s.
    pub processing_time: Duration,
    /// How long a hang lasts at most; 60 s.
    pub hang_max: Duration,
}

impl SandboxConfig {
    /// The defaults, listening on `listen` and on the port after it.
    pub fn new(listen: SocketAddr, seed: u64, now: Arc<dyn Fn() -> i64 + Send + Sync>) -> Self {
        Self {
            listen,
            control_listen: None,
            secret: None,
            seed,
            now,
            key_retention: Duration::from_secs(24 * 60 * 60),
            processing_time: Duration::from_secs(1),
            hang_max: Duration::from_secs(60),
        }
    }

    fn control_address(&self) -> SocketAddr {
        self.control_listen.unwrap_or_else(|| {
            let next = if self.listen.port() == 0 {
                0
            } else {
                self.listen.port().wrapping_add(1)
            };
            SocketAddr::new(self.listen.ip(), next)
        })
    }
}

impl fmt::Debug for SandboxConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SandboxConfig")
            .field("listen", &self.listen)
            .field("control_listen", &self.control_listen)
            .field("seed", &self.seed)
            .field("key_retention", &self.key_retention)
            .field("processing_time", &self.processing_time)
            .field("hang_max", &self.hang_max)
            .finish_non_exhaustive()
    }
}

/// Why the sandbox did not start.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The address is taken, or not ours.
    #[error("the sandbox cannot listen on {address}")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// A running sandbox; dropping it stops it.
pub struct Sandbox {
    world: Arc<World>,
    address: SocketAddr,
    control_address: SocketAddr,
    tasks: TaskTracker,
    stop: DropGuard,
}

impl Sandbox {
    /// Listens on both ports and serves them on the current tokio runtime.
    ///
    /// # Errors
    /// [`SandboxError::Listen`] names the address that cannot be had.
    pub async fn start(config: SandboxConfig) -> Result<Self, SandboxError> {
        let take = |address| {
            Port::take(address).map_err(|source| SandboxError::Listen { address, source })
        };
        let (main, main_listener) = take(config.listen)?;
        let (control, control_listener) = take(config.control_address())?;
        let (address, control_address) = (main.address(), control.address());
        let world = Arc::new(World::new(config));
        let tasks = TaskTracker::new();
        tasks.spawn(server::serve_main(
            Arc::clone(&world),
            main,
            main_listener,
            tasks.clone(),
        ));
        tasks.spawn(server::serve_control(
            Arc::clone(&world),
            control_listener,
            tasks.clone(),
        ));
        let stop = world.stopping.clone().drop_guard();
        Ok(Self {
            world,
            address,
            control_address,
            tasks,
            stop,
        })
    }

    /// The main port: the provider's base URL is `http://` and this.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The control port, which answers even while the main port refuses connections.
    pub fn control_address(&self) -> SocketAddr {
        self.control_address
    }

    /// Closes both ports and drops every connection; what was still in latency never executes.
    pub async fn stop(self) {
        let Self { tasks, stop, .. } = self;
        drop(stop);
        tasks.close();
        tasks.wait().await;
    }

    /// Replaces the fault plan, as `PUT /sandbox/faults` does; returns once the port follows it.
    pub async fn set_faults(&self, plan: impl Into<FaultPlan>) {
        control::set_faults(&self.world, plan.into()).await;
    }

    /// Ends all faults and all latency, as `DELETE /sandbox/faults` does.
    pub async fn clear_faults(&self) {
        self.set_faults(FaultPlan::default()).await;
    }

    /// How often each rule of the plan in force has fired, in the order of the rules.
    pub fn faults_fired(&self) -> Vec<u64> {
        let state = self.world.enter();
        let (_, rules) = state.faults.in_force();
        rules.iter().map(|rule| rule.fired).collect()
    }

    /// What moved or holds money, as `GET /sandbox/charges` tells it.
    pub fn charges(&self, filter: &ChargeFilter) -> Charges {
        ground_truth::charges(&self.world.enter().ledger, filter)
    }

    /// The counters, as `GET /sandbox/stats` tells them.
    pub fn stats(&self) -> Stats {
        self.world.enter().stats()
    }

    /// Forgets payments, refunds, keys and counters, as `DELETE /sandbox/charges` does. Faults
    /// stay; what is under way will not act.
    pub fn reset(&self) {
        self.world.enter().reset();
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox")
            .field("address", &self.address)
            .field("control_address", &self.control_address)
            .finish_non_exhaustive()
    }
}
