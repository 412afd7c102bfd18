//! The reading endpoints: one object, pages of objects newest first, and the search by metadata.
//!
//! A list sees what was just written. Only the search may lag, under the fault `lookup_lag`.

use serde::Serialize;

use super::answer::{Answer, Refusal};
use super::form::Form;
use super::intents::{Intent, WithCharge, unix_seconds};
use super::ledger::Ledger;
use super::refunds::Refund;
use super::search_query;

const LIMIT_DEFAULT: usize = 10;
const LIMIT_MAX: i64 = 100;
/// Where the charge of an intent shall be shown in place of its id.
const EXPAND_CHARGE: &str = "latest_charge";
const LIST_PARAMETERS: &[&str] = &["created", "limit", "starting_after", "expand"];
const REFUND_LIST_PARAMETERS: &[&str] = &[
    "created",
    "limit",
    "starting_after",
    "payment_intent",
    "expand",
];
const SEARCH_PARAMETERS: &[&str] = &["query", "limit", "page", "expand"];

#[derive(Serialize)]
struct Page<'a, T> {
    object: &'static str,
    url: &'static str,
    has_more: bool,
    data: Vec<&'a T>,
}

#[derive(Serialize)]
struct SearchPage<'a> {
    #[serde(flatten)]
    page: Page<'a, Intent>,
    next_page: Option<&'a str>,
}

pub(super) fn retrieve(ledger: &Ledger, id: &str, form: &Form) -> Result<Answer, Refusal> {
    form.only(&["expand"])?;
    match ledger.find(id) {
        Some((_, intent)) if expands(form, EXPAND_CHARGE) => Ok(Answer::ok(&WithCharge(intent))),
        Some((_, intent)) => Ok(Answer::ok(intent)),
        None => Err(Refusal::missing("payment_intent", id, "intent")),
    }
}

pub(super) fn retrieve_refund(ledger: &Ledger, id: &str, form: &Form) -> Result<Answer, Refusal> {
    form.only(&["expand"])?;
    match ledger.find_refund(id) {
        Some((_, refund)) => Ok(Answer::ok(refund)),
        None => Err(Refusal::missing("refund", id, "id")),
    }
}

pub(super) fn list(ledger: &Ledger, form: &Form) -> Result<Answer, Refusal> {
    form.only(LIST_PARAMETERS)?;
    let limit = limit(form)?;
    let window = Window::parse(form)?;
    let all = ledger.intents();
    let end = match form.get("starting_after") {
        None => all.partition_point(|intent| !window.is_before(intent.created_us)),
        Some(id) => match ledger.find(id) {
            Some((at, _)) => {
                at.min(all.partition_point(|intent| !window.is_before(intent.created_us)))
            }
            None => return Err(Refusal::missing("payment_intent", id, "starting_after")),
        },
    };
    let newest_first = all.get(..end).unwrap_or_default().iter().rev();
    let inside = newest_first.take_while(|intent| !window.is_after(intent.created_us));
    let (object, url) = ("list", "/v1/payment_intents");
    let page = page(object, url, inside, limit);
    if !expands(form, &format!("data.{EXPAND_CHARGE}")) {
        return Ok(Answer::ok(&page));
    }
    let expanded: Vec<_> = page.data.into_iter().map(WithCharge).collect();
    Ok(Answer::ok(&Page {
        object,
        url,
        has_more: page.has_more,
        data: expanded.iter().collect(),
    }))
}

/// Whether `expand[]` names the field.
fn expands(form: &Form, field: &str) -> bool {
    form.nested("expand").any(|(_, named)| named == field)
}

pub(super) fn list_refunds(ledger: &Ledger, form: &Form) -> Result<Answer, Refusal> {
    form.only(REFUND_LIST_PARAMETERS)?;
    let limit = limit(form)?;
    let window = Window::parse(form)?;
    let before = match form.get("starting_after") {
        None => usize::MAX,
        Some(id) => match ledger.find_refund(id) {
            Some((at, _)) => at,
            None => return Err(Refusal::missing("refund", id, "starting_after")),
        },
    };
    let inside =
        |(at, refund): &(usize, &Refund)| *at < before && window.contains(refund.created_us);
    let page = match form.get("payment_intent") {
        None => {
            let newest_first = ledger.refunds().iter().enumerate().rev();
            page(
                "list",
                "/v1/refunds",
                newest_first.filter(inside).map(|(_, r)| r),
                limit,
            )
        }
        Some(id) => {
            let Some((_, intent)) = ledger.find(id) else {
                return Err(Refusal::missing("payment_intent", id, "payment_intent"));
            };
            let positions = intent.refunds.iter().rev();
            let newest_first = positions.filter_map(|&at| Some((at, ledger.refunds().get(at)?)));
            page(
                "list",
                "/v1/refunds",
                newest_first.filter(inside).map(|(_, r)| r),
                limit,
            )
        }
    };
    Ok(Answer::ok(&page))
}

