//! Looking for what a create made, in the list of all payment intents of its time. Start reading at
//! [`StripeProvider::find_create`].

use std::time::Duration;

use tokio::time::Instant;

use super::{
    StripeProvider,
    exchange::Exchanges,
    intent::PaymentIntent,
    list,
    lookup::{judge_found, one_of, whole},
    readings::Wanted,
};
use crate::{
    payment::Timestamp,
    provider::{Call, Found, Outcome, Place, Search, SentBetween},
};

/// How far Stripe's clock and the database's may be apart. Were they further apart, a charge would be
/// looked for where it is not, and its absence would settle: so this is four times what AWS takes for
/// a broken clock (15 minutes), and twelve times what Kerberos does. It costs pages only where
/// nothing is found: what is nearest is read first.
const CLOCK_SKEW: Duration = Duration::from_secs(3_600);
/// Around the first send: where an object is that its first attempt made, by clocks that are kept, if
/// nothing held the attempt up. At a hundred payments a second that is three pages, and [`NEAR`] twenty.
const NEAREST: Duration = Duration::from_secs(1);
/// Around the first send: where it is if something did.
const NEAR: Duration = Duration::from_secs(10);
const MICROS_PER_SECOND: i64 = 1_000_000;

/// The seconds from the first of a part to its last.
type Part = (i64, i64);

impl StripeProvider {
    /// Reads one page, and how the finds on it stand. Money that moved ends the search, whatever else
    /// there is; all else may be outdone by it, so that a refusal and an absence need every page, or that
    /// others read it.
    pub(super) async fn find_create(
        &self,
        call: &Call,
        search: &mut Search,
    ) -> Result<Found, Outcome> {
        let wanted = search
            .counts_since
            .map(|since| self.readings.wanted(call, since));
        let parts = parts(search.sent, wanted.map(|_| turn_of(call)));
        if let Some(&(first, last)) = parts.get(search.parts_read) {
            let last = search.place.down_to.unwrap_or(last);
            let first = match wanted {
                Some(it) if !search.place.is_unordered => {
                    self.readings.unknown_from(first, last, &it)
                }
                _ => first,
            };
            // As for the page before: what comes late is seen to be in another order.
            let asked_to = search.place.asked_to.unwrap_or(last);
            let began = Instant::now();
            let exchanges = Exchanges::begin(self, &call.api_version, call.request_id);
            let (intents, next) = list::page::<PaymentIntent>(
                &exchanges,
                "payment_intents",
                &[
                    ("created[gte]", &first.to_string()),
                    ("created[lte]", &asked_to.to_string()),
                ],
                search.place.after.as_deref(),
            )
            .await?;
            let place = match wanted {
                Some(_) if !search.place.is_unordered => {
                    self.shared((first, last), &intents, next, began, &search.place)
                }
                _ => plainly(first, next, &search.place),
            };
            search.place = Place {
                asked_to: place.after.is_some().then_some(asked_to),
                ..place
            };
            for intent in intents.iter().filter(|it| it.is_of_operation(call)) {
                let outcome = judge_found(&exchanges, call, intent).await;
                if matches!(outcome, Outcome::Approved(_)) {
                    return Ok(Found::There(outcome));
                }
                search.met.push(outcome);
            }
            self.go_on(&parts, search, wanted.as_ref());
        }
        if search.parts_read < parts.len() {
            return Ok(Found::More);
        }
        Ok(whole(one_of(search.met.iter().cloned())))
    }

    /// Keeps what was read of whole seconds for everybody, and gives the place after it.
    fn shared(
        &self,
        (first, last): Part,
        intents: &[PaymentIntent],
        next: Option<String>,
        began: Instant,
        place: &Place,
    ) -> Place {
        let created: Option<Vec<i64>> = intents.iter().map(|intent| intent.created).collect();
        let is_ordered = created.is_some_and(|created| {
            let newest_first = created.is_sorted_by(|one, next| one >= next);
            newest_first && created.iter().all(|it| (first..=last).contains(it))
        });
        if !is_ordered {
            // Nobody can rely on it: the part is read once more from its beginning, for this search alone.
            self.readings.forget();
            return Place {
                is_unordered: true,
                ..Place::default()
            };
        }
        let oldest = intents.last().and_then(|intent| intent.created);
        let end = match (&next, oldest) {
            (Some(_), Some(oldest)) => oldest,
            _ => first - 1,
        };
        let (mut since, mut digests) = place.second_read.clone().unwrap_or((began, Vec::new()));
        let (whole, begun): (Vec<_>, Vec<_>) = intents
            .iter()
            .partition(|intent| intent.created > Some(end));
        digests.extend(self.readings.digests(whole.into_iter()));
        if end < last {
            self.readings.keep(end + 1, last, &digests, since);
            (since, digests) = (began, Vec::new());
        }
        digests.extend(self.readings.digests(begun.into_iter()));
        Place {
            down_to: Some(end),
            second_read: next.is_some().then_some((since, digests)),
            after: next,
            ..Place::default()
        }
    }

