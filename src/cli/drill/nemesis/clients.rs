//! The clients: each works through payments of its own, one after the other, as good and as bad as
//! clients are. Start reading at [`Client::run`].

use std::{sync::Arc, time::Duration};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{
    super::error::DrillError,
    desk::Desk,
    history::{Answer, Asked, Came, Kind, Via},
};
use crate::{resilience::Backoff, sandbox::random::Random};

/// How a client pursues what it wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// Comes back until the answer is definite.
    Steady,
    /// Asks both nodes at once, and then as the steady one.
    Twice,
    /// Leaves in the middle of the first request, and then as the steady one.
    Leaving,
    /// Asks once, and never comes back.
    Once,
    /// Gives up soon, and comes back much later with the same key.
    Later,
}

struct Client {
    desk: Arc<Desk>,
    run: String,
    number: u32,
    until: Instant,
    chance: Random,
    forks: u64,
    /// What it comes back for, and when.
    later: Vec<(Instant, Arc<Asked>)>,
}

/// Between two tries, if the server does not ask for more.
const AGAIN: Backoff = Backoff {
    base: Duration::from_millis(80),
    cap: Duration::from_secs(1),
};
/// A server that asks for a longer wait is asked sooner.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(2);
/// After so long a client gives up.
const PATIENCE: Duration = Duration::from_secs(25);
/// Who leaves, does so within about the time that a payment takes.
const LEAVES_WITHIN_MS: u64 = 80;
const THINKS_MS: (u64, u64) = (10, 250);
const COMES_BACK_MS: (u64, u64) = (1_500, 12_000);
const LATER_AFTER_TRIES: u32 = 2;

const APPROVED: &str = "pm_card_visa";
const DECLINED: [&str; 2] = [
    "pm_card_chargeDeclined",
    "pm_card_chargeDeclinedInsufficientFunds",
];
/// The least amount; the rest of it tells whose payment it is.
const AMOUNT_MIN: i64 = 1_000;
const CLIENTS_MAX: i64 = 1_000;

/// Lets `clients` clients go until it is `until`.
pub(super) async fn run(
    desk: &Arc<Desk>,
    run: &str,
    seed: u64,
    clients: u32,
    until: Instant,
) -> Result<(), DrillError> {
    let mut all = JoinSet::new();
    for number in 0..clients {
        let client = Client {
            desk: Arc::clone(desk),
            run: run.to_owned(),
            number,
            until,
            chance: stream(seed, number, 0),
            forks: 0,
            later: Vec::new(),
        };
        all.spawn(client.run(seed));
    }
    while let Some(ended) = all.join_next().await {
        ended?;
    }
    Ok(())
}

fn stream(seed: u64, client: u32, fork: u64) -> Random {
    Random::stream(seed ^ (u64::from(client) + 1), 1_000 + fork)
}

impl Client {
    async fn run(mut self, seed: u64) {
        let mut payments = 0;
        while Instant::now() < self.until {
            let due = self.later.iter().position(|(at, _)| *at <= Instant::now());
            if let Some((_, asked)) = due.map(|at| self.later.swap_remove(at)) {
                self.pursue(&asked, Manner::Steady, seed).await;
            } else {
                payments += 1;
                self.pay(payments, seed).await;
            }
            let thinks = self.chance.between(THINKS_MS.0, THINKS_MS.1);
            sleep(Duration::from_millis(thinks)).await;
        }
    }

    /// One payment, and what may follow it.
    async fn pay(&mut self, payment: i64, seed: u64) {
        let key = format!("{}-{}-{payment}", self.run, self.number);
        let payment_method = match self.chance.between(0, 9) {
            at @ 0..=1 => DECLINED.get(usize::try_from(at).unwrap_or(0)),
            _ => None,
        };
        let asked = Arc::new(Asked {
            kind: Kind::Create,
            amount: AMOUNT_MIN + payment * CLIENTS_MAX + i64::from(self.number),
            currency: currency(payment + i64::from(self.number)),
            payment_key: key.clone(),
            key,
            payment: None,
            manual: self.chance.between(0, 3) == 0,
            payment_method: payment_method.copied().unwrap_or(APPROVED),
        });
        let manner = match self.chance.between(0, 99) {
            0..=44 => Manner::Steady,
            45..=64 => Manner::Twice,
            65..=79 => Manner::Leaving,
            80..=87 => Manner::Once,
            _ => Manner::Later,
        };
        let Some(answer) = self.pursue(&asked, manner, seed).await else {
            return;
        };
        if self.chance.between(0, 6) == 0 {
            // Nothing but the same answer may come of it.
            let via = via(&mut self.chance, self.number);
            drop(self.desk.ask(&asked, via, None).await);
        }
        let payment = answer.payment().filter(|_| answer.status == 201);
        let field = |name: &str| Some(payment.as_ref()?.get(name)?.as_str()?.to_owned());
        let (Some(id), Some(status)) = (field("id"), field("status")) else {
            return;
        };
        match status.as_str() {
            "succeeded" => self.give_back(&asked, &id, seed).await,
            "authorized" => self.take_or_let_go(&asked, &id, seed).await,
            _ => {}
        }
    }

