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
mod listed;
mod recover;
mod recovered;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

pub use books::{BooksError, Pace};
pub use compare::{Comparison, Difference, DifferenceKind, Open, compare};
pub use recover::recover;
pub use recovered::{RecoverError, Recovered, Recovery};

use uuid::Uuid;

use self::books::Reader;
use crate::{
    environment::Environment,
    payment::{Payment, PaymentId, PaymentStatus, Timestamp},
    provider::{Books, Record, Span},
    store::{ReadError, Store},
};

/// Rows that are read at once.
const ROWS_MAX: u32 = 100;

/// What to compare.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// Of what was made in it, on either side.
    pub span: Span,
    /// Whether payments of providers that are not at hand are passed over; otherwise they are an error.
    pub is_partial: bool,
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
    /// Without one nothing at the providers is our own, and all would be somebody else's.
    #[error("no server was ever started over this database")]
    NoInstallation,
    /// How many payments of each provider nobody can be asked about.
    #[error("in that time, payments went to providers that are not configured: {}", counted(.0))]
    NotConfigured(BTreeMap<String, u64>),
    #[error(transparent)]
    Books(#[from] BooksError),
    #[error(transparent)]
    Read(#[from] ReadError),
}

fn counted(payments: &BTreeMap<String, u64>) -> String {
    let all: Vec<_> = (payments.iter())
        .map(|(provider, count)| format!("{count} to {provider:?}"))
        .collect();
    all.join(", ")
}

/// Compares everything that was made in a span of time, and calls `report` for each difference.
///
/// # Errors
/// When the store or a provider does not answer, or has more than can be held; when the store has no
/// installation; and when a payment went to a provider that is not among `providers`, unless the
/// scope [is partial](Scope::is_partial).
pub async fn reconcile(
    store: &dyn Store,
    providers: &[Arc<dyn Books>],
    environment: &Environment,
    scope: Scope,
    mut report: impl FnMut(Finding),
) -> Result<Summary, ReconcileError> {
    let installation = store.installation().await?;
    let mut work = Work {
        store,
        installation: installation.ok_or(ReconcileError::NoInstallation)?.id,
        readers: (providers.iter())
            .map(|provider| {
                (
                    provider.profile().name.clone(),
                    Reader::new(&**provider, environment, scope.pace),
                )
            })
            .collect(),
        settled_before: environment.now().minus(scope.under_way),
        open: BTreeMap::new(),
        summary: Summary::default(),
        report: &mut report,
    };
    if !scope.is_partial {
        work.every_provider_is_at_hand(scope.span).await?;
    }
    // Before the payments are read: what is settled meanwhile shows as fresh, and not as in doubt.
    work.open = open(store).await?;
    let mut seen = work.books(scope.span).await?;
    let under_other_ids = work.theirs(&seen).await?;
    seen.extend(under_other_ids.into_iter().map(|id| (id, Vec::new())));
    work.ours(scope.span, &seen).await?;
    Ok(work.summary)
}

/// The payments that a provider showed, by our id.
type Seen = BTreeMap<(PaymentId, String), Vec<Record>>;

/// Captures, cancels and refunds of which nobody knows yet what became, by payment.
async fn open(store: &dyn Store) -> Result<BTreeMap<PaymentId, Vec<Open>>, ReadError> {
    let (mut open, mut after) = (BTreeMap::<_, Vec<_>>::new(), None);
    loop {
        let page = store.unsettled_after(after, ROWS_MAX).await?;
        let Some(last) = page.last() else {
            return Ok(open);
        };
        after = Some(last.operation.id);
        for standing in &page {
            if let Some(one) = Open::of(&standing.operation) {
                open.entry(standing.payment.id).or_default().push(one);
            }
        }
    }
}

struct Work<'a> {
    store: &'a dyn Store,
    installation: Uuid,
    readers: BTreeMap<String, Reader<'a>>,
    settled_before: Timestamp,
    open: BTreeMap<PaymentId, Vec<Open>>,
    summary: Summary,
    report: &'a mut dyn FnMut(Finding),
}

