use super::*;
use BreakerState as S;
use CallResult::{Failure, Ignored, Success, Throttled};
use tokio::time::Instant;

mod properties;

const SECOND: Duration = Duration::from_secs(1);
const QUICK: Duration = Duration::from_millis(80);

/// A machine and its clock; chance is 0, so that waits have their shortest length.
struct Bench {
    machine: Machine,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            machine: Machine::new(BreakerSettings::default(), now),
            now,
        }
    }

    /// A machine that came to `state` by the shortest way.
    fn in_state(state: BreakerState) -> Self {
        let mut bench = Self::new();
        match state {
            S::Closed => {}
            S::Open => bench.calls(5, Failure),
            S::HalfOpen => {
                bench.calls(5, Failure);
                bench.pass(10 * SECOND);
                let probe = bench.acquire().unwrap();
                bench.machine.release(&probe);
            }
            S::Disabled => bench.machine.operate(OperatorSwitch::Disable, bench.now),
            S::ForcedOpen => bench.machine.operate(OperatorSwitch::ForceOpen, bench.now),
            S::MetricsOnly => bench
                .machine
                .operate(OperatorSwitch::MetricsOnly, bench.now),
        }
        assert_eq!(bench.machine.state(), state);
        bench.machine.take_transitions();
        bench
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    fn acquire(&mut self) -> Result<Ticket, NotPermitted> {
        self.machine.acquire(Purpose::Client, self.now, 0.0)
    }

    fn record(&mut self, ticket: &Ticket, result: CallResult) {
        self.record_taking(ticket, result, QUICK);
    }

    fn record_taking(&mut self, ticket: &Ticket, result: CallResult, took: Duration) {
        self.machine.record(ticket, result, took, self.now, 0.0);
    }

    /// Calls one after the other, as many as are permitted.
    fn calls(&mut self, count: u32, result: CallResult) {
        for _ in 0..count {
            if let Ok(ticket) = self.acquire() {
                self.record(&ticket, result);
            }
        }
    }

    fn reason(&self) -> Option<TransitionReason> {
        self.machine.transitions.back().map(|last| last.reason)
    }
}

/// The state whose name begins so.
fn named(initial: char) -> BreakerState {
    let begins = |state: &BreakerState| state.as_str().starts_with(initial.to_ascii_lowercase());
    BreakerState::ALL.into_iter().find(begins).unwrap()
}

/// resilience4j's states against what may happen in each, and what stands afterwards.
#[test]
fn the_table_of_transitions() {
    type Event = fn(&mut Bench);
    let events: [(&str, Event, &str); 15] = [
        // From: closed, open, half-open, disabled, forced open, metrics only.
        ("a success", |b| b.calls(1, Success), "COHDFM"),
        ("four failures", |b| b.calls(4, Failure), "COODFM"),
        ("five failures in a row", |b| b.calls(5, Failure), "OOODFM"),
        ("nineteen throttled", |b| b.calls(19, Throttled), "COODFM"),
        ("twenty throttled", |b| b.calls(20, Throttled), "OOODFM"),
        ("three good probes", |b| b.calls(3, Success), "COCDFM"),
        (
            "three throttled probes",
            |b| b.calls(3, Throttled),
            "COODFM",
        ),
        (
            "a hundred that say nothing",
            |b| b.calls(100, Ignored),
            "COHDFM",
        ),
        (
            "a call after the wait",
            |b| {
                b.pass(10 * SECOND);
                drop(b.acquire());
            },
            "CHHDFM",
        ),
        (
            "a call just before the wait is over",
            |b| {
                b.pass(10 * SECOND - Duration::from_millis(1));
                drop(b.acquire());
            },
            "COHDFM",
        ),
        (
            // Open at 30 s for 20 s more, as the second time.
            "a call when half-open must have ended",
            |b| {
                b.pass(30 * SECOND);
                drop(b.acquire());
            },
            "CHODFM",
        ),
        (
            "force open",
            |b| b.machine.operate(OperatorSwitch::ForceOpen, b.now),
            "FFFFFF",
        ),
        (
            "disable",
            |b| b.machine.operate(OperatorSwitch::Disable, b.now),
            "DDDDDD",
        ),
        (
            "metrics only",
            |b| b.machine.operate(OperatorSwitch::MetricsOnly, b.now),
            "MMMMMM",
        ),
        (
            "auto",
            |b| b.machine.operate(OperatorSwitch::Auto, b.now),
            "CCCCCC",
        ),
    ];
    for (name, event, expected) in events {
        for (from, to) in BreakerState::ALL
            .into_iter()
            .zip(expected.chars().map(named))
        {
            let mut bench = Bench::in_state(from);
            event(&mut bench);
            assert_eq!(bench.machine.state(), to, "{name}, from {from:?}");
            let transitions = bench.machine.take_transitions();
            assert_eq!(
                transitions.is_empty(),
                from == to,
                "{name}: {transitions:?}"
            );
        }
    }
}

