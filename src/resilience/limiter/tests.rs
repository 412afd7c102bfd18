use super::*;
use proptest::prelude::*;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);
const LATENCY: Duration = Duration::from_millis(100);

fn limiter(min: u32, max: u32) -> Limiter {
    Limiter::new(LimiterSettings {
        min,
        max,
        ..LimiterSettings::default()
    })
}

fn limit(limiter: &Limiter) -> u32 {
    limiter.snapshot().limit
}

/// One round of `calls` at once, all of which end alike `took` later.
fn round(limiter: &Limiter, calls: u32, now: Instant, took: Duration, overloaded: bool) -> Instant {
    let permits: Vec<_> = (0..calls)
        .filter_map(|_| limiter.acquire(Purpose::Client, now))
        .collect();
    let ended = now + took;
    for permit in permits {
        permit.complete(overloaded, ended);
    }
    ended
}

#[test]
fn it_takes_as_many_as_the_limit_and_gives_room_back() {
    let (limiter, now) = (limiter(1, 3), Instant::now());
    let mut permits: Vec<_> = (0..3)
        .map(|_| limiter.acquire(Purpose::Client, now).unwrap())
        .collect();
    assert!(!limiter.has_room(Purpose::Client));
    assert!(limiter.acquire(Purpose::Client, now).is_none());
    permits.pop();
    assert!(limiter.acquire(Purpose::Client, now).is_some());
}

#[test]
fn settling_has_a_quarter_for_itself_and_never_less_than_one() {
    for (max, settling_max) in [(1, 1), (3, 1), (8, 2), (40, 10)] {
        let (limiter, now) = (limiter(1, max), Instant::now());
        let _clients: Vec<_> = (0..max)
            .map(|_| limiter.acquire(Purpose::Client, now).unwrap())
            .collect();
        let settling: Vec<_> = (0..max + 1)
            .filter_map(|_| limiter.acquire(Purpose::Settling, now))
            .collect();
        assert_eq!(settling.len(), settling_max, "of {max}");
    }
}

#[test]
fn constant_latency_leaves_the_limit_where_it_is_or_lets_it_grow() {
    let (limiter, mut now) = (limiter(16, 512), Instant::now());
    now = round(&limiter, 512, now, 10 * SECOND, true);
    let cut = limit(&limiter);
    assert_eq!(cut, 358);
    for _ in 0..200 {
        let before = limit(&limiter);
        now = round(&limiter, before, now, LATENCY, false);
        assert!(limit(&limiter) >= before);
    }
    assert_eq!(limit(&limiter), 512, "found again");
}

#[test]
fn a_limit_that_is_hardly_used_does_not_grow() {
    let (limiter, mut now) = (limiter(16, 512), Instant::now());
    for _ in 0..5 {
        now = round(&limiter, 512, now, LATENCY, true);
    }
    let cut = limit(&limiter);
    for _ in 0..1_000 {
        now = round(&limiter, cut / 4, now, LATENCY, false);
    }
    assert_eq!(limit(&limiter), cut);
}

#[test]
fn a_hundred_timeouts_of_one_moment_are_one_cut() {
    let (limiter, now) = (limiter(16, 100), Instant::now());
    round(&limiter, 100, now, 10 * SECOND, true);
    assert_eq!(limit(&limiter), 70);
}

#[test]
fn calls_that_began_before_a_cut_do_not_cut_again() {
    let (limiter, start) = (limiter(16, 100), Instant::now());
    let early = limiter.acquire(Purpose::Client, start).unwrap();
    let earlier = limiter.acquire(Purpose::Client, start).unwrap();
    early.complete(true, start + SECOND);
    let late = limiter.acquire(Purpose::Client, start + SECOND).unwrap();
    earlier.complete(true, start + 2 * SECOND);
    assert_eq!(limit(&limiter), 70);
    late.complete(true, start + 3 * SECOND);
    assert_eq!(limit(&limiter), 49);
}

#[test]
fn an_answer_that_is_too_late_is_a_sign_of_overload() {
    let (limiter, now) = (limiter(16, 100), Instant::now());
    round(&limiter, 1, now, 5 * SECOND, false);
    assert_eq!(limit(&limiter), 100, "just in time");
    round(&limiter, 1, now, 5 * SECOND + LATENCY, false);
    assert_eq!(limit(&limiter), 70);
}

#[test]
fn a_permit_that_is_dropped_teaches_nothing() {
    let (limiter, now) = (limiter(16, 100), Instant::now());
    drop(limiter.acquire(Purpose::Client, now));
    let snapshot = limiter.snapshot();
    assert_eq!((snapshot.limit, snapshot.in_flight), (100, 0));
}

proptest! {
    /// Whatever happens, the limit keeps its bounds and the count is that of the guards alive.
    #[test]
    fn the_bounds_hold_and_no_room_is_lost(
        min in 1..50_u32,
        span in 0..100_u32,
        steps in prop::collection::vec((0..5_u8, any::<bool>(), 0..9_000_u64), 1..300),
    ) {
        let max = min + span;
        let (limiter, mut now) = (limiter(min, max), Instant::now());
        let mut held = Vec::new();
        for (step, settles, pause_ms) in steps {
            now += Duration::from_millis(pause_ms);
            let purpose = if settles { Purpose::Settling } else { Purpose::Client };
            let room = limiter.has_room(purpose);
            match step {
                0..=2 => {
                    let permit = limiter.acquire(purpose, now);
                    prop_assert_eq!(permit.is_some(), room);
                    held.extend(permit.map(|permit| (purpose, permit)));
                }
                3 => drop(held.pop()),
                _ => {
                    if let Some((_, permit)) = held.pop() {
                        permit.complete(settles, now);
                    }
                }
            }
            let snapshot = limiter.snapshot();
            prop_assert!((min..=max).contains(&snapshot.limit));
            let clients = held.iter().filter(|(purpose, _)| *purpose == Purpose::Client).count();
            prop_assert_eq!(snapshot.in_flight as usize, clients);
            prop_assert_eq!(snapshot.settling as usize, held.len() - clients);
        }
    }
}
