//! A provider that answers as its script says, and counts what it was asked.

use std::{collections::VecDeque, sync::Mutex, time::Duration};

use futures_util::future::{BoxFuture, FutureExt};
use oncepay::{
    payment::{Approval, ApprovedAs, Decline, Payment},
    provider::{
        Call, Draft, Found, InDoubt, InDoubtReason, NotSent, NotSentReason, Outcome, Provider,
        ProviderProfile, Search, SentBetween, Stray,
    },
};

pub(super) struct ScriptedProvider {
    profile: ProviderProfile,
    script: Mutex<VecDeque<(Duration, Outcome)>>,
    always: Mutex<Option<Outcome>>,
    calls: Mutex<Vec<Call>>,
    inspected: Mutex<Vec<String>>,
    to_be_found: Mutex<VecDeque<Found>>,
    /// How many pages its list has, and how long each takes.
    list: Mutex<(usize, Duration)>,
    looked_for: Mutex<Vec<SentBetween>>,
    reversed: Mutex<Vec<Stray>>,
}

impl ScriptedProvider {
    pub(super) fn new(name: &str, key_retention: Duration) -> Self {
        let profile = ProviderProfile {
            name: name.into(),
            account: "account".into(),
            api_version: "1".into(),
            mode: None,
            attempt_timeout: Duration::from_secs(10),
            key_retention,
            absence_wait: Duration::from_secs(7_200),
        };
        Self {
            profile,
            script: Mutex::default(),
            always: Mutex::default(),
            calls: Mutex::default(),
            inspected: Mutex::default(),
            to_be_found: Mutex::default(),
            list: Mutex::new((0, Duration::ZERO)),
            looked_for: Mutex::default(),
            reversed: Mutex::default(),
        }
    }

    /// Answers the next call so, after `wait`. Without a script, calls are approved at once.
    pub(super) fn then(&self, wait: Duration, outcome: Outcome) {
        self.script.lock().unwrap().push_back((wait, outcome));
    }

    /// Answers every call that has no script so, until told otherwise.
    pub(super) fn always(&self, outcome: impl Into<Option<Outcome>>) {
        *self.always.lock().unwrap() = outcome.into();
    }

    /// Answers the next look for an operation so. Without it, nothing is there.
    pub(super) fn finds(&self, found: Found) {
        self.to_be_found.lock().unwrap().push_back(found);
    }

    /// From now on it takes so many pages, and so long for each, until nothing is there.
    pub(super) fn lists(&self, pages: usize, each: Duration) {
        *self.list.lock().unwrap() = (pages, each);
    }

    /// How often an operation was looked for, page by page.
    pub(super) fn looks(&self) -> usize {
        self.looked_for.lock().unwrap().len()
    }

    /// In what time the latest look was for something.
    pub(super) fn looked_between(&self) -> SentBetween {
        *self.looked_for.lock().unwrap().last().unwrap()
    }

    pub(super) fn reversed(&self) -> Vec<Stray> {
        self.reversed.lock().unwrap().clone()
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    pub(super) fn inspected(&self) -> Vec<String> {
        self.inspected.lock().unwrap().clone()
    }

    async fn next(&self) -> Outcome {
        let next = self.script.lock().unwrap().pop_front();
        let otherwise = self.always.lock().unwrap().clone().unwrap_or_else(approved);
        let (wait, outcome) = next.unwrap_or((Duration::ZERO, otherwise));
        tokio::time::sleep(wait).await;
        outcome
    }
}

impl Provider for ScriptedProvider {
    fn profile(&self) -> &ProviderProfile {
        &self.profile
    }

    fn prepare(&self, _: &Payment, draft: Draft<'_>) -> Vec<u8> {
        let Draft {
            operation_id,
            kind,
            money,
            ..
        } = draft;
        let kind = kind.as_str();
        format!("{kind}={}&operation={operation_id}", money.minor()).into_bytes()
    }

    fn find<'a>(&'a self, _: &'a Call, search: &'a mut Search) -> BoxFuture<'a, Found> {
        self.looked_for.lock().unwrap().push(search.sent);
        let next = self.to_be_found.lock().unwrap().pop_front();
        let (pages, each) = *self.list.lock().unwrap();
        async move {
            tokio::time::sleep(each).await;
            search.parts_read += 1;
            let listed = match search.parts_read < pages {
                true => Found::More,
                false => Found::Absent,
            };
            next.unwrap_or(listed)
        }
        .boxed()
    }

    fn reverse<'a>(&'a self, stray: &'a Stray) -> BoxFuture<'a, Outcome> {
        self.reversed.lock().unwrap().push(stray.clone());
        self.next().boxed()
    }

    fn send<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Outcome> {
        self.calls.lock().unwrap().push(call.clone());
        self.next().boxed()
    }

    fn inspect<'a>(&'a self, _: &'a Call, reference: &'a str) -> BoxFuture<'a, Outcome> {
        self.inspected.lock().unwrap().push(reference.to_owned());
        self.next().boxed()
    }
}

pub(super) fn approved() -> Outcome {
    Outcome::Approved(Approval {
        approved_as: ApprovedAs::Captured,
        reference: "pi_1".into(),
    })
}

pub(super) fn declined() -> Outcome {
    Outcome::Declined(Decline {
        code: "insufficient_funds".into(),
        message: "Insufficient funds.".into(),
        reference: None,
        at_the_door: false,
        stands: None,
    })
}

pub(super) fn refused() -> Outcome {
    Outcome::NotSent(NotSent {
        reason: NotSentReason::ConnectFailed,
        detail: "connection refused".into(),
        retry_after: None,
    })
}

pub(super) fn in_doubt(reason: InDoubtReason, reference: Option<&str>) -> Outcome {
    Outcome::InDoubt(InDoubt {
        reason,
        detail: "told so".into(),
        reference: reference.map(str::to_owned),
    })
}