/// Who may pass, by state and purpose.
#[test]
fn the_table_of_permissions() {
    for (state, client, settling) in [
        (S::Closed, true, true),
        (S::Open, false, false),
        (S::HalfOpen, true, true),
        (S::Disabled, true, true),
        (S::ForcedOpen, false, true),
        (S::MetricsOnly, true, true),
    ] {
        for (purpose, expected) in [(Purpose::Client, client), (Purpose::Settling, settling)] {
            let Bench { mut machine, now } = Bench::in_state(state);
            assert_eq!(
                machine.permits(purpose, now, 0.0),
                expected,
                "{state:?} {purpose:?}"
            );
            let acquired = machine.acquire(purpose, now, 0.0);
            assert_eq!(acquired.is_ok(), expected, "{state:?} {purpose:?}");
        }
    }
}

#[test]
fn the_numbers_of_the_states_are_resilience4js() {
    let numbers = BreakerState::ALL.map(|state| (state.as_str(), state.number()));
    let expected = [
        ("closed", 0),
        ("open", 1),
        ("half_open", 2),
        ("disabled", 3),
        ("forced_open", 4),
        ("metrics_only", 5),
    ];
    assert_eq!(numbers, expected);
}

#[test]
fn half_of_the_calls_failing_opens_it_and_less_does_not() {
    for (failures, opened) in [(9, false), (10, true)] {
        let mut bench = Bench::new();
        for call in 0..20 {
            // Never five in a row, and the last is a success.
            let failed = call % 2 == 0 && call / 2 < failures;
            bench.calls(1, if failed { Failure } else { Success });
        }
        assert_eq!(bench.machine.state() == S::Open, opened, "{failures} of 20");
    }
}

#[test]
fn half_of_the_calls_being_slow_opens_it() {
    let mut bench = Bench::new();
    for call in 0..20 {
        let ticket = bench.acquire().unwrap();
        let took = if call % 2 == 0 {
            5 * SECOND + QUICK
        } else {
            5 * SECOND
        };
        bench.record_taking(&ticket, Success, took);
    }
    assert_eq!(bench.reason(), Some(TransitionReason::SlowRate));
}

#[test]
fn failures_are_forgotten_after_the_window() {
    let mut bench = Bench::new();
    bench.calls(10, Throttled);
    bench.pass(30 * SECOND);
    bench.calls(10, Success);
    let snapshot = bench.machine.snapshot(bench.now);
    assert_eq!(
        (snapshot.calls, snapshot.failed, snapshot.failure_rate),
        (10, 0, None)
    );
    bench.calls(10, Throttled);
    assert_eq!(bench.machine.state(), S::Open, "ten of twenty");
}

#[test]
fn a_throttled_call_does_not_break_a_row_of_failures_and_a_success_does() {
    let mut bench = Bench::new();
    bench.calls(4, Failure);
    bench.calls(1, Throttled);
    assert_eq!(bench.machine.state(), S::Closed);
    bench.calls(1, Failure);
    assert_eq!(bench.reason(), Some(TransitionReason::ConsecutiveFailures));

    let mut bench = Bench::new();
    for _ in 0..4 {
        bench.calls(4, Failure);
        bench.calls(8, Success);
    }
    assert_eq!(bench.machine.state(), S::Closed, "rate below a half");
}

