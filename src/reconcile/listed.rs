//! What the providers' lists show of our own, and how far back they are read for it. Start reading at
//! [`Work::books`].
//!
//! **Invariant:** what was made since the time that was asked for is read whole, or nothing is done.

use std::collections::{BTreeMap, HashSet};

use super::{
    books::Listed,
    is_anothers,
    recover::{CLOCK_SKEW, Named, ROWS_MAX, Work},
    recovered::RecoverError,
};
use crate::{
    payment::{Operation, OperationId, OperationKind, OperationState, Timestamp},
    provider::{Record, RefundRecord, Span},
    store::ReadError,
};

/// When the creations were made that may have been sent before the time that is recovered, by provider:
/// only the one that has an operation in the backup can have carried it out before.
type OldDoubts = BTreeMap<String, Vec<(OperationId, Timestamp)>>;

impl Work<'_> {
    pub(super) fn span(&self) -> Span {
        Span {
            from: self.recovery.since.minus(CLOCK_SKEW),
            to: self.environment.now().plus(CLOCK_SKEW),
        }
    }

    /// What carries our marks, the oldest first: from `since` on, and as far back as there is an old doubt
    /// and [`super::Pace::records_max`] allows. What became of anything else shows at its own object.
    pub(super) async fn books(
        &mut self,
    ) -> Result<(Named<Record>, Named<RefundRecord>), RecoverError> {
        let span = self.span();
        let old = self.old_doubts(span.from).await?;
        let (mut records, mut refunds) = (Vec::new(), Vec::new());
        let (mut others, mut not_looked_for) = (0, Vec::new());
        let mut is_ours = |marked| {
            let is_anothers = is_anothers(marked, self.installation);
            others += u64::from(is_anothers);
            !is_anothers
        };
        for (name, reader) in &self.readers {
            let old = old.get(name).map_or(&[][..], Vec::as_slice);
            let first = old
                .iter()
                .map(|(_, made_at)| made_at.minus(CLOCK_SKEW))
                .min();
            let longest = Span {
                from: first.unwrap_or(span.from).min(span.from),
                ..span
            };
            let ours =
                |it: Record| (is_ours(it.installation) && it.operation_id.is_some()).then_some(it);
            let Listed {
                records: all,
                whole_from,
            } = reader.back_to(longest, span.from, ours).await?;
            let found: HashSet<_> = all.iter().filter_map(|it| it.operation_id).collect();
            let missed = old.iter().filter(|(id, made_at)| {
                let is_cut = |from| made_at.minus(CLOCK_SKEW) < from;
                whole_from.is_some_and(is_cut) && !found.contains(id)
            });
            not_looked_for.extend(missed.map(|(_, made_at)| *made_at));
            records.extend(all.into_iter().rev().map(|it| (name.clone(), it)));
            let ours =
                |it: RefundRecord| (is_ours(it.installation) && it.made_by.is_some()).then_some(it);
            let all = reader.refunds(span, ours).await?;
            refunds.extend(all.into_iter().rev().map(|it| (name.clone(), it)));
        }
        self.done.others = others;
        self.done.not_looked_for = not_looked_for.len() as u64;
        self.done.oldest_not_looked_for = not_looked_for.into_iter().min();
        Ok((records, refunds))
    }

    async fn old_doubts(&self, from: Timestamp) -> Result<OldDoubts, ReadError> {
        let (mut old, mut after) = (OldDoubts::new(), None);
        loop {
            let page = self.store.unsettled_after(after, ROWS_MAX).await?;
            let Some(last) = page.last() else {
                return Ok(old);
            };
            after = Some(last.operation.id);
            let operations = page.iter().map(|standing| &standing.operation);
            for operation in operations.filter(|it| may_have_been_sent(it)) {
                if operation.created_at.minus(CLOCK_SKEW) < from {
                    let of_provider = old.entry(operation.route.provider.clone());
                    of_provider
                        .or_default()
                        .push((operation.id, operation.created_at));
                }
            }
        }
    }
}

/// Whether it may have made a payment before the backup. What a person is to settle was looked for in vain
/// since long ago.
fn may_have_been_sent(operation: &Operation) -> bool {
    operation.kind == OperationKind::Create
        && operation.state == OperationState::Open
        && !operation.is_a_person_s()
}
