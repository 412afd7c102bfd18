//! After a backup was restored (rule 19). Start reading at [`recover`].
//!
//! What was unsettled in the backup may have been sent, released, canceled or settled since, so nothing
//! is ever sent for it again. What was begun since is known to the providers alone; each object there
//! carries what it takes to rebuild its operation, so that a retry finds its answer and not its charge.
//!
//! **Invariant:** an imported operation is in doubt, knows its object and is barred from sending before
//! anybody can see it: whoever finds it half done goes on by asking.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use uuid::Uuid;

use super::{
    books::Reader,
    compare::shown,
    import::{self, Stamp},
    recovered::{RecoverError, Recovered, Recovery},
};
use crate::{
    environment::Environment,
    payment::{
        Change, FoundAt, Merchant, Operation, OperationChange, OperationId, OperationKind,
        OperationState, PaymentId, Standing, Timestamp, Verdict,
    },
    provider::{Books, Call, MadeBy, Outcome, Record, RecordState},
    store::{Installation, ReadError, Store, WriteError},
};

/// How far the clocks of a provider and ours may be apart, with room to spare.
pub(super) const CLOCK_SKEW: Duration = Duration::from_secs(3_600);
pub(super) const ROWS_MAX: u32 = 100;

/// Makes our records the providers' again; calls `report` for what a person must look at. No server
/// may run meanwhile.
///
/// # Errors
/// [`RecoverError`] says what did not answer, what was done until then stands; or that nothing can be
/// recovered, and nothing was done.
pub async fn recover(
    store: &dyn Store,
    providers: &[Arc<dyn Books>],
    environment: &Environment,
    recovery: Recovery,
    mut report: impl FnMut(String),
) -> Result<Recovered, RecoverError> {
    let readers = providers.iter().map(|provider| {
        let name = provider.profile().name.clone();
        (name, Reader::new(&**provider, environment, recovery.pace))
    });
    let installation = store.installation().await?;
    let mut work = Work {
        store,
        environment,
        installation: installation.ok_or(RecoverError::NoInstallation)?.id,
        readers: readers.collect(),
        recovery,
        done: Recovered::default(),
        came_again: BTreeMap::new(),
        report: &mut report,
    };
    // All of the reading first: a provider that does not answer leaves everything as it was.
    let (records, refunds) = work.books().await?;
    if records.is_empty() && refunds.is_empty() && work.has_no_payment().await? {
        return Err(RecoverError::NothingIsOurs {
            since: recovery.since,
            others: work.done.others,
        });
    }
    if !recovery.dry_run {
        store
            .renew_installation(Installation::new(environment))
            .await?;
    }
    work.unsettled(&records).await?;
    for (provider, record) in &records {
        work.creation(provider, record).await?;
    }
    work.ends_of_holds(&records).await?;
    for (provider, refund) in &refunds {
        work.refund(provider, refund).await?;
    }
    Ok(work.done)
}

pub(super) type Named<T> = Vec<(String, T)>;

pub(super) struct Work<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) environment: &'a Environment,
    pub(super) installation: Uuid,
    pub(super) readers: BTreeMap<String, Reader<'a>>,
    pub(super) recovery: Recovery,
    pub(super) done: Recovered,
    /// Payments whose rows were lost, and the rows that stand for them since their clients came again.
    pub(super) came_again: BTreeMap<PaymentId, PaymentId>,
    pub(super) report: &'a mut dyn FnMut(String),
}

impl<'a> Work<'a> {
    async fn has_no_payment(&self) -> Result<bool, ReadError> {
        let from = Timestamp::from_micros(0);
        let some = self.store.payments_between(from, self.span().to, None, 1);
        Ok(some.await?.is_empty())
    }