#[test]
fn an_open_breaker_says_when_to_come_back() {
    let mut bench = Bench::in_state(S::Open);
    let refused = bench.acquire().unwrap_err();
    assert_eq!(
        refused,
        NotPermitted {
            state: S::Open,
            retry_at: Some(bench.now + 10 * SECOND)
        }
    );
    let snapshot = bench.machine.snapshot(bench.now);
    assert_eq!(
        (snapshot.not_permitted, snapshot.retry_at),
        (1, refused.retry_at)
    );
}

#[test]
fn the_wait_doubles_with_every_round_of_failed_probes_until_its_bound() {
    let mut bench = Bench::in_state(S::Open);
    for expected_s in [10, 20, 40, 80, 160, 300, 300] {
        let retry_at = bench.acquire().unwrap_err().retry_at.unwrap();
        assert_eq!(retry_at - bench.now, expected_s * SECOND);
        bench.now = retry_at;
        bench.calls(3, Failure);
        assert_eq!(bench.reason(), Some(TransitionReason::ProbesFailed));
    }
    bench.pass(300 * SECOND);
    bench.calls(3, Success);
    assert_eq!(bench.machine.state(), S::Closed);
    bench.calls(5, Failure);
    let retry_at = bench.acquire().unwrap_err().retry_at.unwrap();
    assert_eq!(
        retry_at - bench.now,
        10 * SECOND,
        "it began anew once closed"
    );
}

#[test]
fn half_open_permits_three_and_one_bad_of_three_closes_it() {
    let mut bench = Bench::in_state(S::HalfOpen);
    let probes: Vec<_> = (0..3).map(|_| bench.acquire().unwrap()).collect();
    let refused = bench.acquire().unwrap_err();
    assert_eq!(
        (refused.state, refused.retry_at),
        (S::HalfOpen, None),
        "nobody knows"
    );
    bench.record(&probes[0], Failure);
    bench.record(&probes[1], Success);
    assert_eq!(
        bench.machine.state(),
        S::HalfOpen,
        "not before every permit brought a result"
    );
    bench.record(&probes[2], Success);
    assert_eq!(bench.reason(), Some(TransitionReason::ProbesSucceeded));
}

#[test]
fn slow_probes_fail() {
    let mut bench = Bench::in_state(S::HalfOpen);
    for _ in 0..3 {
        let probe = bench.acquire().unwrap();
        bench.record_taking(&probe, Success, 6 * SECOND);
    }
    assert_eq!(bench.reason(), Some(TransitionReason::ProbesFailed));
}

#[test]
fn a_dropped_permit_is_returned() {
    let now = Instant::now();
    let breaker = super::super::Breaker::new(BreakerSettings::default(), now);
    for _ in 0..5 {
        let permit = breaker.acquire(Purpose::Client, now, 0.0).unwrap();
        permit.record(Failure, QUICK, now, 0.0);
    }
    let later = now + 10 * SECOND;
    for _ in 0..100 {
        let held: Vec<_> = (0..3)
            .map(|_| breaker.acquire(Purpose::Client, later, 0.0).unwrap())
            .collect();
        assert!(breaker.acquire(Purpose::Client, later, 0.0).is_err());
        drop(held);
    }
    assert_eq!(breaker.state(), S::HalfOpen);
}

#[test]
fn half_open_cannot_hang() {
    let mut bench = Bench::in_state(S::HalfOpen);
    let lost: Vec<_> = (0..3).map(|_| bench.acquire().unwrap()).collect();
    bench.pass(29 * SECOND);
    assert!(bench.acquire().is_err());
    bench.pass(SECOND);
    let refused = bench.acquire().unwrap_err();
    assert_eq!(bench.reason(), Some(TransitionReason::ProbesTimedOut));
    assert_eq!(refused.retry_at, Some(bench.now + 20 * SECOND));
    bench.pass(20 * SECOND);
    assert!(bench.acquire().is_ok(), "and it probes again");
    drop(lost);
}

