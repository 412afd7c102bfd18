mod breaker;
mod budget;
mod crash;
mod looks;

use std::{collections::VecDeque, future::poll_fn, sync::Mutex, task::Poll};

use actix::System;
use futures_util::future::{BoxFuture, FutureExt};

use super::*;
use crate::{
    actors::{GiveUp, supervise},
    payment::{
        Approval, ApprovedAs, Capture, Fingerprint, Id, IdempotencyKey, Mode, Money, OperationKind,
        Payment,
    },
    provider::{
        Draft, Expected, Found, Identity, InDoubt, InDoubtReason, NotSent, NotSentReason,
        ProviderProfile, Search, Stray,
    },
    resilience::{BreakerSettings, BreakerState, BudgetSettings, LimiterSettings},
};

const SECOND: Duration = Duration::from_secs(1);

/// Answers as its script says, a tenth of a second later each; without a script, approves.
struct Scripted {
    profile: ProviderProfile,
    script: Mutex<VecDeque<Outcome>>,
    sent: Mutex<u32>,
    /// How far each search had come that was asked a question of.
    places: Mutex<Vec<usize>>,
}

impl Scripted {
    async fn next(&self) -> Outcome {
        *self.sent.lock().unwrap() += 1;
        tokio::time::sleep(SECOND / 10).await;
        let next = self.script.lock().unwrap().pop_front();
        next.unwrap_or_else(approved)
    }
}

impl Provider for Scripted {
    fn profile(&self) -> &ProviderProfile {
        &self.profile
    }

    fn prepare(&self, _: &Payment, _: Draft<'_>) -> Vec<u8> {
        Vec::new()
    }

    fn find<'a>(&'a self, _: &'a Call, search: &'a mut Search) -> BoxFuture<'a, Found> {
        self.places.lock().unwrap().push(search.parts_read);
        let page = self.next().map(|outcome| match outcome {
            Outcome::Approved(_) | Outcome::Declined(_) => Found::There(outcome),
            Outcome::InDoubt(doubt) if doubt.reason == InDoubtReason::CallLost => Found::Absent,
            Outcome::InDoubt(doubt) if doubt.reason == InDoubtReason::KeyInUse => {
                search.parts_read += 1;
                Found::More
            }
            outcome => Found::Unanswered(outcome),
        });
        page.boxed()
    }

    fn reverse<'a>(&'a self, _: &'a Stray) -> BoxFuture<'a, Outcome> {
        self.next().boxed()
    }

    fn send<'a>(&'a self, _: &'a Call) -> BoxFuture<'a, Outcome> {
        self.next().boxed()
    }

    fn inspect<'a>(&'a self, _: &'a Call, _: &'a str) -> BoxFuture<'a, Outcome> {
        self.next().boxed()
    }
}

fn approved() -> Outcome {
    Outcome::Approved(Approval {
        approved_as: ApprovedAs::Captured,
        reference: "pi_1".into(),
    })
}

fn not_sent(reason: NotSentReason) -> Outcome {
    Outcome::NotSent(NotSent {
        reason,
        detail: "told so".into(),
        retry_after: None,
    })
}

fn in_doubt(reason: InDoubtReason, reference: Option<&str>) -> Outcome {
    Outcome::InDoubt(InDoubt {
        reason,
        detail: "told so".into(),
        reference: reference.map(str::to_owned),
    })
}

/// A provider behind its gate, without an actor.
struct Bench {
    provider: Arc<Scripted>,
    shared: Arc<ProviderShared>,
    feed: BreakerFeed,
}

impl Bench {
    fn new(settings: GateSettings, script: impl IntoIterator<Item = Outcome>) -> Self {
        let provider = Arc::new(Scripted {
            profile: ProviderProfile {
                name: "scripted".into(),
                account: "account".into(),
                api_version: "1".into(),
                mode: None,
                attempt_timeout: SECOND,
                key_retention: 3_600 * SECOND,
                absence_wait: 3_600 * SECOND,
            },
            script: Mutex::new(script.into_iter().collect()),
            sent: Mutex::new(0),
            places: Mutex::default(),
        });
        let (environment, metrics) = (Environment::of_the_machine(), Arc::new(Metrics::default()));
        let feed = BreakerFeed::new();
        let shared = Arc::new(ProviderShared {
            provider: Arc::<Scripted>::clone(&provider),
            environment: environment.clone(),
            tasks: runtime::Handle::current(),
            metrics: Arc::clone(&metrics),
            gate: Gate::new("scripted", settings, environment, &metrics, feed.clone()),
            searches: Searches::default(),
            stopping: CancellationToken::new(),
        });
        Self {
            provider,
            shared,
            feed,
        }
    }