    pub(super) fn books_of(&self, provider: &str) -> Option<&'a dyn Books> {
        self.readers.get(provider).map(|reader| reader.books)
    }

    pub(super) fn stamp(&self) -> Stamp {
        Stamp {
            owner: self.environment.new_owner(),
            request_id: self.environment.new_id(),
            now: self.environment.now(),
        }
    }

    /// Puts every open and released operation in doubt.
    async fn unsettled(&mut self, records: &Named<Record>) -> Result<(), RecoverError> {
        let mut shown: BTreeMap<OperationId, (&str, &Record)> = BTreeMap::new();
        for (provider, record) in records {
            if let Some(id) = record.operation_id {
                let known = shown.entry(id).or_insert((provider.as_str(), record));
                // Money that moved counts before what was refused.
                if record.keeps_money() && !known.1.keeps_money() {
                    *known = (provider.as_str(), record);
                }
            }
        }
        let mut after = None;
        loop {
            let page = self.store.unsettled_after(after, ROWS_MAX).await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some(last.operation.id);
            for standing in &page {
                let record = shown.get(&standing.operation.id).copied();
                self.put_in_doubt(standing, record).await?;
            }
        }
    }

    async fn put_in_doubt(
        &mut self,
        standing: &Standing,
        record: Option<(&str, &Record)>,
    ) -> Result<(), RecoverError> {
        let Standing {
            operation, payment, ..
        } = standing;
        let creates = operation.kind == OperationKind::Create;
        let found = record.filter(|_| creates).and_then(|(provider, record)| {
            let books = self.books_of(provider)?;
            let moved = operation.route.provider != provider;
            Some(FoundAt {
                route: match moved {
                    true => import::route_of(books, payment, operation),
                    false => operation.route.clone(),
                },
                reference: record.reference.clone(),
            })
        });
        self.done.put_in_doubt += u64::from(!operation.is_restored());
        if !self.recovery.dry_run {
            let restore = self.restore(found);
            self.change(operation, restore).await?;
        }
        Ok(())
    }

    fn restore(&self, found: Option<FoundAt>) -> Change {
        Change::Restore {
            owner: self.environment.new_owner(),
            found,
        }
    }

    /// Imports the payment of a record, unless we have it.
    async fn creation(&mut self, provider: &str, record: &Record) -> Result<(), RecoverError> {
        let (Some(id), Some(books)) = (record.operation_id, self.books_of(provider)) else {
            return Ok(());
        };
        if let Some(standing) = self.store.operation_by_id(id).await? {
            return self.known(standing, (provider, books), record).await;
        }
        // What does not say that it is ours may be another installation's.
        let origin = record
            .origin
            .as_ref()
            .filter(|_| record.installation.is_some());
        let creation = origin.and_then(|it| import::creation(books, record, it, self.stamp()));
        let (Some(origin), Some(creation)) = (origin, creation) else {
            let reference = &record.reference;
            (self.report)(format!(
                "{provider} has {reference}, which does not say whose it is: {} {} {}",
                record.state.as_str(),
                record.amount,
                record.currency
            ));
            return Ok(());
        };
        let is_whole = creation.is_whole;
        if !self.recovery.dry_run {
            self.ensure_merchant(origin.merchant_id).await?;
            let begun = self.store.begin(vec![creation.new]).await.pop();
            let standing = begun.unwrap_or_else(no_result)?;
            if !standing.applied && is_of(&standing, (provider, record), &origin.made_by) {
                if is_too_old(&standing.operation, books, record) {
                    return Ok(());
                }
                return self
                    .adopt(standing, books, &record.reference, Some(record))
                    .await;
            }
            if !standing.applied {
                (self.report)(format!(
                    "{provider} has {}, whose key is taken by {}",
                    record.reference, standing.payment.id
                ));
                return Ok(());
            }
            self.finish(standing, books, Some(record)).await?;
        }
        self.done.payments += 1;
        self.done.incomplete += u64::from(!is_whole);
        Ok(())
    }

    /// Settles an operation of ours by its object. One that is not its object, and keeps money, is a
    /// second charge: which of the two the customer is to have back, a person decides.
    async fn known(
        &mut self,
        standing: Standing,
        (provider, books): (&str, &dyn Books),
        record: &Record,
    ) -> Result<(), RecoverError> {
        let Standing {
            operation, payment, ..
        } = &standing;
        let is_settled = operation.state == OperationState::Settled;
        let its = &operation.provider_reference;
        let its = its.as_ref().or(payment.provider_reference.as_ref());
        let is_its = match its {
            Some(its) => *its == record.reference,
            None => !is_settled,
        };
        if is_its {
            return self.finish(standing, books, Some(record)).await;
        }
        // That one the servers give back, or have.
        let is_stray = operation.stray_reference.as_ref() == Some(&record.reference);
        // Before it was put in doubt, what is not settled may know another.
        let is_sure = is_settled || !self.recovery.dry_run;
        if record.keeps_money() && !is_stray && is_sure {
            (self.report)(format!(
                "{provider} has {}, made for {}, which is {} here with {}",
                shown(record),
                payment.id,
                payment.status,
                its.map_or("no charge", String::as_str),
            ));
        }
        Ok(())
    }

    /// Its client has come again since, with the same request, and its row has another id: what the
    /// provider has under the key is that row's.
    pub(super) async fn adopt(
        &mut self,
        standing: Standing,
        books: &dyn Books,
        reference: &str,
        record: Option<&Record>,
    ) -> Result<(), RecoverError> {
        if standing.operation.state == OperationState::Settled {
            return Ok(());
        }
        let Standing {
            operation, payment, ..
        } = &standing;
        if let Some(lost) = record.and_then(|record| record.payment_id) {
            self.came_again.insert(lost, payment.id);
        }
        let restore = self.restore(Some(FoundAt {
            route: match operation.route.provider == books.profile().name {
                true => operation.route.clone(),
                false => import::route_of(books, payment, operation),
            },
            reference: reference.to_owned(),
        }));
        let standing = self.change(&standing.operation, restore).await?;
        self.finish(standing, books, record).await
    }

    /// A merchant that was made since the backup: its name is not known.
    async fn ensure_merchant(&self, id: crate::payment::MerchantId) -> Result<(), RecoverError> {
        let merchants = self.store.merchants().await?;
        if merchants.iter().any(|merchant| merchant.id == id) {
            return Ok(());
        }
        let merchant = Merchant {
            id,
            name: format!("restored {id}"),
            created_at: self.environment.now(),
            disabled_at: None,
        };
        self.store.create_merchant(merchant).await?;
        Ok(())
    }

    /// Tells in the history where an operation comes from, and settles it by what the provider shows.
    pub(super) async fn finish(
        &mut self,
        standing: Standing,
        books: &dyn Books,
        record: Option<&Record>,
    ) -> Result<(), RecoverError> {
        if self.recovery.dry_run || standing.operation.state == OperationState::Settled {
            return Ok(());
        }
        let restore = self.restore(None);
        let standing = self.change(&standing.operation, restore).await?;
        let creates = standing.operation.kind == OperationKind::Create;
        let told = record.filter(|_| creates).and_then(import::verdict_of);
        let verdict = match told {
            Some(verdict) => Some(verdict),
            None => self.inspected(&standing, books).await,
        };
        match verdict {
            Some(verdict) => {
                let settle = Change::Settle(verdict);
                self.change(&standing.operation, settle).await?;
            }
            None => self.done.left_in_doubt += 1,
        }
        Ok(())
    }

    async fn inspected(&self, standing: &Standing, books: &dyn Books) -> Option<Verdict> {
        let reference = standing.operation.provider_reference.as_deref()?;
        let call = Call::of(standing, self.environment.new_id());
        match books.inspect(&call, reference).await {
            Outcome::Approved(approval) => Some(Verdict::Approved(approval)),
            Outcome::Declined(decline) => Some(Verdict::Declined(decline)),
            Outcome::NotSent(_) | Outcome::InDoubt(_) => None,
        }
    }

    async fn change(
        &self,
        operation: &Operation,
        change: Change,
    ) -> Result<Standing, RecoverError> {
        let change = OperationChange {
            operation_id: operation.id,
            epoch: operation.epoch,
            change,
            at: self.environment.now(),
        };
        let changed = self.store.change(vec![change]).await.pop();
        Ok(changed.unwrap_or_else(no_result)?)
    }
}

