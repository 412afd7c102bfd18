//! Changing operations and their payments in one transaction of the only writer.

use std::collections::BTreeMap;

use diesel::{OptionalExtension, prelude::*, result::Error};

use super::{Writing, connection};
use crate::{
    payment::{OperationChange, Standing},
    store::{
        batch::{Failure, Writer, Written},
        decide::{Decision, Locked, decide},
        rows::{OperationRow, PaymentRow},
        schema::{operations, payment_events, payments},
    },
};

impl Writer<OperationChange> for Writing {
    type Answer = Standing;

    async fn write(&self, items: &[OperationChange]) -> Result<Written, Failure> {
        let items = items.to_vec();
        let work = self.writer.transaction(move |connection| {
            let decision = decide(&items, read(connection, &items)?);
            write(connection, &decision)?;
            Ok(decision.answers)
        });
        work.await
    }
}

fn read(connection: &mut SqliteConnection, items: &[OperationChange]) -> Result<Locked, Error> {
    let now = connection::now(connection)?;
    let (mut operations, mut payments) = (Vec::new(), BTreeMap::new());
    for item in items {
        let rows: Option<(OperationRow, PaymentRow)> = operations::table
            .inner_join(payments::table)
            .filter(operations::id.eq(item.operation_id.to_string()))
            .select((OperationRow::as_select(), PaymentRow::as_select()))
            .first(connection)
            .optional()?;
        if let Some((operation, payment)) = rows {
            operations.push(operation);
            payments.insert(payment.id.clone(), payment);
        }
    }
    Ok(Locked::new(operations, payments.into_values(), now))
}

/// Writes rows that were read, and checks that each was there.
pub(super) fn write(connection: &mut SqliteConnection, decision: &Decision) -> Result<(), Error> {
    let mut updated = 0;
    for row in &decision.operations {
        updated += diesel::update(operations::table.find(&row.id))
            .set(row)
            .execute(connection)?;
    }
    for row in &decision.payments {
        updated += diesel::update(payments::table.find(&row.id))
            .set(row)
            .execute(connection)?;
    }
    for row in &decision.events {
        diesel::insert_into(payment_events::table)
            .values(row)
            .execute(connection)?;
    }
    if updated == decision.operations.len() + decision.payments.len() {
        return Ok(());
    }
    tracing::error!(
        updated,
        "alarm: rows that were read were not there to be written"
    );
    Err(Error::NotFound)
}
