//! Reading a provider's books at a pace that it bears.

use std::time::Duration;

use tokio::time::sleep;

use crate::{
    environment::Environment,
    payment::Timestamp,
    provider::{Asked, Books, NotSentReason, Outcome, Record, RecordPage, RefundRecord, Span},
};

/// How often one question is asked.
const TRIES_MAX: u32 = 6;
const PAUSE_FIRST: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// How fast a provider is asked, and how much of its answers is held.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The pause after each question.
    pub pause: Duration,
    /// Payments, and refunds, of one provider that are held at once; of those that only might help, no
    /// more are read.
    pub records_max: usize,
}

/// Why a provider's books could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BooksError {
    #[error("provider {provider:?} did not answer: {detail}")]
    Unanswered { provider: String, detail: String },
    #[error("provider {provider:?} has more than {max} payments or refunds of ours in that time")]
    TooMany { provider: String, max: usize },
}

/// What a provider's list shows.
pub(super) struct Listed<T> {
    /// Those that were wanted, newest first.
    pub(super) records: Vec<T>,
    /// From when on none is missing; `None` if none is at all, of the whole span.
    pub(super) whole_from: Option<Timestamp>,
}

pub(super) struct Reader<'a> {
    pub(super) books: &'a dyn Books,
    pub(super) asked: Asked,
    pace: Pace,
}

impl<'a> Reader<'a> {
    pub(super) fn new(books: &'a dyn Books, environment: &Environment, pace: Pace) -> Self {
        let request_id = environment.new_id();
        Self {
            books,
            asked: Asked { request_id },
            pace,
        }
    }

    /// Every payment that was made in a span of time and of which `keep` leaves something.
    pub(super) async fn all(
        &self,
        span: Span,
        keep: impl FnMut(Record) -> Option<Record>,
    ) -> Result<Vec<Record>, BooksError> {
        Ok(self.back_to(span, span.from, keep).await?.records)
    }

    /// As [`Self::all`], but only what was made from `needed` on is read at any length.
    pub(super) async fn back_to(
        &self,
        span: Span,
        needed: Timestamp,
        keep: impl FnMut(Record) -> Option<Record>,
    ) -> Result<Listed<Record>, BooksError> {
        let page = async |after: Option<String>| {
            let ask = || self.books.records(self.asked, span, after.as_deref());
            self.patiently(ask).await
        };
        let made_before = |record: &Record| {
            let made_at = record.created_at;
            // Others of the same second may be on the next page.
            (made_at < needed).then(|| made_at.plus(Duration::from_secs(1)))
        };
        self.pages(page, keep, made_before).await
    }

    /// Every refund that was made in a span of time and of which `keep` leaves something.
    pub(super) async fn refunds(
        &self,
        span: Span,
        keep: impl FnMut(RefundRecord) -> Option<RefundRecord>,
    ) -> Result<Vec<RefundRecord>, BooksError> {
        let page = async |after: Option<String>| {
            let ask = || {
                self.books
                    .refund_records(self.asked, span, after.as_deref())
            };
            self.patiently(ask).await
        };
        Ok(self.pages(page, keep, |_| None).await?.records)
    }

    /// Reads to the end of the list, or until more than [`Pace::records_max`] were read and `may_end`
    /// tells of the last one from when on none is missing.
    async fn pages<T>(
        &self,
        page: impl AsyncFn(Option<String>) -> Result<RecordPage<T>, BooksError>,
        mut keep: impl FnMut(T) -> Option<T>,
        may_end: impl Fn(&T) -> Option<Timestamp>,
    ) -> Result<Listed<T>, BooksError> {
        let max = self.pace.records_max;
        let (mut records, mut read, mut after) = (Vec::new(), 0, None);
        loop {
            let page = page(after).await?;
            read += page.records.len();
            let whole_from = page.records.last().and_then(&may_end);
            records.extend(page.records.into_iter().filter_map(&mut keep));
            if page.next.is_none() || (read > max && whole_from.is_some()) {
                let whole_from = whole_from.filter(|_| page.next.is_some());
                return Ok(Listed {
                    records,
                    whole_from,
                });
            }
            if records.len() > max {
                let provider = self.name();
                return Err(BooksError::TooMany { provider, max });
            }
            after = page.next;
        }
    }

    pub(super) async fn one(&self, reference: &str) -> Result<Option<Record>, BooksError> {
        self.patiently(|| self.books.record(self.asked, reference))
            .await
    }

    fn name(&self) -> String {
        self.books.profile().name.clone()
    }

    /// Asks again when there is no answer, later each time, and no earlier than the provider wants.
    async fn patiently<T, F: Future<Output = Result<T, Outcome>>>(
        &self,
        ask: impl Fn() -> F,
    ) -> Result<T, BooksError> {
        let mut pause = PAUSE_FIRST;
        let mut detail = String::new();
        for tries_left in (0..TRIES_MAX).rev() {
            let outcome = match ask().await {
                Ok(answer) => {
                    sleep(self.pace.pause).await;
                    return Ok(answer);
                }
                Err(outcome) => outcome,
            };
            let wanted = match outcome {
                Outcome::NotSent(not_sent) => {
                    detail = not_sent.detail;
                    if not_sent.reason == NotSentReason::Unauthorized {
                        break;
                    }
                    not_sent.retry_after
                }
                Outcome::InDoubt(in_doubt) => {
                    detail = in_doubt.detail;
                    None
                }
                Outcome::Approved(_) | Outcome::Declined(_) => None,
            };
            if tries_left > 0 {
                sleep(pause.max(wanted.unwrap_or_default()).min(PAUSE_MAX)).await;
                pause *= 2;
            }
        }
        Err(BooksError::Unanswered {
            provider: self.name(),
            detail,
        })
    }
}
