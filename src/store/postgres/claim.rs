//! Claiming operations for recovery: those that nobody else claims at this moment.

use std::sync::LazyLock;

use diesel::result::Error;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

use super::{
    Writing,
    change::{lock_payments, texts, write},
    statement::{NOW, SqlOf, Statement, listed},
};
use crate::{
    payment::Standing,
    store::{
        Claim,
        batch::{Failure, Writer, Written},
        decide::{self, recover},
        rows::{Column, OperationRow},
    },
};

// The statements' names in the cache.
struct Due;
struct PutOff;

static DUE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "select {} from operations as o
        where o.state = 'open' and o.state <> 'settled' and o.next_recovery_at <= {NOW}
            and o.lease_until <= {NOW} and o.provider = any(?)
            and (o.resends_barred and o.provider_reference is null) = (?)[1]
        order by o.next_recovery_at limit (?)[1] for update skip locked",
        listed("o", OperationRow::COLUMNS)
    )
});

impl Writer<Claim> for Writing {
    type Answer = Vec<Standing>;

    async fn write(&self, claims: &[Claim]) -> Result<Written<Vec<Standing>>, Failure> {
        let mut connection = self.connection().await?;
        let mut committing = false;
        let work = connection.transaction(async |connection| {
            let mut claimed = Vec::new();
            for one in claims {
                claimed.push(Ok(claim(connection, one).await?));
            }
            committing = true;
            Ok::<_, Error>(claimed)
        });
        let claimed = work.await;
        claimed.map_err(|error| super::failed(&error, committing))
    }
}

async fn claim(connection: &mut AsyncPgConnection, claim: &Claim) -> Result<Vec<Standing>, Error> {
    let limit = vec![Some(i64::from(claim.limit))];
    let to_be_found = vec![Some(claim.to_be_found)];
    let columns = vec![
        texts(&claim.providers),
        Column::Bool(to_be_found),
        Column::BigInt(limit),
    ];
    let due: Vec<OperationRow> = Statement::<Due, SqlOf<OperationRow>>::new(&DUE, columns)
        .load(connection)
        .await?;
    let payments: Vec<_> = due.iter().map(|row| row.payment_id.clone()).collect();
    let (payments, now) = lock_payments(connection, &payments).await?;
    let (decision, unclaimed) = recover(claim, due, payments, now);
    write(connection, &decision).await?;
    put_off(connection, &unclaimed).await?;
    Ok(decision.claimed())
}

/// Lets those wait that are locked and cannot be claimed: nothing else of them changes.
async fn put_off(connection: &mut AsyncPgConnection, ids: &[String]) -> Result<(), Error> {
    static PUT_OFF: LazyLock<String> = LazyLock::new(|| {
        let micros = decide::PUT_OFF.as_micros();
        format!("update operations set next_recovery_at = {NOW} + {micros} where id = any(?)")
    });
    if ids.is_empty() {
        return Ok(());
    }
    let put_off = Statement::<PutOff, ()>::new(&PUT_OFF, vec![texts(ids)]);
    put_off.execute(connection).await.map(drop)
}
