//! What the breaker lets out.

use super::*;

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
