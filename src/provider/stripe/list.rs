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
/// A hundred thousand objects. Whoever makes more than that within the window of one operation
/// gets no verdict from a list.
const PAGES_MAX: usize = 1_000;

#[derive(Debug, Deserialize)]
struct Page<T> {
    object: String,
    data: Vec<T>,
    has_more: bool,
}

impl<T: Listed> Page<T> {
    /// After what the next page begins, if there is one. A page that leads nowhere would be asked for
    /// again and again.
    fn next(&self, answer: &Answer) -> Result<Option<String>, Outcome> {
        match self.data.last().and_then(Listed::id) {
            _ if !self.has_more => Ok(None),
            None => Err(answer::of_question(answer, None)),
            Some(last) => Ok(Some(last.to_owned())),
        }
    }
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

/// Every object of the list at `path`, or why there is no whole list. `exchanges` opens one page's
/// time limit; `keep` sees each object once and says whether to keep it.
pub(super) async fn all<'a, T: Listed>(
    exchanges: impl Fn() -> Exchanges<'a>,
    path: &str,
    filter: &[(&str, &str)],
    keep: impl Fn(&T) -> bool,
) -> Result<Vec<T>, Outcome> {
    let mut kept = Vec::new();
    let mut after: Option<String> = None;
    for _ in 0..PAGES_MAX {
        let (page, next) = page(&exchanges(), path, filter, after.as_deref()).await?;
        kept.extend(page.into_iter().filter(&keep));
        match next {
            None => return Ok(kept),
            next => after = next,
        }
    }
    Err(super::verdicts::in_doubt(
        crate::provider::InDoubtReason::Unreadable,
        format!("list: longer than {PAGES_MAX} pages"),
    ))
}

/// One page of the list at `path`, and after what the next one begins.
pub(super) async fn page<T: Listed>(
    exchanges: &Exchanges<'_>,
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
    let next = page.next(&answer)?;
    Ok((page.data, next))
}

fn read<T: Listed>(answer: &Answer) -> Result<Page<T>, Outcome> {
    let page: Option<Page<T>> = match answer.status {
        200..=299 => answer.read(),
        _ => None,
    };
    page.filter(|page| page.object == "list")
        .ok_or_else(|| answer::of_question(answer, None))
}
