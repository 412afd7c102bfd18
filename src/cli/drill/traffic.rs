//! The clients of a row, all at once, each with one payment after the other.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{task::JoinSet, time::Instant};

use super::{
    api::{Api, Wish},
    error::DrillError,
    scenario::Crowd,
    visit::{Manner, Visit, visit},
};
use crate::environment::Environment;

/// Who asks for what, in which order, and how many do so at once.
#[derive(Debug)]
pub(super) struct Plan {
    visits: Vec<(Wish, Manner)>,
    clients: usize,
}

/// Visits that have ended, for whoever watches.
#[derive(Debug, Default)]
pub(super) struct Ended(AtomicUsize);

impl Ended {
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

const APPROVED: &str = "pm_card_visa";
const DECLINED: &str = "pm_card_chargeDeclined";
/// One of so many cards is declined where all sorts of clients come.
const DECLINED_ONE_IN: usize = 11;

impl Plan {
    /// `payments` payments by `clients` clients, with keys that begin with `prefix`.
    pub(super) fn new(crowd: Crowd, prefix: &str, payments: usize, clients: usize) -> Self {
        let wish = |at: usize| Wish {
            key: format!("{prefix}-{at}"),
            amount: 100 + i64::try_from(at % 10_000).unwrap_or(0),
            payment_method: match crowd {
                Crowd::Declined => DECLINED,
                Crowd::Storm { .. } => APPROVED,
                _ if at % DECLINED_ONE_IN == DECLINED_ONE_IN - 1 => DECLINED,
                _ => APPROVED,
            },
        };
        let manner = |at: usize| match crowd {
            Crowd::Twice => Manner::Twice,
            Crowd::Leaving => Manner::Leaving,
            Crowd::Declined | Crowd::Storm { .. } | Crowd::Surge { .. } => Manner::Steady,
            Crowd::Mixed => match at % 10 {
                0..=4 => Manner::Steady,
                5..=6 => Manner::Twice,
                7 => Manner::Leaving,
                _ => Manner::Once,
            },
        };
        let (visits, clients) = match crowd {
            Crowd::Storm { requests } => {
                let requests = requests as usize;
                (vec![(wish(0), Manner::Steady); requests], requests)
            }
            Crowd::Surge { times } => (each(payments, wish, manner), clients * times as usize),
            _ => (each(payments, wish, manner), clients),
        };
        Self { visits, clients }
    }

    /// Every one of these once more, by clients who wait for the answer.
    pub(super) fn again(wishes: impl Iterator<Item = Wish>, clients: usize) -> Self {
        let visits = wishes.map(|wish| (wish, Manner::Steady)).collect();
        Self { visits, clients }
    }

    pub(super) fn len(&self) -> usize {
        self.visits.len()
    }

    /// Lets the clients go, until all visits are made or it is `until`. Those that nobody began by
    /// then are left out.
    pub(super) async fn run(
        self,
        api: &Arc<Api>,
        environment: &Environment,
        until: Instant,
        ended: &Arc<Ended>,
    ) -> Result<Vec<Visit>, DrillError> {
        let (visits, next) = (Arc::new(self.visits), Arc::new(AtomicUsize::new(0)));
        let mut clients = JoinSet::new();
        for _ in 0..self.clients.min(visits.len()) {
            let (api, environment) = (Arc::clone(api), environment.clone());
            let (visits, next, ended) = (Arc::clone(&visits), Arc::clone(&next), Arc::clone(ended));
            clients.spawn(async move {
                let mut made = Vec::new();
                while Instant::now() < until {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some((wish, manner)) = visits.get(at).cloned() else {
                        break;
                    };
                    made.push(visit(&api, &environment, wish, manner, until).await);
                    ended.0.fetch_add(1, Ordering::Relaxed);
                }
                made
            });
        }
        let mut all = Vec::new();
        while let Some(made) = clients.join_next().await {
            all.extend(made?);
        }
        Ok(all)
    }
}

fn each(
    payments: usize,
    wish: impl Fn(usize) -> Wish,
    manner: impl Fn(usize) -> Manner,
) -> Vec<(Wish, Manner)> {
    (0..payments).map(|at| (wish(at), manner(at))).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn keys(plan: &Plan) -> BTreeSet<&str> {
        plan.visits
            .iter()
            .map(|(wish, _)| wish.key.as_str())
            .collect()
    }

    #[test]
    fn all_sorts_of_clients_come_each_with_a_payment_of_its_own() {
        let plan = Plan::new(Crowd::Mixed, "x", 40, 16);
        assert_eq!((keys(&plan).len(), plan.clients), (40, 16));
        for manner in [Manner::Steady, Manner::Twice, Manner::Leaving, Manner::Once] {
            assert!(plan.visits.iter().any(|(_, m)| *m == manner), "{manner:?}");
        }
        for method in [APPROVED, DECLINED] {
            let is_used = plan
                .visits
                .iter()
                .any(|(wish, _)| wish.payment_method == method);
            assert!(is_used, "{method}");
        }
    }

    #[test]
    fn a_storm_is_many_requests_for_one_payment_and_a_surge_many_clients() {
        let storm = Plan::new(Crowd::Storm { requests: 500 }, "x", 40, 16);
        assert_eq!(
            (keys(&storm).len(), storm.len(), storm.clients),
            (1, 500, 500)
        );
        let surge = Plan::new(Crowd::Surge { times: 10 }, "x", 40, 16);
        assert_eq!(
            (keys(&surge).len(), surge.len(), surge.clients),
            (40, 40, 160)
        );
    }
}
