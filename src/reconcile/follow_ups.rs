//! Captures, cancels and refunds that a restored database does not know (rule 19). Start reading at
//! [`Work::ends_of_holds`] and [`Work::refund`].

use std::time::Duration;

use super::{
    import,
    recover::{CLOCK_SKEW, Named, ROWS_MAX, Work, may_have, no_result},
    recovered::RecoverError,
};
use crate::{
    payment::{
        Begun, Inadmissible, Operation, OperationKind, OperationState, Payment, PaymentStatus,
    },
    provider::{Books, MadeBy, Record, RecordState, RefundRecord},
};

/// No hold is kept longer by a provider.
const HOLD_MAX: Duration = Duration::from_secs(32 * 24 * 3_600);

impl Work<'_> {
    /// Captures and cancels: of every payment that we take for authorized.
    pub(super) async fn ends_of_holds(
        &mut self,
        records: &Named<Record>,
    ) -> Result<(), RecoverError> {
        let from = self.recovery.since.minus(HOLD_MAX);
        let mut after = None;
        loop {
            let to = self.environment.now().plus(CLOCK_SKEW);
            let page = self
                .store
                .payments_between(from, to, after, ROWS_MAX)
                .await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some(last.id);
            for payment in page
                .iter()
                .filter(|it| it.status == PaymentStatus::Authorized)
            {
                self.end_of_hold(payment, records).await?;
            }
        }
    }

    async fn end_of_hold(
        &mut self,
        payment: &Payment,
        records: &Named<Record>,
    ) -> Result<(), RecoverError> {
        let Some(reader) = self.readers.get(&payment.provider) else {
            return Ok(());
        };
        let (books, known) = (reader.books, payment.provider_reference.as_deref());
        let listed = records
            .iter()
            .find(|(_, it)| Some(it.reference.as_str()) == known);
        let record = match (listed, known) {
            (Some((_, record)), _) => Some(record.clone()),
            (None, Some(reference)) => reader.one(reference).await?,
            (None, None) => None,
        };
        let Some(record) = record else {
            return Ok(());
        };
        let (kind, amount) = match record.state {
            RecordState::Captured => (OperationKind::Capture, record.captured),
            RecordState::Voided => (OperationKind::Cancel, 0),
            _ => return Ok(()),
        };
        let told = record
            .captured_by
            .clone()
            .filter(|_| kind == OperationKind::Capture);
        let Some(made_by) = told.or_else(|| import::unnamed(payment, kind, amount)) else {
            return Ok(());
        };
        let imported = self
            .follow_up(books, payment, &made_by, (kind, amount), &record.reference)
            .await?;
        let count = match kind {
            OperationKind::Capture => &mut self.done.captures,
            _ => &mut self.done.cancels,
        };
        *count += u64::from(imported);
        Ok(())
    }

    pub(super) async fn refund(
        &mut self,
        provider: &str,
        refund: &RefundRecord,
    ) -> Result<(), RecoverError> {
        let (Some(made_by), Some(payment_id)) = (&refund.made_by, refund.payment_id) else {
            return Ok(());
        };
        let payment_id = *self.came_again.get(&payment_id).unwrap_or(&payment_id);
        let known = self.store.operation_by_id(made_by.operation_id).await?;
        if known.is_some_and(|standing| standing.operation.state == OperationState::Settled) {
            return Ok(());
        }
        let reference = &refund.reference;
        if refund.installation.is_none() {
            let line = format!("{provider} has {reference}, which does not say whose it is");
            (self.report)(line);
            return Ok(());
        }
        let payment = self.store.payments_by_id(vec![payment_id]).await?.pop();
        let (Some(payment), Some(books)) = (payment, self.books_of(provider)) else {
            match self.recovery.dry_run {
                // Its payment may be one that would be imported before.
                true => self.done.refunds += 1,
                false => (self.report)(format!(
                    "{provider} has {reference}, of a payment that is not here"
                )),
            }
            return Ok(());
        };
        let asked = (OperationKind::Refund, refund.amount);
        let imported = self
            .follow_up(books, &payment, made_by, asked, &refund.reference)
            .await?;
        self.done.refunds += u64::from(imported);
        Ok(())
    }

    /// Whether it was imported, or would be; if not, a person was told why.
    async fn follow_up(
        &mut self,
        books: &dyn Books,
        payment: &Payment,
        made_by: &MadeBy,
        asked: (OperationKind, i64),
        reference: &str,
    ) -> Result<bool, RecoverError> {
        if self.recovery.dry_run {
            return Ok(true);
        }
        let new = import::follow_up(books, payment, made_by, asked, reference, self.stamp());
        let new_one = new.operation.clone();
        let begun = self.store.begin_follow_ups(vec![new]).await.pop();
        let what = asked.0.as_str();
        let refused = match begun.unwrap_or_else(no_result)? {
            // Its client has come again since, and another row stands for it.
            Begun::Standing(standing) if has_it(&standing.operation, reference) => {
                return Ok(false);
            }
            // Or waits for it, as one that was unsettled in the backup does.
            Begun::Standing(standing)
                if !standing.applied
                    && is_of(&standing.operation, &new_one)
                    && may_have(&standing.operation, reference) =>
            {
                let is_the_same = standing.operation.id == made_by.operation_id;
                self.adopt(*standing, books, reference, None).await?;
                return Ok(is_the_same);
            }
            Begun::Standing(standing) if standing.operation.id != made_by.operation_id => format!(
                "{what} of {} was carried out under a key that is taken by {}",
                payment.id, standing.operation.id
            ),
            Begun::Standing(standing) if standing.operation.state == OperationState::Settled => {
                format!(
                    "{what} of {} ({reference}) was carried out, and is refused here",
                    payment.id
                )
            }
            Begun::Standing(standing) => {
                self.finish(*standing, books, None).await?;
                return Ok(true);
            }
            // Whichever it was: the hold is gone, and that settles the one that waits.
            Begun::Inadmissible(Inadmissible::InProgress {
                open: OperationKind::Cancel,
                ..
            }) if asked.0 == OperationKind::Cancel => return Ok(false),
            Begun::Inadmissible(why) => format!(
                "{what} of {} ({reference}) does not fit what is recorded: {why}",
                payment.id
            ),
        };
        (self.report)(refused);
        Ok(false)
    }
}

/// Whether they are rows of the same request: what `new` would be, its row being lost.
fn is_of(operation: &Operation, new: &Operation) -> bool {
    let what = |it: &Operation| (it.payment_id, it.kind, it.amount, it.fingerprint);
    what(operation) == what(new) && operation.route.provider == new.route.provider
}

/// Whether the operation has succeeded by that very object.
fn has_it(operation: &Operation, reference: &str) -> bool {
    operation.state == OperationState::Settled
        && operation.failure.is_none()
        && operation.kind.makes_an_object()
        && operation.provider_reference.as_deref() == Some(reference)
}
