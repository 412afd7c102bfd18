//! Reading a provider's books at a pace that it bears.

use std::time::Duration;

use tokio::time::sleep;

use crate::{
    environment::Environment,
    provider::{Asked, Books, NotSentReason, Outcome, Record, RecordPage, RefundRecord, Span},
};

/// More than this many payments of one provider are not held at once, which takes some gigabyte: five
/// hours of a hundred a second.
const RECORDS_MAX: usize = 2_000_000;
/// How often one question is asked.
const TRIES_MAX: u32 = 6;
const PAUSE_FIRST: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// How fast a provider is asked.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The pause after each question.
    pub pause: Duration,
}

/// Why a provider's books could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BooksError {
    #[error("provider {provider:?} did not answer: {detail}")]
    Unanswered { provider: String, detail: String },
    #[error("provider {provider:?} shows more than {RECORDS_MAX} payments in that time")]
    TooMany { provider: String },
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

    /// Every payment that was made in a span of time.
    pub(super) async fn all(&self, span: Span) -> Result<Vec<Record>, BooksError> {
        let page = async |after: Option<String>| {
            let ask = || self.books.records(self.asked, span, after.as_deref());
            self.patiently(ask).await
        };
        self.pages(page).await
    }

    /// Every refund that was made in a span of time.
    pub(super) async fn refunds(&self, span: Span) -> Result<Vec<RefundRecord>, BooksError> {
        let page = async |after: Option<String>| {
            let ask = || {
                self.books
                    .refund_records(self.asked, span, after.as_deref())
            };
            self.patiently(ask).await
        };
        self.pages(page).await
    }

    async fn pages<T>(
        &self,
        page: impl AsyncFn(Option<String>) -> Result<RecordPage<T>, BooksError>,
    ) -> Result<Vec<T>, BooksError> {
        let (mut records, mut after) = (Vec::new(), None);
        loop {
            let page = page(after).await?;
            records.extend(page.records);
            if records.len() > RECORDS_MAX {
                let provider = self.name();
                return Err(BooksError::TooMany { provider });
            }
            match page.next {
                None => return Ok(records),
                next => after = next,
            }
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
