//! A look goes on from page to page, through the gate each time.

use super::{super::look::find, *};
use crate::{payment::Timestamp, provider::SentBetween};

impl Bench {
    async fn look(&self) -> Found {
        let now = Timestamp::from_micros(0);
        let inquiry = Inquiry {
            call: self.job(true).call,
            sent: SentBetween {
                first: now,
                last: now,
            },
            purpose: Purpose::Settling,
            deadline: Deadline::at(Instant::now() + 60 * SECOND),
        };
        find(&self.shared, &inquiry).await
    }
}

/// A page on which the operation is not, and after which there are more.
fn page() -> Outcome {
    in_doubt(InDoubtReason::Unfinished, None)
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
async fn a_look_ends_by_its_deadline_and_says_nothing_then() {
    let bench = Bench::new(GateSettings::default(), (0..9_999).map(|_| page()));
    let begun = Instant::now();
    assert!(matches!(bench.look().await, Found::Unanswered(_)));
    assert!(begun.elapsed() <= 60 * SECOND);
    assert!(bench.sent() > 100, "{}", bench.sent());
}
