//! One row: faults begin, clients pay, faults end, everything settles, and the provider is asked.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{
    error::DrillError,
    gate::Way,
    judge::{Finding, judge, strays},
    ledger::Ledger,
    provider::Provider,
    scenario::{CLOSED_FOR, Disturbance, FAULTS_LAST_MAX, KillMoment, Scenario},
    stage::{Phase, Stage},
    throw_away::ThrowAway,
    traffic::{Ended, Plan},
    world::World,
};

/// How much is asked of a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) payments: u32,
    pub(super) clients: u32,
    /// How long payments that their clients have given up may take to settle.
    pub(super) settle_max: Duration,
}

/// What became of a row.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) scenario: &'static Scenario,
    pub(super) result: RowResult,
}

#[derive(Debug)]
pub(super) enum RowResult {
    Skipped(&'static str),
    Run(Box<Run>),
}

#[derive(Debug, Default)]
pub(super) struct Run {
    pub(super) ledger: Ledger,
    /// How often the fault has struck; `None` where there is none.
    pub(super) struck: Option<u64>,
    /// From the end of the faults until the last payment was decided.
    pub(super) settled: Option<Duration>,
    /// Empty is `once`.
    pub(super) findings: Vec<Finding>,
}

/// How long the clients of a row go on.
const TRAFFIC_MAX: Duration = Duration::from_secs(45);
/// How long those who ask again later have.
const REPLAYS_MAX: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Runs one row. The fault is over and counted when it returns.
pub(super) async fn run_row(
    world: &mut World,
    scenario: &'static Scenario,
    size: Size,
    stage: &Stage,
) -> Result<Row, DrillError> {
    let row = |result| Row { scenario, result };
    if let Some(reason) = world.lacks(scenario) {
        return Ok(row(RowResult::Skipped(reason)));
    }
    stage.enters(Phase::Waiting);
    if let Err(why) = world.well().await {
        return Ok(row(RowResult::Run(Box::new(Run {
            findings: vec![Finding::NotWell(why)],
            ..Run::default()
        }))));
    }
    let (mut ledger, trouble) = break_and_pay(world, scenario, size, stage).await?;
    stage.enters(Phase::Settling);
    ledger.settle(&world.api, size.settle_max).await;
    let settled = ledger.settled_after(trouble.over);
    stage.enters(Phase::Replaying);
    ask_again(world, &mut ledger, size).await?;
    stage.enters(Phase::Counting);
    ledger.count(&world.provider).await?;
    let findings = judge(&ledger.cases, trouble.struck);
    Ok(row(RowResult::Run(Box::new(Run {
        ledger,
        struck: trouble.struck,
        settled,
        findings,
    }))))
}

async fn break_and_pay(
    world: &mut World,
    scenario: &Scenario,
    size: Size,
    stage: &Stage,
) -> Result<(Ledger, Trouble), DrillError> {
    let prefix = format!("{}-{}", world.run, scenario.name);
    let (payments, clients) = (size.payments as usize, size.clients as usize);
    let plan = Plan::new(scenario.crowd, &prefix, payments, clients);
    let (ended, all_paid) = (Arc::new(Ended::default()), CancellationToken::new());
    stage.begins_paying(plan.len(), Arc::clone(&ended));
    let (provider, faults) = (&world.provider, &scenario.faults);
    provider.set_faults(faults, world.spared()).await?;
    let (api, environment) = (Arc::clone(&world.api), world.environment.clone());
    let paying = async {
        let until = Instant::now() + TRAFFIC_MAX;
        let visits = plan.run(&api, &environment, until, &ended).await;
        all_paid.cancel();
        visits
    };
    let (visits, trouble) = tokio::join!(paying, make_trouble(world, scenario, &all_paid));
    Ok((Ledger::of(visits?), trouble?))
}

/// What went wrong on purpose, once it is over.
struct Trouble {
    struck: Option<u64>,
    over: Instant,
}

/// Lets the faults last and does what the row does beside them, then ends all of it.
async fn make_trouble(
    world: &mut World,
    scenario: &Scenario,
    all_paid: &CancellationToken,
) -> Result<Trouble, DrillError> {
    let mut times_made = None;
    match scenario.disturbance {
        Disturbance::KillServer { times, moment } => {
            times_made = Some(kill_server(world, times, moment, all_paid).await?);
        }
        Disturbance::Database { times, way } => {
            times_made = Some(close_the_way(world, times, way, all_paid).await?);
        }
        Disturbance::Redis { ways } => {
            times_made = Some(take_redis_away(world, ways, all_paid).await?);
        }
        Disturbance::None => {
            tokio::select! {
                () = sleep(FAULTS_LAST_MAX) => {}
                () = all_paid.cancelled() => {}
            }
        }
    }
    let strikes = world.provider.clear_faults().await?;
    let has_faults = !scenario.faults.rules.is_empty();
    Ok(Trouble {
        struck: times_made.or(has_faults.then_some(strikes)),
        over: Instant::now(),
    })
}

/// Kills the server while calls are under way, and starts another; gives how often it did.
async fn kill_server(
    world: &mut World,
    times: u32,
    moment: KillMoment,
    all_paid: &CancellationToken,
) -> Result<u64, DrillError> {
    let mut kills = 0;
    while kills < times.into() && are_under_way(world, moment, all_paid).await? {
        let Some(own) = &mut world.own else { break };
        let at = own.replace_server().await?;
        world.api.moved_to(at);
        kills += 1;
    }
    Ok(kills)
}

/// Closes the way to the database while calls are under way, so that intents and outcomes meet it;
/// gives how often it did.
async fn close_the_way(
    world: &World,
    times: u32,
    way: Way,
    all_paid: &CancellationToken,
) -> Result<u64, DrillError> {
    let mut closings = 0;
    let gate = world.own.as_ref().and_then(ThrowAway::gate);
    let moment = KillMoment::BeforeTheCharge;
    while closings < times.into() && are_under_way(world, moment, all_paid).await? {
        let Some(gate) = gate else { break };
        gate.set(way);
        sleep(CLOSED_FOR).await;
        gate.set(Way::Open);
        closings += 1;
    }
    Ok(closings)
}

/// Empties Redis and closes the way to it while calls are under way, so that their outcomes meet it;
/// gives how often it did.
async fn take_redis_away(
    world: &World,
    ways: &[Way],
    all_paid: &CancellationToken,
) -> Result<u64, DrillError> {
    let mut times = 0;
    let moment = KillMoment::BeforeTheCharge;
    for way in ways {
        if !are_under_way(world, moment, all_paid).await? {
            break;
        }
        let Some((redis, gate)) = world.own.as_ref().and_then(ThrowAway::redis) else {
            break;
        };
        gate.set(*way);
        redis.flush().await;
        sleep(CLOSED_FOR).await;
        gate.set(Way::Open);
        times += 1;
    }
    Ok(times)
}

/// Waits until it is the moment; false when nobody pays any more.
async fn are_under_way(
    world: &World,
    moment: KillMoment,
    all_paid: &CancellationToken,
) -> Result<bool, DrillError> {
    let before = progress(&world.provider, moment).await?;
    let more = async {
        // Two, so that one of them is seldom answered already.
        while progress(&world.provider, moment).await? < before + 2 {
            sleep(LOOK_AGAIN).await;
        }
        Ok::<_, DrillError>(true)
    };
    tokio::select! {
        more = more => more,
        () = all_paid.cancelled() => Ok(false),
    }
}

/// What grows while calls are under way in which it is the moment.
async fn progress(provider: &Provider, moment: KillMoment) -> Result<u64, DrillError> {
    match moment {
        KillMoment::BeforeTheCharge => provider.payments_asked().await,
        KillMoment::AfterTheCharge => provider.charges_in_all().await,
    }
}

/// Every payment that is decided is asked for once more: nothing may come of it but its answer.
async fn ask_again(world: &World, ledger: &mut Ledger, size: Size) -> Result<(), DrillError> {
    let plan = Plan::again(ledger.decided(), size.clients as usize);
    let (until, unwatched) = (Instant::now() + REPLAYS_MAX, Arc::new(Ended::default()));
    let visits = plan.run(&world.api, &world.environment, until, &unwatched);
    ledger.replayed(visits.await?);
    Ok(())
}

/// Counts all payments of all rows once more, and whatever else was charged: what comes late is
/// found here.
pub(super) async fn last_count(
    world: &World,
    rows: &mut [Row],
) -> Result<Vec<Finding>, DrillError> {
    for row in rows.iter_mut() {
        let RowResult::Run(run) = &mut row.result else {
            continue;
        };
        let counted = run.ledger.charges();
        run.ledger.count(&world.provider).await?;
        if run.ledger.charges() > counted {
            let late = (run.ledger.charges() - counted) as u64;
            run.findings = judge(&run.ledger.cases, run.struck);
            run.findings.push(Finding::ChargedLate { count: late });
        }
    }
    let in_all = world.charges_of_the_drill().await?;
    let runs = rows.iter().filter_map(|row| match &row.result {
        RowResult::Run(run) => Some(run),
        RowResult::Skipped(_) => None,
    });
    Ok(strays(runs.flat_map(|run| &run.ledger.cases), in_all))
}
