//! One client and one payment: it asks, and asks again with the same key, as a good client does.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::{Instant, sleep, timeout};

use super::{
    api::{Answer, Api, Cut, Wish},
    judge::Definite,
};
use crate::{environment::Environment, resilience::Backoff};

/// How a client behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// Waits for the answer, and comes back until it is definite.
    Steady,
    /// Asks twice at once, and then as the steady one.
    Twice,
    /// Leaves in the middle of the first request, and then as the steady one.
    Leaving,
    /// Asks once and never comes back, whatever the answer: the server must settle it alone.
    Once,
}

/// What a request came to, as the table counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Came {
    Status(u16),
    /// No answer: refused, reset, or too late.
    Cut,
    /// We left before the answer.
    Left,
}

/// What a client has seen of a payment.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) wish: Wish,
    pub(super) came: BTreeMap<Came, u64>,
    pub(super) definite: Vec<Definite>,
    pub(super) payment_id: Option<String>,
    /// When the visit ended, with a definite answer or without.
    pub(super) ended: Instant,
}

/// Between two tries, if the server does not ask for more.
const AGAIN: Backoff = Backoff {
    base: Duration::from_millis(100),
    cap: Duration::from_secs(1),
};
/// A server that asks for a longer wait is asked sooner.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3);
/// Who leaves, does so after a random part of it: about as long as a payment takes.
const LEAVES_WITHIN: Duration = Duration::from_millis(40);

/// Goes on until there is a definite answer, the manner says to give up, or it is `until`.
pub(super) async fn visit(
    api: &Api,
    environment: &Environment,
    wish: Wish,
    manner: Manner,
    until: Instant,
) -> Visit {
    let mut visit = Visit {
        wish,
        came: BTreeMap::new(),
        definite: Vec::new(),
        payment_id: None,
        ended: Instant::now(),
    };
    if manner == Manner::Leaving {
        let patience = LEAVES_WITHIN.mul_f64(environment.random_fraction());
        match timeout(patience, api.pay(&visit.wish)).await {
            Ok(came) => drop(visit.take(came)),
            Err(_elapsed) => visit.count(Came::Left),
        }
    }
    let mut tries = 0;
    loop {
        let next = if manner == Manner::Twice && tries == 0 {
            let (one, other) = tokio::join!(api.pay(&visit.wish), api.pay(&visit.wish));
            let (one, other) = (visit.take(one), visit.take(other));
            one.and(other)
        } else {
            let came = api.pay(&visit.wish).await;
            visit.take(came)
        };
        tries += 1;
        let Next::Again(asked) = next else { break };
        let wait = AGAIN.wait(tries, environment.random_fraction());
        let wait = wait.max(asked.min(RETRY_AFTER_MAX));
        if manner == Manner::Once || Instant::now() + wait >= until {
            break;
        }
        sleep(wait).await;
    }
    visit.ended = Instant::now();
    visit
}

/// What to do after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Done,
    /// After this wait at least.
    Again(Duration),
}

impl Next {
    /// The next step after two answers: one that is definite is enough.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Again(one), Self::Again(other)) => Self::Again(one.max(other)),
            _ => Self::Done,
        }
    }
}

impl Visit {
    fn count(&mut self, came: Came) {
        *self.came.entry(came).or_default() += 1;
    }

    fn take(&mut self, came: Result<Answer, Cut>) -> Next {
        let answer = match came {
            Ok(answer) => answer,
            Err(Cut) => {
                self.count(Came::Cut);
                return Next::Again(Duration::ZERO);
            }
        };
        self.count(Came::Status(answer.status));
        if let Some(id) = answer.payment_id() {
            self.payment_id = Some(id);
        }
        match answer.status {
            201 | 402 => {
                self.definite.push(Definite {
                    status: answer.status,
                    body: answer.body,
                });
                Next::Done
            }
            202 | 409 | 429 | 500..=599 => Next::Again(answer.retry_after.unwrap_or_default()),
            // What asking again would not change.
            _ => Next::Done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(statuses: &[u16]) -> (Visit, Vec<Next>) {
        let mut visit = Visit {
            wish: Wish {
                key: "k".into(),
                amount: 1,
                payment_method: "pm_card_visa",
            },
            came: BTreeMap::new(),
            definite: Vec::new(),
            payment_id: None,
            ended: Instant::now(),
        };
        let take = |status: &u16| {
            visit.take(Ok(Answer {
                status: *status,
                body: br#"{"payment":{"id":"pay_1"}}"#.to_vec(),
                retry_after: Some(Duration::from_secs(2)),
            }))
        };
        let next = statuses.iter().map(take).collect();
        (visit, next)
    }

    #[test]
    fn only_what_may_change_is_asked_for_again() {
        let again = Next::Again(Duration::from_secs(2));
        let (_, next) = taken(&[202, 409, 429, 500, 503]);
        assert_eq!(next, [again; 5]);
        let (_, next) = taken(&[201, 402, 400, 401, 422]);
        assert_eq!(next, [Next::Done; 5]);
    }

    #[test]
    fn definite_answers_are_kept_and_all_are_counted() {
        let (visit, _) = taken(&[503, 503, 202, 201, 402]);
        let statuses: Vec<_> = visit.definite.iter().map(|d| d.status).collect();
        assert_eq!(statuses, [201, 402]);
        assert_eq!(visit.came[&Came::Status(503)], 2);
        assert_eq!(visit.payment_id.as_deref(), Some("pay_1"));
    }

    #[test]
    fn of_two_answers_one_definite_is_enough() {
        let again = |seconds| Next::Again(Duration::from_secs(seconds));
        assert_eq!(again(1).and(again(3)), again(3));
        assert_eq!(Next::Done.and(again(3)), Next::Done);
        assert_eq!(again(3).and(Next::Done), Next::Done);
    }
}
