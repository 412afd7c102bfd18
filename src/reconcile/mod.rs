//! Our records beside those of the providers. Start reading at [`reconcile`]; what a difference is
//! stands in `compare`, and is pure.
//!
//! After a restore, [`recover`] makes ours theirs again; what it rebuilds stands in `import`,
//! and what it asks of payments that stand in `follow_ups`.
//!
//! **Invariant:** what is asked of a provider here moves no money.

mod books;
mod compare;
mod follow_ups;
mod import;
mod recover;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

pub use books::{BooksError, Pace};
pub use compare::{Comparison, Difference, DifferenceKind, compare};
pub use recover::{RecoverError, Recovered, Recovery, recover};

use uuid::Uuid;

use self::books::Reader;
use crate::{
    environment::Environment,
    payment::{Payment, PaymentId, PaymentStatus, Timestamp},
    provider::{Books, Record, Span},
    store::{ReadError, Store},
};

/// Rows that are read at once.
const ROWS_MAX: usize = 100;

/// What to compare.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// Of what was made in it, on either side.
    pub span: Span,
    /// How long an operation may take: what is younger and differs is under way.
    pub under_way: Duration,
    pub pace: Pace,
}

/// A payment that differs.
#[derive(Clone, Debug)]
pub struct Finding {
    pub payment_id: PaymentId,
    pub provider: String,
    pub difference: Difference,
}

/// What was compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Payments of ours and payments that only a provider has.
    pub compared: u64,
    pub equal: u64,
    /// Those that differ, and are too fresh for that to mean something.
    pub under_way: u64,
    pub differing: u64,
    /// Payments at the providers that do not carry our mark, or that of another installation: somebody
    /// else's.
    pub foreign: u64,
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    #[error(transparent)]
    Books(#[from] BooksError),
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Compares everything that was made in a span of time, and calls `report` for each difference.
/// Payments of providers that are not among `providers` are left out.
///
/// # Errors
/// When the store or a provider does not answer, or has more than can be held.
pub async fn reconcile(
    store: &dyn Store,
    providers: &[Arc<dyn Books>],
    environment: &Environment,
    scope: Scope,
    mut report: impl FnMut(Finding),
) -> Result<Summary, ReconcileError> {
    let mut work = Work {
        store,
        installation: store.installation().await?.map(|it| it.id),
        readers: (providers.iter())
            .map(|provider| {
                (
                    provider.profile().name.clone(),
                    Reader::new(&**provider, environment, scope.pace),
                )
            })
            .collect(),
        settled_before: environment.now().minus(scope.under_way),
        summary: Summary::default(),
        report: &mut report,
    };
    let seen = work.books(scope.span).await?;
    work.theirs(&seen).await?;
    work.ours(scope.span, &seen).await?;
    Ok(work.summary)
}

/// The payments that a provider showed, by our id.
type Seen = BTreeMap<(PaymentId, String), Vec<Record>>;

struct Work<'a> {
    store: &'a dyn Store,
    installation: Option<Uuid>,
    readers: BTreeMap<String, Reader<'a>>,
    settled_before: Timestamp,
    summary: Summary,
    report: &'a mut dyn FnMut(Finding),
}

impl Work<'_> {
    async fn books(&mut self, span: Span) -> Result<Seen, ReconcileError> {
        let mut seen = Seen::new();
        for (name, reader) in &self.readers {
            for mut record in reader.all(span).await? {
                // Only rebuilding needs it.
                record.origin = None;
                let is_anothers = is_anothers(record.installation, self.installation);
                match record.payment_id.filter(|_| !is_anothers) {
                    Some(id) => seen.entry((id, name.clone())).or_default().push(record),
                    None => self.summary.foreign += 1,
                }
            }
        }
        Ok(seen)
    }

    /// Every payment that a provider showed.
    async fn theirs(&mut self, seen: &Seen) -> Result<(), ReconcileError> {
        let all: Vec<_> = seen.iter().collect();
        for some in all.chunks(ROWS_MAX) {
            let ids: BTreeSet<_> = some.iter().map(|((id, _), _)| *id).collect();
            let payments = self.store.payments_by_id(ids.into_iter().collect()).await?;
            for ((id, provider), records) in some {
                let payment = payments.iter().find(|payment| payment.id == *id);
                self.one(*id, provider, payment, records).await?;
            }
        }
        Ok(())
    }

    /// Every payment of ours that no provider showed.
    async fn ours(&mut self, span: Span, seen: &Seen) -> Result<(), ReconcileError> {
        let mut after = None;
        loop {
            let limit = u32::try_from(ROWS_MAX).unwrap_or(u32::MAX);
            let page = self
                .store
                .payments_between(span.from, span.to, after, limit)
                .await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some(last.id);
            for payment in &page {
                let provider = payment.provider.clone();
                let is_seen = seen.contains_key(&(payment.id, provider.clone()));
                if !is_seen && self.readers.contains_key(&provider) {
                    self.one(payment.id, &provider, Some(payment), &[]).await?;
                }
            }
        }
    }

    async fn one(
        &mut self,
        id: PaymentId,
        provider: &str,
        payment: Option<&Payment>,
        records: &[Record],
    ) -> Result<(), ReconcileError> {
        let mut records = records.to_vec();
        if let (Some(payment), Some(reader)) = (payment, self.readers.get(provider)) {
            records.extend(known_object(reader, payment, &records).await?);
        }
        // What another provider has of a payment is not of the one that took it.
        let elsewhere = payment.is_some_and(|payment| payment.provider != provider);
        let compared = match payment.filter(|_| elsewhere) {
            Some(payment) => compare(Some(&lent(payment)), &records, self.settled_before),
            None => compare(payment, &records, self.settled_before),
        };
        self.summary.compared += u64::from(!elsewhere);
        match compared {
            Comparison::Equal => self.summary.equal += u64::from(!elsewhere),
            Comparison::UnderWay => self.summary.under_way += 1,
            Comparison::Differs(differences) => {
                self.summary.differing += 1;
                for difference in differences {
                    (self.report)(Finding {
                        payment_id: id,
                        provider: provider.to_owned(),
                        difference,
                    });
                }
            }
        }
        Ok(())
    }
}

/// Whether an object is marked by another installation on the same account.
fn is_anothers(marked: Option<Uuid>, ours: Option<Uuid>) -> bool {
    marked.is_some() && marked != ours
}

/// The object that a payment knows, if it was made at another time than the others.
async fn known_object(
    reader: &Reader<'_>,
    payment: &Payment,
    records: &[Record],
) -> Result<Option<Record>, BooksError> {
    let known = payment.provider_reference.as_deref();
    let is_there = |reference: &str| records.iter().any(|record| record.reference == reference);
    match known {
        Some(reference) if !is_there(reference) => reader.one(reference).await,
        _ => Ok(None),
    }
}

/// A payment as a provider must see it that did not take it: nothing may be there.
fn lent(payment: &Payment) -> Payment {
    Payment {
        status: PaymentStatus::Failed,
        provider_reference: None,
        ..payment.clone()
    }
}