    /// Goes past what others read, and on to the next part.
    fn go_on(&self, parts: &[Part], search: &mut Search, wanted: Option<&Wanted>) {
        while let Some(&(first, last)) = parts.get(search.parts_read) {
            let at = search.place.down_to.unwrap_or(last);
            let unknown = match wanted {
                Some(it) if !search.place.is_unordered => self.readings.next_unknown(first, at, it),
                _ => (first <= at).then_some(at),
            };
            match unknown {
                Some(second) if second == at => return,
                Some(second) => {
                    search.place = Place {
                        down_to: Some(second),
                        ..Place::default()
                    };
                    return;
                }
                None => {
                    search.parts_read += 1;
                    search.place = Place::default();
                }
            }
        }
    }
}

/// The place after a page that nobody else can rely on.
fn plainly(first: i64, next: Option<String>, place: &Place) -> Place {
    match next {
        None => Place {
            down_to: Some(first - 1),
            ..Place::default()
        },
        after => Place {
            after,
            ..place.clone()
        },
    }
}

/// Where in the list the operation's search begins, once all of it is read: those who read at once begin
/// elsewhere each.
fn turn_of(call: &Call) -> u16 {
    let [.., high, low] = call.expected.operation_id.as_uuid().into_bytes();
    u16::from_be_bytes([high, low])
}

/// The seconds of Stripe's clock in which an object of the operation can have been created, both ends
/// included, in the order in which it is likely to be there: around the first send, after it, before. What
/// is after it is begun in the middle, at `turn` of 65,536 parts.
fn parts(sent: SentBetween, turn: Option<u16>) -> Vec<Part> {
    let second = |time: Timestamp| time.as_micros().div_euclid(MICROS_PER_SECOND);
    let from = second(sent.first.minus(CLOCK_SKEW));
    let to = second(sent.last.plus(CLOCK_SKEW));
    let around = |span| {
        let until = second(sent.first.plus(span)).min(to);
        (second(sent.first.minus(span)), until)
    };
    let (nearest, near) = (around(NEAREST), around(NEAR));
    let after = near.1 + 1;
    let middle = match turn {
        Some(turn) => after + (to - after).max(0) * i64::from(turn) / i64::from(u16::MAX),
        None => to,
    };
    let parts = [
        nearest,
        (nearest.1 + 1, near.1),
        (near.0, nearest.0 - 1),
        (after, middle),
        (middle + 1, to),
        (from, near.0 - 1),
    ];
    parts.into_iter().filter(|(from, to)| from <= to).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule 9: no second of the time in which it can have been made is left out or read twice.
    #[test]
    fn rule_9_the_parts_are_the_whole_window_and_the_nearest_comes_first() {
        let at = |second: i64| Timestamp::from_micros(second * MICROS_PER_SECOND + 999_999);
        let turns = [None, Some(0), Some(40_000), Some(u16::MAX)];
        let cases = [0, 1, 3, 86_400].map(|length| turns.map(|turn| (length, turn)));
        for (length, turn) in cases.into_iter().flatten() {
            let (first, last) = (100_000, 100_000 + length);
            let sent = SentBetween {
                first: at(first),
                last: at(last),
            };
            let mut parts = parts(sent, turn);
            let around = [(-1, 1), (2, 10), (-10, -2)];
            let around = around.map(|(from, to)| (first + from, first + to));
            assert_eq!(parts[..3], around);
            parts.sort_unstable();
            assert_eq!(parts.first().map(|part| part.0), Some(first - 3_600));
            assert_eq!(parts.last().map(|part| part.1), Some(last + 3_600));
            let joined = |pair: &[(i64, i64)]| pair[0].1 + 1 == pair[1].0;
            assert!(parts.windows(2).all(joined), "{parts:?}");
        }
    }
}
