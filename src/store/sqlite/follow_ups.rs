//! Recording captures, cancels and refunds, one by one in one transaction. Nobody else writes
//! meanwhile, so that looking before inserting is enough.

use diesel::{OptionalExtension, prelude::*, result::Error};

use super::{Writing, change, connection, reads, unsettled};
use crate::{
    payment::{Begun, NewFollowUp, Operation, Payment, Timestamp},
    store::{
        batch::{Failure, Writer, Written},
        follow_ups::{self, Plan},
        rows::{OperationRow, PaymentRow, Unreadable},
        schema::{operations, payments},
    },
};

impl Writer<NewFollowUp> for Writing {
    type Answer = Begun;

    async fn write(&self, items: &[NewFollowUp]) -> Result<Written<Begun>, Failure> {
        let items = items.to_vec();
        let work = self.writer.transaction(move |connection| {
            let now = connection::now(connection)?;
            let begun = items.iter().map(|item| begin(connection, item, now));
            begun.collect::<Result<Written<Begun>, _>>()
        });
        work.await
    }
}

/// The inner error is of this follow-up alone.
fn begin(
    connection: &mut SqliteConnection,
    item: &NewFollowUp,
    now: Timestamp,
) -> Result<Result<Begun, String>, Error> {
    let admitted = match plan(connection, item, now)? {
        Ok(Plan::Write(admitted)) => admitted,
        Ok(Plan::Answer(begun)) => return Ok(Ok(begun)),
        Err(unreadable) => return Ok(Err(unreadable.to_string())),
    };
    diesel::insert_into(operations::table)
        .values(OperationRow::from(&admitted.operation))
        .execute(connection)?;
    change::write(connection, &follow_ups::decision([&*admitted], now))?;
    Ok(Ok(follow_ups::begun(&admitted, now)))
}

fn plan(
    connection: &mut SqliteConnection,
    item: &NewFollowUp,
    now: Timestamp,
) -> Result<Result<Plan, Unreadable>, Error> {
    let ours = &item.operation;
    let under_key = reads::by_key(
        connection,
        ours.merchant_id,
        ours.mode,
        &ours.idempotency_key,
    );
    let under_key = under_key.optional()?;
    let payment: Option<PaymentRow> = payments::table
        .find(ours.payment_id.to_string())
        .select(PaymentRow::as_select())
        .first(connection)
        .optional()?;
    let unsettled = unsettled::operations_of(connection, ours.payment_id)?;
    let read = || {
        let standing = |(operation, payment)| reads::standing(operation, payment, now);
        let under_key = under_key.map(standing).transpose()?;
        let payment = payment.map(Payment::try_from).transpose()?;
        let unsettled: Result<Vec<_>, _> =
            (unsettled.into_iter()).map(Operation::try_from).collect();
        let payment = payment.as_ref();
        Ok(follow_ups::plan(item, under_key, payment, &unsettled?, now))
    };
    Ok(read())
}
