//! Many who look in one long list: what one of them read serves the others, and deceives none.

use std::sync::{Arc, Mutex};

use oncepay::provider::{Found, Search, SentBetween};
use tokio::{task::JoinHandle, time::Instant};
use uuid::Uuid;

use super::{server::Server, *};

const DAY_S: i64 = 24 * 3_600;
/// When everybody's operation was first sent, in seconds of the provider's clock.
const SENT: i64 = 1_000_000;

/// An object of the list: when it was made, and by what.
#[derive(Clone, Debug)]
struct Made {
    second: i64,
    number: usize,
    metadata: String,
}

/// A provider that does nothing but list what it has, newest first.
struct Lister {
    made: Arc<Mutex<Vec<Made>>>,
    asked: Arc<Mutex<usize>>,
    provider: StripeProvider,
    answering: JoinHandle<()>,
}

impl Drop for Lister {
    fn drop(&mut self) {
        self.answering.abort();
    }
}

impl Lister {
    async fn start(mut made: Vec<Made>) -> Self {
        made.sort_by_key(|made| std::cmp::Reverse((made.second, made.number)));
        Self::start_in_order(made).await
    }

    async fn start_in_order(made: Vec<Made>) -> Self {
        let server = Server::start().await;
        let provider = provider(&server.url, PATIENCE);
        let (made, asked) = (Arc::new(Mutex::new(made)), Arc::new(Mutex::new(0)));
        let (list, count) = (Arc::clone(&made), Arc::clone(&asked));
        let answering = tokio::spawn(async move {
            loop {
                let mut peer = server.accept().await;
                let (list, count) = (Arc::clone(&list), Arc::clone(&count));
                tokio::spawn(async move {
                    while let Some(request) = peer.next_request().await {
                        *count.lock().unwrap() += 1;
                        let page = page(&list.lock().unwrap(), &request);
                        peer.answer("200 OK", &page).await;
                    }
                });
            }
        });
        Self {
            made,
            asked,
            provider,
            answering,
        }
    }

    fn asked(&self) -> usize {
        *self.asked.lock().unwrap()
    }

    /// One question for `call`; none that is not answered.
    async fn ask(&self, call: &Call, search: &mut Search) -> Option<String> {
        match self.provider.find(call, search).await {
            Found::More => None,
            Found::Absent => Some("absent".into()),
            Found::There(outcome) => Some(line(&outcome)),
            Found::Unanswered(outcome) => panic!("{outcome:?}"),
        }
    }

    /// Looks for `call` to the end.
    async fn look(&self, call: &Call, since: Instant) -> String {
        let mut search = Search::new(sent(), Some(since));
        loop {
            if let Some(told) = self.ask(call, &mut search).await {
                return told;
            }
        }
    }
}

/// The page of `made` that a request asks for.
fn page(made: &[Made], request: &str) -> String {
    let line = request.lines().next().unwrap();
    let (_, query) = line.split_once('?').unwrap();
    let query = query.split(' ').next().unwrap();
    let asked = |name: &str| {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        let found = pairs.find(|(key, _)| key == name)?;
        Some(found.1.into_owned())
    };
    let second = |name: &str| asked(name).unwrap().parse::<i64>().unwrap();
    let (first, last) = (second("created[gte]"), second("created[lte]"));
    let inside = |made: &&Made| (first..=last).contains(&made.second);
    let mut rest: Vec<&Made> = made.iter().filter(inside).collect();
    if let Some(after) = asked("starting_after") {
        let at = rest
            .iter()
            .position(|made| format!("pi_{}", made.number) == after);
        rest.drain(..=at.expect("the object of the cursor is in the list"));
    }
    let limit = asked("limit").unwrap().parse().unwrap();
    let data: Vec<String> = rest.iter().take(limit).map(|made| made.json()).collect();
    let (has_more, data) = (rest.len() > limit, data.join(","));
    format!(r#"{{"object":"list","has_more":{has_more},"data":[{data}]}}"#)
}

impl Made {
    fn json(&self) -> String {
        let Self {
            second,
            number,
            metadata,
        } = self;
        format!(
            r#"{{"id":"pi_{number}","object":"payment_intent","created":{second},"status":"succeeded",
            "amount":4200,"currency":"eur","amount_received":4200,"metadata":{{{metadata}}}}}"#
        )
    }
}

fn sent() -> SentBetween {
    let at = |second: i64| Timestamp::from_micros(second * 1_000_000);
    SentBetween {
        first: at(SENT),
        last: at(SENT + DAY_S),
    }
}

/// The call of one of many operations, each with a key of its own.
fn call_of(provider: &StripeProvider, number: u128) -> Call {
    let mut call = call(provider);
    // The last digits decide where in the list its search begins.
    let id = number << 64 | (number.wrapping_mul(40_503) & 0xffff);
    call.expected.operation_id = Id::from_uuid(Uuid::from_u128(id));
    let key = IdempotencyKey::new(&format!("order-{number}")).unwrap();
    call.expected.identity.payment_key = key.clone();
    call.expected.identity.key = key;
    call
}

/// The object that the operation of `call` made, by its row or, `as_lost`, by one that was lost.
fn made_by(call: &Call, second: i64, number: usize, as_lost: bool) -> Made {
    let (expected, identity) = (&call.expected, &call.expected.identity);
    let operation_id = match as_lost {
        true => Id::from_uuid(Uuid::from_u128(77)),
        false => expected.operation_id,
    };
    Made {
        second,
        number,
        metadata: format!(
            r#""oncepay_operation":"{operation_id}","oncepay_merchant":"{}","oncepay_mode":"{}",
            "oncepay_key":"{}","oncepay_fingerprint":"{}""#,
            identity.merchant_id,
            identity.mode.as_str(),
            identity.key.as_str(),
            identity.fingerprint.to_text()
        ),
    }
}

