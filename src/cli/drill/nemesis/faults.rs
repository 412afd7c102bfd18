//! The nemesis: carries the plan out, and mends everything it breaks.

use std::{
    collections::BTreeMap,
    io,
    sync::{Mutex, PoisonError},
};

use futures_util::future::try_join_all;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::{
    super::{error::DrillError, gate::Way, process::Signal},
    Careless,
    plan::{Action, Plan, What},
    world::World,
};
use crate::sandbox::FaultKind;

/// What was gone through, by its kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Survived {
    /// How often it was done.
    pub(super) done: BTreeMap<String, u64>,
    /// How many calls the provider did it to.
    pub(super) struck: BTreeMap<String, u64>,
}

pub(super) struct Nemesis<'a> {
    world: &'a World,
    careless: Option<Careless>,
    /// What the provider does wrong now, by the number of the action.
    faults: tokio::sync::Mutex<BTreeMap<usize, Value>>,
    survived: Mutex<Survived>,
}

/// As slow as a provider that is near: half of all calls take less than the first, one of a hundred
/// more than the second, in milliseconds.
const LATENCY_MS: (u32, u32) = (15, 120);
const ALL_CALLS: [&str; 5] = ["create", "capture", "cancel", "refund", "lookup"];

impl<'a> Nemesis<'a> {
    pub(super) fn of(world: &'a World, careless: Option<Careless>) -> Self {
        Self {
            world,
            careless,
            faults: tokio::sync::Mutex::default(),
            survived: Mutex::default(),
        }
    }

    /// Does everything that is planned. Once it returns, everything was mended.
    pub(super) async fn run(&self, plan: &Plan, start: Instant) -> Result<(), DrillError> {
        self.order(|_| ()).await?;
        let actions = plan.actions.iter().enumerate();
        let possible =
            actions.filter(|(_, action)| self.world.redis.is_some() || !action.what.needs_redis());
        let done = possible.map(|(number, action)| self.act(number, action, start));
        try_join_all(done).await?;
        self.count_strikes().await?;
        self.world.provider.clear_faults().await?;
        Ok(())
    }

    /// What was done so far, and to how many calls.
    pub(super) fn survived(&self) -> Survived {
        self.count().clone()
    }

    async fn act(&self, number: usize, action: &Action, start: Instant) -> Result<(), DrillError> {
        sleep_until(start + action.from).await;
        *self.count().done.entry(action.what.kind()).or_default() += 1;
        let mended = start + action.from + action.lasts;
        let world = self.world;
        match action.what {
            What::KillNodes(nodes) => {
                for node in nodes.each().iter().filter_map(|at| world.nodes.get(*at)) {
                    node.kill().await.map_err(failed("a node", "killed"))?;
                }
                sleep_until(mended).await;
                let nodes = nodes.each().iter().filter_map(|at| world.nodes.get(*at));
                try_join_all(nodes.map(super::node::Node::start)).await?;
            }
            What::StopNodes(nodes) => {
                for signal in [Signal::STOP, Signal::CONT] {
                    for node in nodes.each().iter().filter_map(|at| world.nodes.get(*at)) {
                        let sent = node.signal(signal).await;
                        sent.map_err(failed("a node", "stopped"))?;
                    }
                    sleep_until(mended).await;
                }
            }
            What::KillBalancer => {
                let killed = world.balancer.kill().await;
                killed.map_err(failed("HAProxy", "killed"))?;
                sleep_until(mended).await;
                world.balancer.start_again().await?;
            }
            What::StopBalancer => {
                let stopped = world.balancer.signal(Signal::STOP).await;
                stopped.map_err(failed("HAProxy", "stopped"))?;
                sleep_until(mended).await;
                let goes_on = world.balancer.signal(Signal::CONT).await;
                goes_on.map_err(failed("HAProxy", "continued"))?;
            }
            What::KillDatabase => {
                let mut database = world.database.lock().await;
                database.kill().map_err(failed("PostgreSQL", "killed"))?;
                sleep_until(mended).await;
                database.start_again().await?;
                for node in &world.nodes {
                    node.database.leads_to(database.address());
                }
            }
            What::StopDatabase => {
                let database = world.database.lock().await;
                let stopped = database.signal(Signal::STOP);
                stopped.map_err(failed("PostgreSQL", "stopped"))?;
                sleep_until(mended).await;
                let goes_on = database.signal(Signal::CONT);
                goes_on.map_err(failed("PostgreSQL", "continued"))?;
            }
            What::KillRedis | What::StopRedis | What::FlushRedis => {
                self.redis(action.what, mended).await?;
            }
            What::Link(link, way) => {
                world.set(link, way);
                sleep_until(mended).await;
                world.set(link, Way::Open);
            }
            What::Provider {
                kind,
                percent,
                lookups,
            } => {
                let rule = rule(kind, percent, lookups);
                self.order(|faults| drop(faults.insert(number, rule)))
                    .await?;
                sleep_until(mended).await;
                self.order(|faults| drop(faults.remove(&number))).await?;
            }
        }
        Ok(())
    }

    async fn redis(&self, what: What, mended: Instant) -> Result<(), DrillError> {
        let Some(redis) = &self.world.redis else {
            return Ok(());
        };
        let mut redis = redis.lock().await;
        match what {
            What::KillRedis => {
                redis.kill().map_err(failed("Redis", "killed"))?;
                sleep_until(mended).await;
                redis.start_again().await?;
            }
            What::StopRedis => {
                redis
                    .signal(Signal::STOP)
                    .map_err(failed("Redis", "stopped"))?;
                sleep_until(mended).await;
                redis
                    .signal(Signal::CONT)
                    .map_err(failed("Redis", "continued"))?;
            }
            _ => redis.flush().await,
        }
        Ok(())
    }

    /// Changes what the provider does wrong. A new order begins its counts anew, so they are kept.
    async fn order(
        &self,
        change: impl FnOnce(&mut BTreeMap<usize, Value>),
    ) -> Result<(), DrillError> {
        let mut faults = self.faults.lock().await;
        self.count_strikes().await?;
        change(&mut faults);
        let mut rules: Vec<_> = faults.values().cloned().collect();
        if self.careless == Some(Careless::ForgetfulProvider) {
            rules.push(rule(FaultKind::ForgetKeys, 100, false));
        }
        let (p50, p99) = LATENCY_MS;
        let plan = json!({"latency_ms": {"p50": p50, "p99": p99}, "rules": rules});
        self.world.provider.order(plan.to_string()).await
    }

    async fn count_strikes(&self) -> Result<(), DrillError> {
        let fired = self.world.provider.fired().await?;
        let mut survived = self.count();
        for (kind, times) in fired {
            *survived.struck.entry(kind).or_default() += times;
        }
        Ok(())
    }

    fn count(&self) -> std::sync::MutexGuard<'_, Survived> {
        self.survived.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn rule(kind: FaultKind, percent: u8, lookups: bool) -> Value {
    let mut rule = json!({"kind": kind.name(), "rate": f64::from(percent) / 100.0});
    if lookups && let Some(rule) = rule.as_object_mut() {
        rule.insert("on".to_owned(), json!(ALL_CALLS));
    }
    rule
}

fn failed(what: &'static str, done: &'static str) -> impl FnOnce(io::Error) -> DrillError {
    move |source| DrillError::Nemesis { what, done, source }
}
