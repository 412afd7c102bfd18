use std::{collections::VecDeque, future::poll_fn, sync::Mutex, task::Poll};

use actix::System;
use futures_util::future::{BoxFuture, FutureExt};

use super::*;
use crate::{
    actors::{GiveUp, supervise},
    payment::{Approval, ApprovedAs, Capture, Id, Money, OperationKind, Payment},
    provider::{
        Draft, Expected, Found, InDoubt, InDoubtReason, NotSent, NotSentReason, ProviderProfile,
        SentBetween, Stray,
    },
    resilience::{BreakerSettings, BreakerState, BudgetSettings, LimiterSettings},
};

const SECOND: Duration = Duration::from_secs(1);

/// Answers as its script says, a tenth of a second later each; without a script, approves.
struct Scripted {
    profile: ProviderProfile,
    script: Mutex<VecDeque<Outcome>>,
    sent: Mutex<u32>,
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

    fn find<'a>(&'a self, _: &'a Call, _: SentBetween) -> BoxFuture<'a, Found> {
        self.next().map(Found::There).boxed()
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
        });
        let (environment, metrics) = (Environment::of_the_machine(), Arc::new(Metrics::default()));
        let feed = BreakerFeed::new();
        let shared = Arc::new(ProviderShared {
            provider: Arc::<Scripted>::clone(&provider),
            environment: environment.clone(),
            tasks: runtime::Handle::current(),
            metrics: Arc::clone(&metrics),
            gate: Gate::new("scripted", settings, environment, &metrics, feed.clone()),
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
                },
                first_attempt: !in_doubt,
                request_id: Id::from_uuid(uuid::Uuid::from_u128(9)),
            },
            purpose: Purpose::Client,
            in_doubt,
            reference: None,
            window: SendWindow::opened(now, wall, 60 * SECOND),
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