#[test]
fn what_is_asked_too_little_to_use_its_probes_up_closes_by_those_that_were_good() {
    let mut bench = Bench::in_state(S::HalfOpen);
    let probe = bench.acquire().unwrap();
    bench.record(&probe, Success);
    bench.pass(30 * SECOND);
    assert!(bench.acquire().is_ok());
    assert_eq!(bench.reason(), Some(TransitionReason::ProbesSucceeded));

    let mut bench = Bench::in_state(S::HalfOpen);
    for result in [Success, Failure] {
        let probe = bench.acquire().unwrap();
        bench.record(&probe, result);
    }
    bench.pass(30 * SECOND);
    assert!(bench.acquire().is_err());
    assert_eq!(bench.reason(), Some(TransitionReason::ProbesTimedOut));
}

#[test]
fn the_wait_after_half_open_counts_from_its_end_and_not_from_its_notice() {
    let mut bench = Bench::in_state(S::HalfOpen);
    bench.pass(3_600 * SECOND);
    assert!(bench.acquire().is_ok(), "the wait is long over");
    assert_eq!(bench.machine.state(), S::HalfOpen);
}

#[test]
fn a_late_result_cannot_transition() {
    let mut bench = Bench::new();
    let early: Vec<_> = (0..50).map(|_| bench.acquire().unwrap()).collect();
    bench.calls(5, Failure);
    let retry_at = bench.acquire().unwrap_err().retry_at;
    let (in_open, rest) = early.split_at(10);
    for ticket in in_open {
        bench.record(ticket, Failure);
    }
    let snapshot = bench.machine.snapshot(bench.now);
    assert_eq!(
        (snapshot.state, snapshot.retry_at),
        (S::Open, retry_at),
        "nor move the wait"
    );
    assert_eq!(
        (snapshot.failed, snapshot.late),
        (15, 10),
        "it is recorded all the same"
    );

    bench.pass(10 * SECOND);
    let probes: Vec<_> = (0..3).map(|_| bench.acquire().unwrap()).collect();
    let (in_half_open, in_closed) = rest.split_at(20);
    for ticket in in_half_open {
        bench.record(ticket, Failure);
        bench.machine.release(ticket);
    }
    assert!(bench.acquire().is_err(), "it gives no permit back either");
    for probe in &probes {
        bench.record(probe, Success);
    }
    assert_eq!(bench.machine.state(), S::Closed);
    for ticket in in_closed {
        bench.record(ticket, Failure);
    }
    assert_eq!(bench.machine.state(), S::Closed);
    assert_eq!(bench.machine.snapshot(bench.now).late, 50);
}

#[test]
fn a_disabled_breaker_records_nothing_and_one_for_metrics_does() {
    for (state, calls) in [(S::Disabled, 0), (S::MetricsOnly, 100)] {
        let mut bench = Bench::in_state(state);
        bench.calls(100, Failure);
        let snapshot = bench.machine.snapshot(bench.now);
        assert_eq!((snapshot.state, snapshot.calls), (state, calls));
    }
}

#[test]
fn back_to_auto_it_starts_without_a_past() {
    let mut bench = Bench::in_state(S::MetricsOnly);
    bench.calls(100, Failure);
    bench.machine.operate(OperatorSwitch::Auto, bench.now);
    assert_eq!(bench.machine.snapshot(bench.now).calls, 0);
    bench.calls(4, Failure);
    assert_eq!(bench.machine.state(), S::Closed);
}

#[test]
fn transitions_are_numbered_told_once_and_the_last_twenty_are_kept() {
    let mut bench = Bench::new();
    for _ in 0..15 {
        bench.machine.operate(OperatorSwitch::ForceOpen, bench.now);
        bench.machine.operate(OperatorSwitch::Auto, bench.now);
    }
    let told = bench.machine.take_transitions();
    let numbers: Vec<_> = told.iter().map(|transition| transition.number).collect();
    assert_eq!(numbers, (11..=30).collect::<Vec<_>>());
    assert_eq!(bench.machine.snapshot(bench.now).transitions, told);
    assert!(bench.machine.take_transitions().is_empty());
}
