//! What is sent again is paid for, and every call has its room.

use super::*;

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

/// Its client was let in, and the stop waits for it.
#[tokio::test(start_paused = true)]
async fn a_server_that_stops_makes_the_first_attempt_of_a_client_and_no_other() {
    let refused = not_sent(NotSentReason::ConnectFailed);
    let bench = Bench::new(one_retry(), [refused.clone()]);
    bench.shared.stopping.cancel();
    bench.run(bench.job(true)).await;
    let settling = Job {
        purpose: Purpose::Settling,
        ..bench.job(false)
    };
    bench.run(settling).await;
    assert_eq!(bench.sent(), 0);
    assert_eq!(bench.run(bench.job(false)).await, refused);
    assert_eq!(bench.sent(), 1);
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