    /// Refunds a part, or tries to refund more than there is, at once.
    async fn give_back(&mut self, of: &Asked, id: &str, seed: u64) {
        let refund = |name: &str, amount| follow_up(of, id, Kind::Refund, name, amount);
        match self.chance.between(0, 9) {
            0..=2 => {
                let part = refund("refund", of.amount / 3);
                self.pursue(&part, Manner::Steady, seed).await;
            }
            3 => {
                let most = of.amount * 2 / 3;
                let (one, other) = (refund("refund-a", most), refund("refund-b", most));
                self.both(&one, &other, seed).await;
            }
            4 => {
                let all = refund("refund", of.amount);
                self.pursue(&all, Manner::Twice, seed).await;
            }
            _ => {}
        }
    }

    /// Captures or cancels what is held, or both at once.
    async fn take_or_let_go(&mut self, of: &Asked, id: &str, seed: u64) {
        let capture = |amount| follow_up(of, id, Kind::Capture, "capture", amount);
        let cancel = follow_up(of, id, Kind::Cancel, "cancel", 0);
        match self.chance.between(0, 9) {
            0..=2 => drop(self.pursue(&capture(of.amount), Manner::Steady, seed).await),
            3..=4 => drop(
                self.pursue(&capture(of.amount / 2), Manner::Twice, seed)
                    .await,
            ),
            5..=6 => drop(self.pursue(&cancel, Manner::Steady, seed).await),
            7..=8 => self.both(&capture(of.amount), &cancel, seed).await,
            _ => {}
        }
    }

    async fn both(&mut self, one: &Arc<Asked>, other: &Arc<Asked>, seed: u64) {
        let (mut left, mut right) = (self.fork(seed), self.fork(seed));
        let number = self.number;
        tokio::join!(
            pursue(
                &self.desk,
                &mut left,
                number,
                one,
                Manner::Steady,
                self.until
            ),
            pursue(
                &self.desk,
                &mut right,
                number,
                other,
                Manner::Steady,
                self.until
            ),
        );
    }

    async fn pursue(&mut self, asked: &Arc<Asked>, manner: Manner, seed: u64) -> Option<Answer> {
        let mut chance = self.fork(seed);
        let until = self.until;
        let ended = pursue(&self.desk, &mut chance, self.number, asked, manner, until).await;
        if ended.is_none() && manner == Manner::Later {
            let comes_back = self.chance.between(COMES_BACK_MS.0, COMES_BACK_MS.1);
            let at = Instant::now() + Duration::from_millis(comes_back);
            self.later.push((at, Arc::clone(asked)));
        }
        ended
    }

    fn fork(&mut self, seed: u64) -> Random {
        self.forks += 1;
        stream(seed, self.number, self.forks)
    }
}

/// Asks until there is a definite answer, and gives it.
async fn pursue(
    desk: &Desk,
    chance: &mut Random,
    number: u32,
    asked: &Arc<Asked>,
    manner: Manner,
    until: Instant,
) -> Option<Answer> {
    let until = until.min(Instant::now() + PATIENCE);
    if manner == Manner::Leaving {
        let patience = Duration::from_millis(chance.between(0, LEAVES_WITHIN_MS));
        drop(desk.ask(asked, via(chance, number), Some(patience)).await);
    }
    let mut tries = 0;
    loop {
        let (came, again_in) = if manner == Manner::Twice && tries == 0 {
            let (one, other) = tokio::join!(
                desk.ask(asked, Via::Node(0), None),
                desk.ask(asked, Via::Node(1), None)
            );
            if is_over(&one.0) { one } else { other }
        } else {
            desk.ask(asked, via(chance, number), None).await
        };
        tries += 1;
        if is_over(&came) {
            return match came {
                Came::Answer(answer) if answer.is_definite() => Some(answer),
                _ => None,
            };
        }
        let wait = AGAIN.wait(tries, chance.unit());
        let wait = wait.max(again_in.min(RETRY_AFTER_MAX));
        let gives_up =
            manner == Manner::Once || manner == Manner::Later && tries >= LATER_AFTER_TRIES;
        if gives_up || Instant::now() + wait >= until {
            return None;
        }
        sleep(wait).await;
    }
}

/// Whether asking again would change nothing.
pub(super) fn is_over(came: &Came) -> bool {
    let Came::Answer(answer) = came else {
        return false;
    };
    match answer.status {
        202 | 429 | 500..=599 => false,
        409 => answer.code().as_deref() != Some("operation_in_progress"),
        _ => true,
    }
}

/// Most go through the load balancer; every fourth client knows the nodes, and only them.
fn via(chance: &mut Random, number: u32) -> Via {
    let at = usize::try_from(chance.between(0, 1)).unwrap_or(0);
    if number.is_multiple_of(4) || chance.between(0, 9) < 2 {
        Via::Node(at)
    } else {
        Via::Balancer
    }
}

/// Of the payment with that number: one with decimals, mostly, or one without.
fn currency(number: i64) -> &'static str {
    match number % 4 {
        0 => "JPY",
        1 => "USD",
        _ => "EUR",
    }
}

fn follow_up(of: &Asked, id: &str, kind: Kind, name: &str, amount: i64) -> Arc<Asked> {
    Arc::new(Asked {
        key: format!("{}-{name}", of.key),
        kind,
        amount,
        payment: Some(id.to_owned()),
        ..of.clone()
    })
}
