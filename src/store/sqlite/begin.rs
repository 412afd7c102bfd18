//! Recording intents, one by one in one transaction. Nobody else writes meanwhile, so that looking
//! before inserting is enough.

use diesel::{OptionalExtension, prelude::*, result::Error};

use super::{Writing, connection, reads};
use crate::{
    payment::{NewOperation, Standing, Timestamp},
    store::{
        batch::{Failure, Writer, Written},
        decide::rows_of,
        rows::OperationRow,
        schema::{operations, payment_events, payments},
    },
};

impl Writer<NewOperation> for Writing {
    type Answer = Standing;

    async fn write(&self, items: &[NewOperation]) -> Result<Written, Failure> {
        let items = items.to_vec();
        let work = self.writer.transaction(move |connection| {
            let now = connection::now(connection)?;
            let begun = (items.into_iter()).map(|item| begin(connection, item, now));
            begun.collect::<Result<Written, _>>()
        });
        work.await
    }
}

/// The inner error is of this intent alone.
fn begin(
    connection: &mut SqliteConnection,
    item: NewOperation,
    now: Timestamp,
) -> Result<Result<Standing, String>, Error> {
    let ours = &item.operation;
    let standing = reads::by_key(
        connection,
        ours.merchant_id,
        ours.mode,
        &ours.idempotency_key,
    )
    .optional()?
    .map(|(operation, payment)| reads::standing(operation, payment, now));
    let Some(standing) = standing else {
        return insert(connection, item, now).map(Ok);
    };
    Ok(standing.map_err(String::from).map(|mut standing| {
        // Who finds himself has won, and was not told so.
        standing.applied =
            standing.operation.id == ours.id && standing.operation.owner == ours.owner;
        standing
    }))
}

fn insert(
    connection: &mut SqliteConnection,
    mut item: NewOperation,
    now: Timestamp,
) -> Result<Standing, Error> {
    item.operation.lease_until = now.plus(item.lease);
    item.operation.next_recovery_at = now.plus(item.lease);
    item.operation.first_sent_at = now;
    let (operation, payment, event): (OperationRow, _, _) = rows_of(&item);
    diesel::insert_into(payments::table)
        .values(payment)
        .execute(connection)?;
    diesel::insert_into(operations::table)
        .values(operation)
        .execute(connection)?;
    diesel::insert_into(payment_events::table)
        .values(event)
        .execute(connection)?;
    Ok(Standing {
        operation: item.operation,
        payment: item.payment,
        applied: true,
        now,
    })
}
