//! Claiming operations for recovery. Nobody else writes meanwhile.

use diesel::{dsl::sql, prelude::*, result::Error, sql_types::Bool};

use super::{Writing, change, connection};
use crate::{
    payment::Standing,
    store::{
        Claim,
        batch::{Failure, Writer, Written},
        decide::{PUT_OFF, recover},
        rows::{OperationRow, PaymentRow},
        schema::{operations, payments},
    },
};

impl Writer<Claim> for Writing {
    type Answer = Vec<Standing>;

    async fn write(&self, claims: &[Claim]) -> Result<Written<Vec<Standing>>, Failure> {
        let claims = claims.to_vec();
        let work = self.writer.transaction(move |connection| {
            let claimed = claims.iter().map(|one| claim(connection, one).map(Ok));
            claimed.collect::<Result<Written<Vec<Standing>>, _>>()
        });
        work.await
    }
}

fn claim(connection: &mut SqliteConnection, claim: &Claim) -> Result<Vec<Standing>, Error> {
    let now = connection::now(connection)?;
    let is_unknown = operations::provider_reference.is_null();
    let can_only_be_found = operations::resends_barred.and(is_unknown);
    let due: Vec<(OperationRow, PaymentRow)> = operations::table
        .inner_join(payments::table)
        .filter(operations::state.eq("open"))
        // In these words, not by a parameter: so stands the condition of the index.
        .filter(sql::<Bool>("operations.state <> 'settled'"))
        .filter(operations::next_recovery_at.le(now.as_micros()))
        .filter(operations::lease_until.le(now.as_micros()))
        .filter(operations::provider.eq_any(&claim.providers))
        .filter(can_only_be_found.eq(claim.to_be_found))
        .order(operations::next_recovery_at)
        .limit(i64::from(claim.limit))
        .select((OperationRow::as_select(), PaymentRow::as_select()))
        .load(connection)?;
    let (due, payments): (Vec<_>, Vec<_>) = due.into_iter().unzip();
    let (decision, unclaimed) = recover(claim, due, payments, now);
    change::write(connection, &decision)?;
    // Nothing else of those that cannot be claimed changes.
    diesel::update(operations::table.filter(operations::id.eq_any(unclaimed)))
        .set(operations::next_recovery_at.eq(now.plus(PUT_OFF).as_micros()))
        .execute(connection)?;
    Ok(decision.claimed())
}
