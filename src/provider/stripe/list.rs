//! Stripe's lists: pages of objects, newest first, which show what was written before.

use serde::{Deserialize, de::DeserializeOwned};

use super::{
    answer::{self, Answer},
    exchange::Exchanges,
    intent::PaymentIntent,
    refund::Refund,
};
use crate::provider::Outcome;

/// The most that Stripe puts on one page.
const PAGE_LIMIT: &str = "100";
/// Of a list that is read in one go, which is what was made of one payment.
const PAGES_MAX: usize = 100;

#[derive(Debug, Deserialize)]
struct Page<T> {
    object: String,
    data: Vec<T>,
    has_more: bool,
}

/// An object that a list can go on after.
pub(super) trait Listed: DeserializeOwned {
    fn id(&self) -> Option<&str>;
}

impl Listed for PaymentIntent {
    fn id(&self) -> Option<&str> {
        self.reference()
    }
}

impl Listed for Refund {
    fn id(&self) -> Option<&str> {
        self.reference()
    }
}

/// One page of the list at `path`, from after the object `after`, and the object that the next page
/// comes after; none when this is the last.
pub(super) async fn page<T: Listed>(
    exchanges: Exchanges<'_>,
    path: &str,
    filter: &[(&str, &str)],
    after: Option<&str>,
) -> Result<(Vec<T>, Option<String>), Outcome> {
    let mut query = filter.to_vec();
    query.push(("limit", PAGE_LIMIT));
    query.extend(after.map(|id| ("starting_after", id)));
    let got = exchanges.get(path, &query).await;
    let answer = got.map_err(|no_answer| no_answer.outcome(None, "list"))?;
    let page: Page<T> = read(&answer)?;
    let last = page.data.last().and_then(Listed::id).map(str::to_owned);
    match last {
        _ if !page.has_more => Ok((page.data, None)),
        // A page that leads nowhere would be asked for again and again.
        None => Err(answer::of_question(&answer, None)),
        last => Ok((page.data, last)),
    }
}

/// Every object of the list at `path`, or why there is no whole list. `exchanges` opens one page's
/// time limit; `keep` sees each object once and says whether to keep it.
pub(super) async fn all<'a, T: Listed>(
    exchanges: impl Fn() -> Exchanges<'a>,
    path: &str,
    filter: &[(&str, &str)],
    keep: impl Fn(&T) -> bool,
) -> Result<Vec<T>, Outcome> {
    let mut kept = Vec::new();
    let mut after = None;
    for _ in 0..PAGES_MAX {
        let (objects, next) = page(exchanges(), path, filter, after.as_deref()).await?;
        kept.extend(objects.into_iter().filter(&keep));
        if next.is_none() {
            return Ok(kept);
        }
        after = next;
    }
    Err(super::verdicts::in_doubt(
        crate::provider::InDoubtReason::Unreadable,
        format!("list: longer than {PAGES_MAX} pages"),
    ))
}

fn read<T: Listed>(answer: &Answer) -> Result<Page<T>, Outcome> {
    let page: Option<Page<T>> = match answer.status {
        200..=299 => answer.read(),
        _ => None,
    };
    page.filter(|page| page.object == "list")
        .ok_or_else(|| answer::of_question(answer, None))
}
