//! The end of a campaign: nothing breaks any more. Waits until everything has settled by itself, has
//! everyone ask once more, and reads how everything stands.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{
    super::{error::DrillError, provider::Provider},
    clients::is_over,
    desk::Desk,
    history::{Asked, Kind, Via},
    records, settings,
    truth::{Ours, Payment, Truth},
    world::World,
};

/// Questions at once.
const QUESTIONS: usize = 16;
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// A node that has just come back, or a balancer that has not noticed yet, is asked again.
const READ_TRIES: u32 = 50;
/// How long whoever asks again at the end has for a definite answer.
const REPLAYS_MAX: Duration = Duration::from_secs(30);
const PAGE: usize = 100;

/// Waits until nothing is processing, in doubt or open; gives how long that took, `None` if it was longer
/// than it may be.
pub(super) async fn settle(desk: &Desk, world: &World) -> Result<Option<Duration>, DrillError> {
    let begun = Instant::now();
    let mut settled = None;
    loop {
        let is_open = is_anything_open(desk, world).await?;
        match settled {
            _ if is_open => settled = None,
            None => settled = Some(begun.elapsed()),
            // What is on its way still may arrive, and a driver that died may have begun something.
            Some(_) if begun.elapsed() > settings::LEASE_GONE => return Ok(settled),
            Some(_) => {}
        }
        if begun.elapsed() > settings::SETTLE_MAX {
            return Ok(settled);
        }
        sleep(LOOK_AGAIN).await;
    }
}

async fn is_anything_open(desk: &Desk, world: &World) -> Result<bool, DrillError> {
    let processing = read(desk, Via::Balancer, "payments?status=processing&limit=1").await?;
    if !list(&processing).is_empty() || !in_doubt(desk, Via::Balancer).await?.is_empty() {
        return Ok(true);
    }
    records::is_anything_open(&*world.database.lock().await).await
}

/// Everyone asks once more for what is decided, until the answer is definite: nothing may come of it
/// but its answer. What is pending is left alone, and stays not charged.
pub(super) async fn ask_again(desk: &Desk, ours: &Ours) {
    let until = Instant::now() + REPLAYS_MAX;
    let mut seen = BTreeSet::new();
    let history = desk.history();
    let operations = history.iter().map(|entry| &entry.asked);
    let operations = operations.filter(|asked| seen.insert(asked.key.as_str()));
    let decided = operations.filter(|asked| asked.kind != Kind::Create || is_decided(ours, asked));
    let asking = decided.enumerate().map(|(number, asked)| {
        let ways = [Via::Node(0), Via::Balancer, Via::Node(1)];
        let first = number % ways.len();
        ask_until_over(desk, asked, ways.into_iter().cycle().skip(first), until)
    });
    let asking: Vec<_> = asking.collect();
    stream::iter(asking)
        .for_each_concurrent(QUESTIONS, |asking| asking)
        .await;
}

fn is_decided(ours: &Ours, asked: &Asked) -> bool {
    let payment = ours.payment(&asked.key);
    payment.is_some_and(|payment| !["pending", "processing"].contains(&payment.status.as_str()))
}

async fn ask_until_over(
    desk: &Desk,
    asked: &Arc<Asked>,
    ways: impl Iterator<Item = Via>,
    until: Instant,
) {
    for via in ways {
        let (came, _) = desk.ask(asked, via, None).await;
        if is_over(&came) || Instant::now() >= until {
            return;
        }
        sleep(LOOK_AGAIN).await;
    }
}

/// Our own word, as both nodes give it, and what the database has.
pub(super) async fn ours(desk: &Desk, world: &World) -> Result<Ours, DrillError> {
    let mut ours = Ours::default();
    for operation in records::operations(&*world.database.lock().await).await? {
        let known = ours.operations.entry(operation.key.clone());
        known.or_default().push(operation);
    }
    for via in [Via::Node(0), Via::Node(1)] {
        let mut after = String::new();
        loop {
            let page = read(desk, via, &format!("payments?limit={PAGE}{after}")).await?;
            let payments = list(&page);
            let Some(last) = payments.last().and_then(|last| last.get("id")?.as_str()) else {
                break;
            };
            after = format!("&starting_after={last}");
            for payment in payments {
                let payment: Payment = serde_json::from_value(payment.clone())?;
                let known = ours.payments.entry(payment.idempotency_key.clone());
                let known: &mut Vec<Payment> = known.or_default();
                if !known.contains(&payment) {
                    known.push(payment);
                }
            }
        }
        ours.in_doubt.extend(in_doubt(desk, via).await?);
    }
    ours.in_doubt.sort();
    ours.in_doubt.dedup();
    Ok(ours)
}

/// What the provider holds for everything that was asked, and in all.
pub(super) async fn truth(desk: &Desk, provider: &Provider) -> Result<Truth, DrillError> {
    let history = desk.history();
    let keys: BTreeSet<&str> = history
        .iter()
        .map(|entry| entry.asked.payment_key.as_str())
        .collect();
    let asking = keys.into_iter().map(|key| async move {
        let charges = provider.charges_in_full(key).await?;
        Ok::<_, DrillError>((key.to_owned(), charges))
    });
    let asking: Vec<_> = asking.collect();
    let charges: BTreeMap<_, _> = stream::iter(asking)
        .buffered(QUESTIONS)
        .try_filter(|(_, charges)| std::future::ready(!charges.is_empty()))
        .try_collect()
        .await?;
    Ok(Truth {
        charges,
        in_all: provider.totals().await?,
    })
}

async fn in_doubt(desk: &Desk, via: Via) -> Result<Vec<String>, DrillError> {
    let doubts = read(
        desk,
        via,
        &format!("admin/payments?in_doubt=true&limit={PAGE}"),
    )
    .await?;
    let named = list(&doubts).iter().map(|doubt| {
        let text = |pointer: &str| {
            let value = doubt.pointer(pointer).and_then(Value::as_str);
            value.unwrap_or("?").to_owned()
        };
        let (kind, reason) = (text("/operation/kind"), text("/operation/reason"));
        format!("{kind} of {}: {reason}", text("/payment/idempotency_key"))
    });
    Ok(named.collect())
}

async fn read(desk: &Desk, via: Via, what: &str) -> Result<Value, DrillError> {
    let base = match via {
        Via::Balancer => &desk.reach.balancer,
        Via::Node(0) => &desk.reach.nodes[0],
        Via::Node(_) => &desk.reach.nodes[1],
    };
    let is_admins = what.starts_with("admin/");
    let key = if is_admins {
        &desk.reach.admin_key
    } else {
        &desk.reach.key
    };
    let mut status = String::new();
    for _ in 0..READ_TRIES {
        match desk.read(base, what, key).await {
            Ok(value) => return Ok(value),
            Err(came) => status = came,
        }
        sleep(LOOK_AGAIN).await;
    }
    let url = base.to_string();
    Err(DrillError::NotListed { url, status })
}

fn list(page: &Value) -> &[Value] {
    let data = page.get("data").and_then(Value::as_array);
    data.map_or(&[], Vec::as_slice)
}