#[tokio::test(start_paused = true)]
async fn a_killed_probe_gives_its_permit_back() {
    let bench = Bench::new(GateSettings::default(), []);
    bench.open().await;
    tokio::time::sleep(13 * SECOND).await;
    for _ in 0..20 {
        let job = bench.job(false);
        let (reply, outcome) = Reply::new(false);
        let task = work(Arc::clone(&bench.shared), job, reply);
        assert!(!killed_after(1, task).await);
        assert_eq!(outcome.await.unwrap(), reply::lost());
        assert_eq!(bench.state(), BreakerState::HalfOpen);
    }
    for _ in 0..3 {
        assert_eq!(bench.run(bench.job(false)).await, approved());
    }
    assert_eq!(bench.state(), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_lets_nothing_out_and_says_until_when() {
    let bench = Bench::new(GateSettings::default(), []);
    bench.open().await;
    let sent = bench.sent();
    let refused = refusal(bench.run(bench.job(false)).await);
    assert_eq!(refused.reason, NotSentReason::BreakerOpen);
    let retry_after = refused.retry_after.unwrap();
    assert!(
        9 * SECOND < retry_after && retry_after <= 13 * SECOND,
        "{retry_after:?}"
    );
    assert_eq!(bench.sent(), sent);
}

#[tokio::test(start_paused = true)]
async fn rule_1_an_open_breaker_clears_no_doubt() {
    let bench = Bench::new(GateSettings::default(), []);
    bench.open().await;
    let outcome = bench.run(bench.job(true)).await;
    assert!(matches!(outcome, Outcome::InDoubt(_)), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_opens_the_breaker_is_the_last_of_its_job() {
    let settings = GateSettings {
        breaker: BreakerSettings {
            consecutive_failures_max: 2,
            ..BreakerSettings::default()
        },
        ..GateSettings::default()
    };
    let failures = (0..3).map(|_| not_sent(NotSentReason::ConnectFailed));
    let bench = Bench::new(settings, failures);
    let refused = refusal(bench.run(bench.job(false)).await);
    assert_eq!(bench.sent(), 2);
    assert_eq!(
        refused.reason,
        NotSentReason::ConnectFailed,
        "what the provider showed is the better evidence"
    );
    assert!(refused.retry_after.is_some(), "the breaker knows when");
}

#[tokio::test(start_paused = true)]
async fn rule_13_settling_passes_a_breaker_forced_open_and_not_an_open_one() {
    let settling = |bench: &Bench| Job {
        purpose: Purpose::Settling,
        ..bench.job(true)
    };
    let bench = Bench::new(GateSettings::default(), []);
    bench
        .shared
        .gate
        .operate(OperatorSwitch::ForceOpen, Instant::now());
    let refused = refusal(bench.run(bench.job(false)).await);
    assert_eq!(
        (refused.reason, refused.retry_after),
        (NotSentReason::BreakerOpen, None)
    );
    assert_eq!(bench.run(settling(&bench)).await, approved());

    let bench = Bench::new(GateSettings::default(), []);
    bench.open().await;
    let sent = bench.sent();
    let outcome = bench.run(settling(&bench)).await;
    assert!(matches!(outcome, Outcome::InDoubt(_)), "{outcome:?}");
    assert_eq!(bench.sent(), sent);
}

fn one_retry() -> GateSettings {
    GateSettings {
        budget: BudgetSettings {
            per_s: 0,
            percent: 100,
            ..BudgetSettings::default()
        },
        ..GateSettings::default()
    }
}

#[tokio::test(start_paused = true)]
async fn resends_are_never_more_than_the_budget_has() {
    let failures = (0..6).map(|_| not_sent(NotSentReason::RateLimited));
    let bench = Bench::new(one_retry(), failures);
    let refused = refusal(bench.run(bench.job(false)).await);
    assert_eq!(bench.sent(), 2, "the first call paid for one more");
    assert_eq!(refused.reason, NotSentReason::RateLimited);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_jobs_that_fail_together_send_at_most_a_tenth_and_the_reserve_again() {
    let bench = Bench::new(
        GateSettings::default(),
        (0..400).map(|_| not_sent(NotSentReason::RateLimited)),
    );
    let unwatched = OperatorSwitch::MetricsOnly;
    bench.shared.gate.operate(unwatched, Instant::now());
    let jobs = (0..100).map(|_| bench.run(bench.job(false)));
    futures_util::future::join_all(jobs).await;
    assert_eq!(bench.sent(), 100 + 10 + 10);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_began_in_doubt_pays_for_its_first_request_too() {
    let bench = Bench::new(one_retry(), []);
    let outcome = bench.run(bench.job(true)).await;
    assert!(matches!(outcome, Outcome::InDoubt(_)), "{outcome:?}");
    assert_eq!((bench.sent(), bench.in_flight()), (0, 0));

    assert_eq!(bench.run(bench.job(false)).await, approved());
    assert_eq!(bench.run(bench.job(true)).await, approved());
    assert_eq!(bench.sent(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_question_costs_no_retry() {
    let unfinished = || in_doubt(InDoubtReason::Unfinished, Some("pi_1"));
    let script = [unfinished(), unfinished(), unfinished(), approved()];
    let bench = Bench::new(one_retry(), script);
    assert_eq!(bench.run(bench.job(false)).await, approved());
    assert_eq!(bench.sent(), 4);
    assert!(
        bench
            .shared
            .gate
            .may_send_again(Purpose::Client, Instant::now()),
        "unspent"
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_without_room_waits_a_little_and_is_not_sent_then() {
    let settings = GateSettings {
        limiter: LimiterSettings {
            min: 1,
            max: 1,
            ..LimiterSettings::default()
        },
        ..GateSettings::default()
    };
    let bench = Bench::new(settings, []);
    let room = bench.shared.gate.reserve(Purpose::Client, Instant::now());
    assert!(room.is_some());
    let refused = refusal(bench.run(bench.job(false)).await);
    assert_eq!(refused.reason, NotSentReason::NoRoom);

    let job = Job {
        room,
        ..bench.job(false)
    };
    assert_eq!(bench.run(job).await, approved(), "in room taken ahead");
    assert_eq!(bench.run(bench.job(false)).await, approved(), "given back");
}

#[tokio::test(start_paused = true)]
async fn transitions_are_told_in_order_and_counted() {
    let bench = Bench::new(GateSettings::default(), []);
    let mut listener = bench.feed.subscribe();
    bench.open().await;
    tokio::time::sleep(13 * SECOND).await;
    for _ in 0..3 {
        assert_eq!(bench.run(bench.job(false)).await, approved());
    }
    let mut states = Vec::new();
    while let Ok(event) = listener.try_recv() {
        assert_eq!(
            (&*event.provider, event.number),
            ("scripted", states.len() as u64 + 1)
        );
        states.push((event.from.as_str(), event.to.as_str()));
    }
    let expected = [
        ("closed", "open"),
        ("open", "half_open"),
        ("half_open", "closed"),
    ];
    assert_eq!(states, expected);
    let text = bench.shared.metrics.encode();
    for (from, to) in expected {
        let line = format!(
            "oncepay_provider_breaker_transitions_total{{provider=\"scripted\",from=\"{from}\",to=\"{to}\"}} 1"
        );
        assert!(text.contains(&line), "{line}\n{text}");
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Crash;

impl Handler<Crash> for ProviderActor {
    type Result = ();

    fn handle(&mut self, _: Crash, _: &mut Context<Self>) {
        panic!("a test's crash");
    }
}

struct Unwatched;

impl GiveUp for Unwatched {
    fn restarted(&self, _: &'static str) {}
    fn gave_up(&self, actor: &'static str) {
        panic!("{actor} was given up");
    }
}

/// Runs `story` with a supervised actor, under paused time.
fn supervised<S: Future<Output = ()>>(story: impl FnOnce(Bench, ProviderHandle) -> S) {
    let paused = || {
        let mut builder = runtime::Builder::new_current_thread();
        builder.enable_time().start_paused(true).build().unwrap()
    };
    System::with_tokio_rt(paused).block_on(async {
        let bench = Bench::new(GateSettings::default(), []);
        let shared = Arc::clone(&bench.shared);
        let factory = move || ProviderActor::new(Arc::clone(&shared));
        let arbiter = actix::Arbiter::current();
        let actor = supervise("provider", arbiter, Arc::new(Unwatched), factory);
        let handle = ProviderHandle::new(actor.await.unwrap(), Arc::clone(&bench.shared));
        story(bench, handle).await;
    });
}

#[test]
fn a_crash_of_the_actor_loses_no_outcome_of_a_call_that_runs() {
    supervised(|bench, handle| async move {
        let (called, ()) = tokio::join!(handle.call(bench.job(false)), async {
            while bench.sent() == 0 {
                tokio::time::sleep(SECOND / 100).await;
            }
            assert!(handle.actor.addr().send(Crash).await.is_err());
        });
        assert_eq!(called, approved());
        assert_eq!(bench.in_flight(), 0);
    });
}

#[test]
fn a_call_that_waited_in_the_mailbox_of_a_crash_was_certainly_not_sent() {
    supervised(|bench, handle| async move {
        for (began_in_doubt, known) in [(false, "not_sent"), (true, "in_doubt")] {
            // In the mailbox from here on, ahead of the call.
            let crash = handle.actor.addr().send(Crash);
            let outcome = handle.call(bench.job(began_in_doubt)).await;
            assert_eq!(outcome.kind(), known);
            assert!(crash.await.is_err());
            tokio::time::sleep(SECOND).await;
        }
        assert_eq!(bench.sent(), 0);
        assert_eq!(handle.call(bench.job(false)).await, approved());
    });
}

#[test]
fn an_open_breaker_is_not_forgotten_in_a_crash() {
    supervised(|bench, handle| async move {
        bench.open().await;
        assert!(handle.actor.addr().send(Crash).await.is_err());
        tokio::time::sleep(SECOND).await;
        let refused = refusal(handle.call(bench.job(false)).await);
        assert_eq!(refused.reason, NotSentReason::BreakerOpen);
        let snapshot = handle.snapshot(Instant::now());
        assert_eq!(
            (snapshot.state, snapshot.available),
            (BreakerState::Open, false)
        );
    });
}
