//! Stripe's lists: pages of objects, newest first, which show what was written before.

use serde::{Deserialize, de::DeserializeOwned};

use super::{
    answer::{self, Answer},
    exchange::Exchanges,
    intent::PaymentIntent,
    refund::Refund,
};
use crate::provider::Outcome;

/// Objects of a page: the most that Stripe puts on one, and what is asked for again where that many are
/// too long ([`super::client::LIST_BYTES_MAX`]).
const PAGE_LIMITS: [&str; 2] = ["100", "10"];
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
    exchanges: &Exchanges<'_>,
    path: &str,
    filter: &[(&str, &str)],
    after: Option<&str>,
) -> Result<(Vec<T>, Option<String>), Outcome> {
    let [whole, part] = PAGE_LIMITS;
    let mut answer = limited(exchanges, path, filter, after, whole).await?;
    if answer.status == 200 && answer.body.is_none() {
        answer = limited(exchanges, path, filter, after, part).await?;
    }
    let page: Page<T> = read(&answer)?;
    let last = page.data.last().and_then(Listed::id).map(str::to_owned);
    match last {
        _ if !page.has_more => Ok((page.data, None)),
        // A page that leads nowhere would be asked for again and again.
        None => Err(answer::of_question(&answer, None)),
        last => Ok((page.data, last)),
    }
}

async fn limited(
    exchanges: &Exchanges<'_>,
    path: &str,
    filter: &[(&str, &str)],
    after: Option<&str>,
    limit: &str,
) -> Result<Answer, Outcome> {
    let mut query = filter.to_vec();
    query.push(("limit", limit));
    query.extend(after.map(|id| ("starting_after", id)));
    let got = exchanges.list(path, &query).await;
    got.map_err(|no_answer| no_answer.outcome(None, "list"))
}

/// Every object of the list at `path`, read within the time of `exchanges`, or why there is no whole list;
/// `keep` sees each object once and says whether to keep it.
pub(super) async fn all<T: Listed>(
    exchanges: &Exchanges<'_>,
    path: &str,
    filter: &[(&str, &str)],
    keep: impl Fn(&T) -> bool,
) -> Result<Vec<T>, Outcome> {
    let mut kept = Vec::new();
    let mut after = None;
    for _ in 0..PAGES_MAX {
        let (objects, next) = page(exchanges, path, filter, after.as_deref()).await?;
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