/// Finds by metadata what was created up to `until_us`; what is younger is not indexed yet.
pub(super) fn search(ledger: &Ledger, form: &Form, until_us: i64) -> Result<Answer, Refusal> {
    form.only(SEARCH_PARAMETERS)?;
    let limit = limit(form)?;
    let clauses = search_query::parse(form.required("query")?)
        .map_err(|wrong| Refusal::invalid(None, "query", format!("Invalid query: {wrong}")))?;
    let before = match form.get("page") {
        None => usize::MAX,
        Some(token) => match ledger.find(token) {
            Some((at, _)) => at,
            None => return Err(Refusal::invalid(None, "page", "Invalid page token.")),
        },
    };
    let rarest = clauses
        .iter()
        .map(|(key, value)| ledger.with_metadata(key, value))
        .min_by_key(|positions| positions.len())
        .unwrap_or_default();
    let matches = |intent: &&Intent| {
        intent.created_us <= until_us
            && clauses
                .iter()
                .all(|(key, value)| intent.metadata.get(key) == Some(value.as_str()))
    };
    let newest_first = rarest.iter().rev().filter(|at| **at < before);
    let found = newest_first
        .filter_map(|at| ledger.get(*at))
        .filter(matches);
    let page = page("search_result", "/v1/payment_intents/search", found, limit);
    let last = page.data.last().map(|intent| &*intent.id);
    let next_page = last.filter(|_| page.has_more);
    Ok(Answer::ok(&SearchPage { page, next_page }))
}

fn page<'a, T>(
    object: &'static str,
    url: &'static str,
    mut newest_first: impl Iterator<Item = &'a T>,
    limit: usize,
) -> Page<'a, T> {
    let data: Vec<_> = newest_first.by_ref().take(limit).collect();
    Page {
        object,
        url,
        has_more: newest_first.next().is_some(),
        data,
    }
}

fn limit(form: &Form) -> Result<usize, Refusal> {
    match form.integer("limit")? {
        None => Ok(LIMIT_DEFAULT),
        Some(limit @ 1..=LIMIT_MAX) => Ok(usize::try_from(limit).unwrap_or(LIMIT_DEFAULT)),
        Some(_) => Err(Refusal::invalid(
            None,
            "limit",
            "limit must be from 1 to 100.",
        )),
    }
}

/// The seconds that `created[gte|gt|lte|lt]` leave, both ends included.
struct Window {
    from: i64,
    to: i64,
}

impl Window {
    fn parse(form: &Form) -> Result<Self, Refusal> {
        let mut window = Self {
            from: i64::MIN,
            to: i64::MAX,
        };
        for (bound, _) in form.nested("created") {
            let name = format!("created[{bound}]");
            let at = form.integer(&name)?.unwrap_or_default();
            match bound {
                "gte" => window.from = window.from.max(at),
                "gt" => window.from = window.from.max(at.saturating_add(1)),
                "lte" => window.to = window.to.min(at),
                "lt" => window.to = window.to.min(at.saturating_sub(1)),
                _ => {
                    let message = format!("Received unknown parameter: {name}");
                    return Err(Refusal::invalid(Some("parameter_unknown"), &name, message));
                }
            }
        }
        Ok(window)
    }

    /// Whether the window ends ahead of this time.
    fn is_before(&self, time_us: i64) -> bool {
        self.to < unix_seconds(time_us)
    }

    /// Whether the window starts later than this time.
    fn is_after(&self, time_us: i64) -> bool {
        unix_seconds(time_us) < self.from
    }

    fn contains(&self, time_us: i64) -> bool {
        !self.is_before(time_us) && !self.is_after(time_us)
    }
}
