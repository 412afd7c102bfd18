//! What happens if retries overload the system?

mod clients;
mod fairness;
mod goodput;
mod storm;

use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};

use crate::harness::Knobs;

/// A server that takes twenty operations, of which one merchant alone gets sixteen.
fn small_house() -> Knobs {
    Knobs(vec![("ONCEPAY_LIMITS__IN_FLIGHT_MAX", "20".into())])
}

/// Stories that measure, and those that load the machine, are told one after another.
async fn one_at_a_time() -> MutexGuard<'static, ()> {
    static MACHINE: Mutex<()> = Mutex::const_new(());
    MACHINE.lock().await
}

const ONE_MERCHANTS_SHARE: usize = 16;

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
