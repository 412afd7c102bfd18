//! A look goes on from page to page, through the gate each time.

use super::{
    super::{
        look::find,
        searches::{KEPT_FOR, KEPT_MAX},
    },
    *,
};
use crate::{payment::Timestamp, provider::SentBetween};

impl Bench {
    fn inquiry(&self, reach: Reach) -> Inquiry {
        let now = Timestamp::from_micros(0);
        Inquiry {
            call: self.job(true).call,
            sent: SentBetween {
                first: now,
                last: now,
            },
            absent_at: None,
            reach,
            purpose: Purpose::Settling,
            deadline: Deadline::at(Instant::now() + 60 * SECOND),
        }
    }

    async fn look(&self) -> Found {
        find(&self.shared, &self.inquiry(Reach::Whole)).await
    }

    /// How far the search had come that was asked last.
    fn place(&self) -> usize {
        *self.provider.places.lock().unwrap().last().unwrap()
    }
}

/// A page on which the operation is not, and after which there are more.
fn page() -> Outcome {
    in_doubt(InDoubtReason::KeyInUse, None)
}

/// The last page.
fn absent() -> Outcome {
    in_doubt(InDoubtReason::CallLost, None)
}

fn lost() -> Outcome {
    in_doubt(InDoubtReason::ConnectionLost, None)
}

fn settling(retries: u32) -> GateSettings {
    GateSettings {
        settling: BudgetSettings {
            percent: 0,
            per_s: retries,
            ttl: SECOND,
        },
        ..GateSettings::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_without_an_answer_is_asked_for_again_and_the_look_goes_on() {
    let refused = || not_sent(NotSentReason::ConnectFailed);
    let script = [page(), refused(), lost(), page(), lost(), approved()];
    let bench = Bench::new(GateSettings::default(), script);
    assert_eq!(bench.look().await, Found::There(approved()));
    assert_eq!((bench.sent(), bench.state()), (6, BreakerState::Closed));
}

#[tokio::test(start_paused = true)]
async fn pages_that_are_asked_for_again_are_paid_for() {
    let bench = Bench::new(settling(2), (0..9).map(|_| lost()));
    assert!(matches!(bench.look().await, Found::Unanswered(_)));
    assert_eq!(bench.sent(), 1 + 2);
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_ends_a_look_at_once() {
    let mut script = vec![page()];
    script.extend((0..9).map(|_| lost()));
    let bench = Bench::new(settling(100), script);
    assert!(matches!(bench.look().await, Found::Unanswered(_)));
    // Five in a row open it, and the sixth question is not asked.
    assert_eq!((bench.sent(), bench.state()), (6, BreakerState::Open));
}

#[tokio::test(start_paused = true)]
async fn a_look_ends_by_its_deadline_and_the_next_one_goes_on_there() {
    let pages = (0..2_000).map(|_| page());
    let bench = Bench::new(GateSettings::default(), pages.chain([absent()]));
    let begun = Instant::now();
    assert_eq!(bench.look().await, Found::More);
    assert!(begun.elapsed() <= 60 * SECOND);
    assert!(bench.sent() > 100, "{}", bench.sent());
    let mut looks = 1;
    while bench.look().await == Found::More {
        looks += 1;
    }
    assert_eq!(
        (bench.sent(), bench.place()),
        (2_001, 2_000),
        "each page once"
    );
    assert!(looks < 5, "{looks}");
    bench.look().await;
    assert_eq!(bench.place(), 0, "one that came to its end is over");
}

#[tokio::test(start_paused = true)]
async fn the_next_look_goes_on_at_a_page_that_failed_and_not_at_one_that_was_refused() {
    let refused = || in_doubt(InDoubtReason::Unfinished, None);
    let script = [page(), page(), lost(), page(), refused(), page(), absent()];
    let bench = Bench::new(settling(0), script);
    for (place, ends_so) in [(2, false), (3, false), (1, true)] {
        assert_eq!(bench.look().await == Found::Absent, ends_so);
        assert_eq!(bench.place(), place);
    }
}

#[tokio::test(start_paused = true)]
async fn a_search_that_told_is_not_gone_on_with() {
    let script = [page(), lost(), page(), approved(), absent()];
    let bench = Bench::new(settling(0), script);
    assert!(matches!(bench.look().await, Found::Unanswered(_)));
    assert_eq!(bench.look().await, Found::There(approved()));
    assert_eq!(bench.place(), 2);
    assert_eq!(bench.look().await, Found::Absent);
    assert_eq!(bench.place(), 0);
}

/// Rule 9: what was read of another time, or before the operation was found absent, is no evidence.
#[tokio::test(start_paused = true)]
async fn rule_9_a_search_of_another_time_is_begun_anew() {
    let later = Timestamp::from_micros(1);
    for (reach, last, absent_at, place) in [
        (Reach::Whole, None, None, 1),
        (Reach::Whole, Some(later), None, 0),
        (Reach::Whole, None, Some(later), 0),
        (Reach::WholeSoFar, Some(later), None, 1),
        (Reach::WholeSoFar, Some(later), Some(later), 0),
        (Reach::Near, None, None, 0),
    ] {
        let bench = Bench::new(settling(0), [page(), lost(), absent()]);
        assert!(matches!(bench.look().await, Found::Unanswered(_)));
        let mut inquiry = bench.inquiry(reach);
        inquiry.absent_at = absent_at;
        inquiry.sent.last = last.unwrap_or(inquiry.sent.last);
        assert_eq!(find(&bench.shared, &inquiry).await, Found::Absent);
        assert_eq!(bench.place(), place, "{inquiry:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_that_comes_too_early_asks_for_what_is_near_only_and_is_not_gone_on_with() {
    let bench = Bench::new(GateSettings::default(), (0..100).map(|_| page()));
    for _ in 0..2 {
        let look = find(&bench.shared, &bench.inquiry(Reach::Near)).await;
        assert_eq!((look, bench.place()), (Found::More, 19));
    }
    assert_eq!(bench.sent(), 2 * 20);
}

#[tokio::test(start_paused = true)]
async fn searches_are_kept_up_to_a_bound_and_one_more_drives_out_only_what_was_left_lying() {
    let bench = Bench::new(GateSettings::default(), []);
    let (searches, now) = (Searches::default(), Instant::now());
    let inquiry = |number: u128| {
        let mut inquiry = bench.inquiry(Reach::Whole);
        inquiry.call.expected.operation_id = Id::from_uuid(uuid::Uuid::from_u128(number));
        inquiry
    };
    let begin = |number| {
        let mut progress = searches.go_on(&inquiry(number));
        progress.answered += 1;
        progress
    };
    let keep = |number, now| searches.keep(&inquiry(number), begin(number), now);
    let kept = |number| searches.go_on(&inquiry(number)).answered;
    for number in 0..=KEPT_MAX as u128 {
        keep(number, now);
    }
    let one_more = KEPT_MAX as u128;
    assert_eq!((kept(one_more), kept(0)), (0, 1));
    // Who reads has its place meanwhile.
    let reading = begin(0);
    keep(one_more, now);
    searches.keep(&inquiry(0), reading, now);
    assert_eq!((kept(one_more), kept(0)), (0, 2));
    keep(one_more, now + KEPT_FOR);
    assert_eq!((kept(one_more), kept(0)), (1, 0));
}