/// Whether the operation that has the key is another row for the same request, and has no other object.
fn is_of(standing: &Standing, (provider, record): (&str, &Record), made_by: &MadeBy) -> bool {
    let operation = &standing.operation;
    operation.fingerprint == made_by.fingerprint
        && match &operation.provider_reference {
            Some(its) => *its == record.reference && operation.route.provider == provider,
            // It may have been asked of another provider since.
            None => operation.state != OperationState::Settled,
        }
}

/// Whether the record is a refusal from before the provider forgot the key: what its client asked for
/// when it came again was carried out anew, if it was.
fn is_too_old(operation: &Operation, books: &dyn Books, record: &Record) -> bool {
    let forgotten = record.created_at.plus(books.profile().key_retention);
    operation.state != OperationState::Settled
        && matches!(record.state, RecordState::Refused | RecordState::Voided)
        && forgotten < operation.created_at
}

/// Whether the operation waits for what became of it, and has no object, or that one.
pub(super) fn may_have(operation: &Operation, reference: &str) -> bool {
    let its = operation.provider_reference.as_deref();
    operation.state != OperationState::Settled && its.is_none_or(|its| its == reference)
}

/// The error of a store that breaks its word: it owes a result for each row.
pub(super) fn no_result<T>() -> Result<T, WriteError> {
    Err(WriteError::Unknown("the store gave no result".to_owned()))
}
