use proptest::{collection::vec, prelude::*};

use tokio::time::Instant;

use super::*;

const SECONDS: i64 = 40;

/// Something that was read: seconds, digests, and when.
type Read = ((i64, i64), Vec<u64>, u64);

fn read() -> impl Strategy<Value = Read> {
    let seconds = (0..SECONDS, 0..8_i64).prop_map(|(first, more)| (first, first + more));
    (seconds, vec(0..6_u64, 0..3), 0..100_u64)
}

fn wanted(digests: [u64; 2], since: Instant) -> Wanted {
    Wanted { digests, since }
}

proptest! {
    /// Rule 9: each second is as it was read the last time, and no second is made up.
    #[test]
    fn rule_9_no_second_is_known_that_was_not_read_since_it_counts(
        reads in vec(read(), 0..30),
        asked in (0..SECONDS, 0..SECONDS, 0..6_u64, 0..100_u64),
    ) {
        let start = Instant::now();
        let at = |number| start + Duration::from_secs(number);
        let readings = Readings::default();
        let mut by_second: BTreeMap<i64, (u64, Vec<u64>)> = BTreeMap::new();
        for ((first, last), digests, began) in reads {
            readings.keep(first, last, &digests, at(began));
            for second in first..=last {
                by_second.insert(second, (began, digests.clone()));
            }
        }
        let (first, more, digest, since) = asked;
        let last = first + more;
        let is_known = |second: &i64| {
            by_second.get(second).is_some_and(|(began, digests)| {
                *began >= since && !digests.contains(&digest)
            })
        };
        let it = wanted([digest, u64::MAX], at(since));

        let unknown = readings.next_unknown(first, last, &it);

        prop_assert_eq!(unknown, (first..=last).rev().find(|second| !is_known(second)));
        if let Some(unknown) = unknown {
            let below = (first..=unknown).rev().find(is_known);
            let expected = below.map_or(first, |known| known + 1);
            prop_assert_eq!(readings.unknown_from(first, unknown, &it), expected);
        }
    }
}

#[test]
fn what_was_read_longest_ago_makes_room() {
    let (readings, start) = (Readings::default(), Instant::now());
    let third = vec![1; WORDS_MAX / 3 - WORDS_EACH];
    for (second, began) in [(1, 1), (2, 0), (3, 2)] {
        let began = start + Duration::from_secs(began);
        readings.keep(second, second, &third, began);
    }
    let is_known = |second| {
        let it = wanted([2, 3], start);
        readings.next_unknown(second, second, &it).is_none()
    };
    assert_eq!([1, 2, 3].map(is_known), [true, true, true]);

    readings.keep(4, 4, &[1; 2], start + Duration::from_secs(3));
    assert_eq!([1, 2, 3, 4].map(is_known), [true, false, true, true]);

    readings.keep(5, 5, &[], start + KEPT_FOR + Duration::from_secs(1));
    assert_eq!(
        [1, 2, 3, 4, 5].map(is_known),
        [false, false, true, true, true]
    );
    assert_eq!(
        readings.lock().words,
        WORDS_MAX / 3 + WORDS_EACH + 2 + WORDS_EACH
    );
}