/// Others' objects, so many seconds apart.
fn others(count: usize, apart: i64) -> Vec<Made> {
    let other = |number| Made {
        second: SENT + apart * i64::try_from(number).unwrap(),
        number,
        metadata: String::new(),
    };
    (0..count).map(other).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_9_one_reading_of_a_long_list_serves_all_who_look() {
    let lister = Lister::start(others(2_000, 40)).await;
    let since = Instant::now();
    for number in 0..30 {
        let call = call_of(&lister.provider, number);
        assert_eq!(lister.look(&call, since).await, "absent", "{number}");
    }
    let pages = 2_000 / 100;
    let asked = lister.asked();
    assert!((pages..pages + 40).contains(&asked), "{asked} questions");
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_9_what_others_read_past_is_found_by_who_looks_for_it() {
    let lister = Lister::start(others(1_000, 60)).await;
    let since = Instant::now();
    let looked_for = [1, 2].map(|number| call_of(&lister.provider, number));
    {
        let mut made = lister.made.lock().unwrap();
        for (place, number, as_lost) in [(0, 300, false), (1, 700, true)] {
            let second = made[number].second;
            made.insert(
                number,
                made_by(&looked_for[place], second, 5_001 + place, as_lost),
            );
        }
    }
    let other = call_of(&lister.provider, 3);
    assert_eq!(lister.look(&other, since).await, "absent");
    let asked = lister.asked();

    assert_eq!(lister.look(&looked_for[0], since).await, "approved pi_5001");
    assert_eq!(lister.look(&looked_for[1], since).await, "approved pi_5002");
    assert!(lister.asked() < asked + 10, "where it may be is read again");
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_9_what_was_read_before_it_counts_is_no_evidence() {
    let lister = Lister::start(others(500, 60)).await;
    let since = Instant::now();
    let other = call_of(&lister.provider, 1);
    assert_eq!(lister.look(&other, since).await, "absent");
    let late = call_of(&lister.provider, 2);
    {
        let mut made = lister.made.lock().unwrap();
        let second = made[250].second;
        made.insert(250, made_by(&late, second, 5_001, false));
    }
    assert_eq!(lister.look(&late, Instant::now()).await, "approved pi_5001");
}

/// Many at once, each at its own place, in lists with seconds that are longer than a page.
#[tokio::test(flavor = "multi_thread")]
async fn rule_9_nobody_overlooks_what_is_there_whoever_read_what() {
    for seed in 0..8_u64 {
        let mut state = seed;
        // Knuth's MMIX numbers.
        let mut draw = move |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let lister = Lister::start(Vec::new()).await;
        let calls: Vec<_> = (0..12)
            .map(|number| call_of(&lister.provider, number))
            .collect();
        let seconds: Vec<i64> = (0..6)
            .map(|_| SENT - 3_600 + i64::try_from(draw(93_600)).unwrap())
            .collect();
        let mut list = others(150, 577);
        let mut expected = Vec::new();
        for number in 1_000..1_600 {
            let second = seconds[usize::try_from(draw(6)).unwrap()];
            list.push(Made {
                second,
                number,
                metadata: String::new(),
            });
        }
        for (place, call) in calls.iter().enumerate() {
            let is_there = draw(2) == 0;
            let number = 10_000 + place * 1_000;
            if is_there {
                let second = seconds[usize::try_from(draw(6)).unwrap()];
                // Somewhere among those of its second.
                let number = usize::try_from(draw(800)).unwrap() * 20 + place;
                list.push(made_by(call, second, 2_000 + number, draw(2) == 0));
                expected.push(format!("approved pi_{}", 2_000 + number));
            } else {
                list.push(made_by(&call_of(&lister.provider, 99), SENT, number, false));
                expected.push("absent".to_owned());
            }
        }
        list.sort_by_key(|made| std::cmp::Reverse((made.second, made.number)));
        *lister.made.lock().unwrap() = list;

        let since = Instant::now();
        let mut searches = vec![Search::new(sent(), Some(since)); calls.len()];
        let mut told: Vec<Option<String>> = vec![None; calls.len()];
        while told.iter().any(Option::is_none) {
            let one = usize::try_from(draw(12)).unwrap();
            if told[one].is_none() {
                told[one] = lister.ask(&calls[one], &mut searches[one]).await;
            }
        }
        let told: Vec<String> = told.into_iter().flatten().collect();
        assert_eq!(told, expected, "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_9_a_list_in_another_order_is_read_by_everybody_alone() {
    let mut list = others(400, 100);
    // Every page has something from elsewhere.
    for place in (0..400).step_by(50) {
        list.swap(place, 399 - place / 2);
    }
    let lister = Lister::start_in_order(list).await;
    let since = Instant::now();
    let there = call_of(&lister.provider, 1);
    {
        let mut made = lister.made.lock().unwrap();
        made.insert(201, made_by(&there, SENT + 15_000, 5_001, false));
    }
    for number in 2..4 {
        let before = lister.asked();
        let call = call_of(&lister.provider, number);
        assert_eq!(lister.look(&call, since).await, "absent");
        assert!(lister.asked() - before >= 4, "each reads all of it");
    }
    assert_eq!(lister.look(&there, since).await, "approved pi_5001");
}