impl Work<'_> {
    /// Before any provider is asked, which takes its time.
    async fn every_provider_is_at_hand(&self, span: Span) -> Result<(), ReconcileError> {
        let (mut missing, mut after) = (BTreeMap::new(), None);
        loop {
            let page = self.page(span, after).await?;
            let Some(last) = page.last() else {
                break;
            };
            after = Some(last.id);
            for payment in page {
                if !self.readers.contains_key(&payment.provider) {
                    *missing.entry(payment.provider).or_default() += 1;
                }
            }
        }
        match missing.is_empty() {
            true => Ok(()),
            false => Err(ReconcileError::NotConfigured(missing)),
        }
    }

    async fn page(&self, span: Span, after: Option<PaymentId>) -> Result<Vec<Payment>, ReadError> {
        let Span { from, to } = span;
        self.store.payments_between(from, to, after, ROWS_MAX).await
    }

    async fn books(&mut self, span: Span) -> Result<Seen, ReconcileError> {
        let mut seen = Seen::new();
        let mut foreign = 0;
        let mut ours = |mut record: Record| {
            // Only rebuilding needs it.
            record.origin = None;
            let is_anothers = is_anothers(record.installation, self.installation);
            let is_ours = record.payment_id.is_some() && !is_anothers;
            foreign += u64::from(!is_ours);
            is_ours.then_some(record)
        };
        for (name, reader) in &self.readers {
            for record in reader.all(span, &mut ours).await? {
                if let Some(id) = record.payment_id {
                    seen.entry((id, name.clone())).or_default().push(record);
                }
            }
        }
        self.summary.foreign += foreign;
        Ok(seen)
    }

    /// Every payment that a provider showed; gives those that have another id than it showed.
    async fn theirs(&mut self, seen: &Seen) -> Result<Vec<(PaymentId, String)>, ReconcileError> {
        let mut under_other_ids = Vec::new();
        let all: Vec<_> = seen.iter().collect();
        for some in all.chunks(ROWS_MAX as usize) {
            let ids: BTreeSet<_> = some.iter().map(|((id, _), _)| *id).collect();
            let payments = self.store.payments_by_id(ids.into_iter().collect()).await?;
            for ((id, provider), records) in some {
                let known = payments.iter().find(|payment| payment.id == *id).cloned();
                let payment = match known {
                    None => self.under_its_key(provider, records).await?,
                    known => known,
                };
                let its_id = payment.as_ref().map_or(*id, |payment| payment.id);
                if its_id != *id {
                    under_other_ids.push((its_id, provider.clone()));
                }
                self.one(its_id, provider, payment.as_ref(), records)
                    .await?;
            }
        }
        Ok(under_other_ids)
    }

    /// The payment that stands for one of the objects under another id than that says: its row was lost, and
    /// its client came again with the same request.
    async fn under_its_key(
        &self,
        provider: &str,
        records: &[Record],
    ) -> Result<Option<Payment>, ReconcileError> {
        for record in records {
            let whole = match self.readers.get(provider) {
                Some(reader) => reader.one(&record.reference).await?,
                None => None,
            };
            let Some(origin) = whole.and_then(|record| record.origin) else {
                continue;
            };
            let key = &origin.made_by.idempotency_key;
            let standing = self.store.operation(origin.merchant_id, origin.mode, key);
            let standing = standing.await?.filter(|standing| {
                standing.operation.provider_reference.as_ref() == Some(&record.reference)
            });
            if let Some(standing) = standing {
                return Ok(Some(standing.payment));
            }
        }
        Ok(None)
    }

    /// Every payment of ours that no provider showed.
    async fn ours(&mut self, span: Span, seen: &Seen) -> Result<(), ReconcileError> {
        let mut after = None;
        loop {
            let page = self.page(span, after).await?;
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
            Some(payment) => compare(Some(&lent(payment)), &[], &records, self.settled_before),
            None => {
                let open = self.open.get(&id).map_or(&[][..], Vec::as_slice);
                compare(payment, open, &records, self.settled_before)
            }
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
fn is_anothers(marked: Option<Uuid>, ours: Uuid) -> bool {
    marked.is_some_and(|marked| marked != ours)
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