    fn sent(&self) -> u32 {
        *self.provider.sent.lock().unwrap()
    }

    fn job(&self, in_doubt: bool) -> Job {
        let now = Instant::now();
        let wall = self.shared.environment.now().as_micros();
        Job {
            call: Call {
                kind: OperationKind::Create,
                api_version: "1".into(),
                target: None,
                key: "key".into(),
                request: Vec::new(),
                expected: Expected {
                    operation_id: Id::from_uuid(uuid::Uuid::from_u128(3)),
                    payment_id: Id::from_uuid(uuid::Uuid::from_u128(1)),
                    money: Money::new(4_200, "EUR".parse().unwrap()).unwrap(),
                    capture: Capture::Automatic,
                    identity: Identity {
                        merchant_id: Id::from_uuid(uuid::Uuid::from_u128(2)),
                        mode: Mode::Test,
                        payment_key: IdempotencyKey::new("order-17").unwrap(),
                        key: IdempotencyKey::new("order-17").unwrap(),
                        fingerprint: Fingerprint {
                            version: 1,
                            digest: [0xa7; 32],
                        },
                    },
                },
                first_attempt: !in_doubt,
                request_id: Id::from_uuid(uuid::Uuid::from_u128(9)),
            },
            purpose: Purpose::Client,
            in_doubt,
            reference: None,
            window: watch::channel(SendWindow::opened(now, wall, 60 * SECOND)).1,
            deadline: Deadline::at(now + 25 * SECOND),
            room: None,
        }
    }

    async fn run(&self, job: Job) -> Outcome {
        let (reply, outcome) = Reply::new(job.in_doubt);
        work(Arc::clone(&self.shared), job, reply).await;
        outcome.await.unwrap()
    }

    /// Opens the breaker by five calls that find no connection.
    async fn open(&self) {
        while self.state() == BreakerState::Closed {
            let script = (0..3).map(|_| not_sent(NotSentReason::ConnectFailed));
            self.provider.script.lock().unwrap().extend(script);
            self.run(self.job(false)).await;
        }
        self.provider.script.lock().unwrap().clear();
    }

    fn state(&self) -> BreakerState {
        self.shared.gate.breaker(Instant::now()).state
    }

    fn in_flight(&self) -> u32 {
        self.shared.gate.limiter().in_flight
    }
}

#[track_caller]
fn refusal(outcome: Outcome) -> NotSent {
    match outcome {
        Outcome::NotSent(refused) => refused,
        other => panic!("it was sent: {other:?}"),
    }
}

/// Polls `work` at most `polls` times and drops it then; whether it came to its end.
async fn killed_after(polls: u32, work: impl Future<Output = ()>) -> bool {
    let (mut work, mut left) = (Box::pin(work), polls);
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        work.as_mut().poll(context).map(|()| true)
    })
    .await
}

/// An unfinished attempt, two questions, and a restart in between: every way of waiting there is.
fn long_script() -> Vec<Outcome> {
    vec![
        not_sent(NotSentReason::ConnectFailed),
        in_doubt(InDoubtReason::KeyInUse, None),
        in_doubt(InDoubtReason::Unfinished, Some("pi_1")),
        in_doubt(InDoubtReason::Unfinished, Some("pi_1")),
        approved(),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_task_killed_at_any_await_point_is_answered_for_what_it_is() {
    for began_in_doubt in [false, true] {
        let mut polls = 0;
        loop {
            let bench = Bench::new(GateSettings::default(), long_script());
            let job = bench.job(began_in_doubt);
            let (reply, outcome) = Reply::new(job.in_doubt);
            let task = work(Arc::clone(&bench.shared), job, reply);
            let finished = killed_after(polls, task).await;

            let outcome = outcome.await.unwrap();
            if finished {
                assert_eq!(outcome, approved());
            } else if began_in_doubt || bench.sent() > 0 {
                assert_eq!(outcome, reply::lost(), "after {polls} polls");
            } else {
                assert_eq!(refusal(outcome).reason, NotSentReason::Withheld);
            }
            assert_eq!(bench.in_flight(), 0, "room is back after {polls} polls");
            assert_eq!(bench.state(), BreakerState::Closed);
            if finished {
                assert!(polls > 8, "it waited only {polls} times");
                break;
            }
            polls += 1;
        }
    }
}
