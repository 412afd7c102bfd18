//! The payments of one row: what clients have seen of each, how it ended, what was charged for it.

use std::{collections::BTreeMap, time::Duration};

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::{Instant, sleep};

use super::{
    api::{Api, Wish},
    error::DrillError,
    judge::{Case, Definite, Fate},
    provider::Provider,
    visit::{Came, Visit},
};

#[derive(Debug, Default)]
pub(super) struct Ledger {
    payments: BTreeMap<String, Entry>,
    /// What the requests came to, replays left out.
    pub(super) came: BTreeMap<Came, u64>,
    pub(super) cases: Vec<Case>,
}

#[derive(Debug)]
struct Entry {
    wish: Wish,
    definite: Vec<Definite>,
    payment_id: Option<String>,
    fate: Option<Fate>,
    /// When a client or we got to know of it.
    decided: Option<Instant>,
}

const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// A request that a client has left may arrive a little later.
const RECORDED_WITHIN: Duration = Duration::from_secs(2);
/// Questions to the server or the sandbox at once.
const QUESTIONS: usize = 16;

impl Ledger {
    pub(super) fn of(visits: Vec<Visit>) -> Self {
        let mut this = Self::default();
        for visit in visits {
            for (came, count) in visit.came {
                *this.came.entry(came).or_default() += count;
            }
            let entry = this
                .payments
                .entry(visit.wish.key.clone())
                .or_insert_with(|| Entry {
                    wish: visit.wish,
                    definite: Vec::new(),
                    payment_id: None,
                    fate: None,
                    decided: None,
                });
            if let Some(first) = visit.definite.first() {
                entry.fate = Some(fate_of(first.status));
                entry.decided = entry.decided.max(Some(visit.ended));
            }
            entry.definite.extend(visit.definite);
            entry.payment_id = visit.payment_id.or(entry.payment_id.take());
        }
        this
    }

    pub(super) fn len(&self) -> usize {
        self.payments.len()
    }

    /// How many are not known to be decided.
    fn open(&self) -> impl Iterator<Item = &Entry> {
        let entries = self.payments.values();
        entries.filter(|entry| entry.fate.is_none())
    }

    /// Only looks, and never asks again, until the server has settled every payment by itself, or
    /// for `at_most`.
    pub(super) async fn settle(&mut self, api: &Api, at_most: Duration) {
        let started = Instant::now();
        while self.open().next().is_some() {
            let looks = self.open().map(|entry| {
                let (key, id) = (entry.wish.key.clone(), entry.payment_id.clone());
                async move {
                    let fate = api.fate(&key, id.as_deref()).await;
                    (key, fate, Instant::now())
                }
            });
            let looks: Vec<_> = looks.collect();
            let seen: Vec<_> = stream::iter(looks)
                .buffer_unordered(QUESTIONS)
                .collect()
                .await;
            for (key, fate, at) in seen {
                let may_still_come =
                    fate == Some(Fate::NotRecorded) && at < started + RECORDED_WITHIN;
                if let Some(entry) = self.payments.get_mut(&key)
                    && !may_still_come
                {
                    entry.fate = fate;
                    let is_decided = matches!(fate, Some(Fate::Succeeded | Fate::Failed));
                    entry.decided = is_decided.then_some(at);
                }
            }
            if started.elapsed() >= at_most {
                break;
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// How long after `healed` the last payment was decided; `None` if one never was.
    pub(super) fn settled_after(&self, healed: Instant) -> Option<Duration> {
        if self.open().next().is_some() {
            return None;
        }
        let last = self
            .payments
            .values()
            .filter_map(|entry| entry.decided)
            .max();
        let after = |last: Instant| last.saturating_duration_since(healed);
        Some(last.map_or(Duration::ZERO, after))
    }

    /// Those that everyone who asks again must get the same answer for.
    pub(super) fn decided(&self) -> impl Iterator<Item = Wish> {
        let entries = self.payments.values();
        let decided =
            entries.filter(|entry| matches!(entry.fate, Some(Fate::Succeeded | Fate::Failed)));
        decided.map(|entry| entry.wish.clone())
    }

    /// The answers to those who have asked again later.
    pub(super) fn replayed(&mut self, visits: Vec<Visit>) {
        for visit in visits {
            if let Some(entry) = self.payments.get_mut(&visit.wish.key) {
                entry.definite.extend(visit.definite);
            }
        }
    }

    /// Counts at the provider what was charged for each, which makes the cases to be judged.
    pub(super) async fn count(&mut self, provider: &Provider) -> Result<(), DrillError> {
        let counts = self.payments.values().map(|entry| async {
            let charges = provider.charges_of(&entry.wish.key).await?;
            Ok::<_, DrillError>(Case {
                key: entry.wish.key.clone(),
                amount: entry.wish.amount,
                answers: entry.definite.clone(),
                fate: entry.fate.unwrap_or(Fate::Undecided),
                charges,
            })
        });
        let counts: Vec<_> = counts.collect();
        let cases = stream::iter(counts).buffered(QUESTIONS).try_collect();
        self.cases = cases.await?;
        Ok(())
    }

    pub(super) fn succeeded(&self) -> usize {
        let cases = self.cases.iter();
        cases.filter(|case| case.fate == Fate::Succeeded).count()
    }

    pub(super) fn charges(&self) -> usize {
        self.cases.iter().map(|case| case.charges.len()).sum()
    }
}

fn fate_of(status: u16) -> Fate {
    if status == 201 {
        Fate::Succeeded
    } else {
        Fate::Failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visit(key: &str, status: u16, ended: Instant) -> Visit {
        let definite = Definite {
            status,
            body: b"{}".to_vec(),
        };
        let is_definite = [201, 402].contains(&status);
        Visit {
            wish: Wish {
                key: key.to_owned(),
                amount: 1,
                payment_method: "pm_card_visa",
            },
            came: BTreeMap::from([(Came::Status(status), 1)]),
            definite: is_definite.then_some(definite).into_iter().collect(),
            payment_id: None,
            ended,
        }
    }

    #[tokio::test]
    async fn visits_under_one_key_are_one_payment() {
        let now = Instant::now();
        let visits = vec![
            visit("a", 201, now),
            visit("a", 202, now),
            visit("b", 402, now),
        ];
        let ledger = Ledger::of(visits);
        assert_eq!(ledger.len(), 2);
        let statuses: Vec<_> = ledger.came.keys().copied().collect();
        assert_eq!(statuses, [201, 202, 402].map(Came::Status));
        let fates: Vec<_> = ledger.payments.values().map(|entry| entry.fate).collect();
        assert_eq!(fates, [Some(Fate::Succeeded), Some(Fate::Failed)]);
        assert_eq!(ledger.decided().count(), 2);
    }

    #[tokio::test]
    async fn it_is_settled_when_the_last_payment_is_and_never_while_one_is_open() {
        let (healed, second) = (Instant::now(), Duration::from_secs(1));
        let visits = vec![visit("a", 201, healed + second), visit("b", 201, healed)];
        assert_eq!(Ledger::of(visits).settled_after(healed), Some(second));
        let before = healed + second;
        assert_eq!(
            Ledger::of(vec![visit("a", 201, healed)]).settled_after(before),
            Some(Duration::ZERO)
        );
        let open = Ledger::of(vec![visit("a", 201, healed), visit("b", 202, healed)]);
        assert_eq!(open.settled_after(healed), None);
    }
}
