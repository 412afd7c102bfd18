//! Recording captures, cancels and refunds: lock, decide, insert, write, in one transaction.

use std::{collections::BTreeMap, sync::LazyLock};

use diesel::{result::Error, sql_types::Text};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

use super::{
    Writing,
    change::{lock_payments, texts, write},
    reads::{Found, found, unsettled_ids},
    statement::{SqlOf, Statement, check, listed, unnest},
};
use crate::{
    payment::{Admitted, Begun, NewFollowUp, Operation, Payment, PaymentId, Standing, Timestamp},
    store::{
        batch::{Failure, Writer, Written},
        follow_ups::{self, Plan},
        rows::{OperationRow, Unreadable},
    },
};

// The statements' names in the cache.
struct LockUnsettled;
struct Unsettled;
struct Insert;

static LOCK_UNSETTLED: LazyLock<String> = LazyLock::new(|| {
    let ids = unsettled_ids();
    format!("select o.id from operations as o where {ids} order by o.id for update")
});

static UNSETTLED: LazyLock<String> = LazyLock::new(|| {
    let (operation, ids) = (listed("o", OperationRow::COLUMNS), unsettled_ids());
    format!("select {operation} from operations as o where {ids} order by o.id")
});

/// Inserts in the order of the keys, as intents are.
static INSERT: LazyLock<String> = LazyLock::new(|| {
    format!(
        "insert into operations ({columns}) select {listed} from {operations}
        order by o.merchant_id, o.mode, o.idempotency_key
        on conflict (merchant_id, mode, idempotency_key) do nothing
        returning id",
        columns = OperationRow::COLUMNS.join(", "),
        listed = listed("o", OperationRow::COLUMNS),
        operations = unnest("o", OperationRow::COLUMNS),
    )
});

impl Writer<NewFollowUp> for Writing {
    type Answer = Begun;

    async fn write(&self, items: &[NewFollowUp]) -> Result<Written<Begun>, Failure> {
        let mut connection = self.connection().await?;
        let mut committing = false;
        let work = connection.transaction(async |connection| {
            let answers = begin(connection, items).await?;
            committing = true;
            Ok::<_, Error>(answers)
        });
        let answers = work.await;
        answers.map_err(|error| super::failed(&error, committing))
    }
}

async fn begin(
    connection: &mut AsyncPgConnection,
    items: &[NewFollowUp],
) -> Result<Written<Begun>, Error> {
    let payments = lock(connection, items).await?;
    let mut under_key = under_keys(connection, items.iter()).await?;
    let plan = |item: &NewFollowUp| -> Result<_, String> {
        let under_key = (under_key.remove(&Found::key_of(&item.operation))).transpose()?;
        let locked = (payments.rows.get(&item.operation.payment_id)).cloned();
        let (payment, unsettled) = match locked.transpose()? {
            Some((payment, unsettled)) => (Some(payment), unsettled),
            None => (None, Vec::new()),
        };
        let payment = payment.as_ref();
        Ok(follow_ups::plan(
            item,
            under_key,
            payment,
            &unsettled,
            payments.now,
        ))
    };
    let plans: Vec<_> = items.iter().map(plan).collect();
    let admitted = plans.iter().filter_map(|plan| match plan {
        Ok(Plan::Write(admitted)) => Some(&**admitted),
        _ => None,
    });
    let admitted: Vec<_> = admitted.collect();
    let inserted = insert(connection, &admitted).await?;
    let has_won = |one: &Admitted| inserted.contains(&one.operation.id.to_string());
    let won = admitted.iter().copied().filter(|one| has_won(one));
    write(connection, &follow_ups::decision(won, payments.now)).await?;
    let lost = items.iter().zip(&plans).filter_map(|(item, plan)| {
        let has_lost = matches!(plan, Ok(Plan::Write(admitted)) if !has_won(admitted));
        has_lost.then_some(item)
    });
    // Read by a statement that begins after the winner has committed; only such a one sees it.
    let mut standing = under_keys(connection, lost).await?;
    let answers = items.iter().zip(plans).map(|(item, plan)| match plan? {
        Plan::Answer(begun) => Ok(begun),
        Plan::Write(admitted) if has_won(&admitted) => {
            Ok(follow_ups::begun(&admitted, payments.now))
        }
        Plan::Write(_) => {
            let standing = standing.remove(&Found::key_of(&item.operation));
            let standing = standing.ok_or("the key is taken, and nobody has it")??;
            Ok(follow_ups::known(item, standing))
        }
    });
    Ok(answers.collect())
}

/// The payments that were locked, each with its unsettled operations, and the clock after that.
struct Payments {
    rows: BTreeMap<PaymentId, Result<(Payment, Vec<Operation>), String>>,
    now: Timestamp,
}

/// Locks operations before payments. An operation that came between the two locks is not locked
/// itself; whoever changes it has to wait for its payment.
async fn lock(
    connection: &mut AsyncPgConnection,
    items: &[NewFollowUp],
) -> Result<Payments, Error> {
    let mut ids: Vec<_> = (items.iter())
        .map(|item| item.operation.payment_id.to_string())
        .collect();
    ids.sort_unstable();
    Statement::<LockUnsettled, Text>::new(&LOCK_UNSETTLED, vec![texts(&ids); 2])
        .execute(connection)
        .await?;
    let (payments, now) = lock_payments(connection, &ids).await?;
    let unsettled: Vec<OperationRow> =
        Statement::<Unsettled, SqlOf<OperationRow>>::new(&UNSETTLED, vec![texts(&ids); 2])
            .load(connection)
            .await?;
    let mut operations: BTreeMap<String, Vec<OperationRow>> = BTreeMap::new();
    for row in unsettled {
        let of_one = operations.entry(row.payment_id.clone()).or_default();
        of_one.push(row);
    }
    let mut rows = BTreeMap::new();
    for item in items {
        let id = item.operation.payment_id;
        let text = id.to_string();
        let Some(payment) = payments.iter().find(|row| row.id == text) else {
            continue;
        };
        let operations = operations.remove(&text).unwrap_or_default();
        let read = || {
            let operations: Result<_, Unreadable> =
                (operations.into_iter()).map(Operation::try_from).collect();
            Ok((Payment::try_from(payment.clone())?, operations?))
        };
        rows.insert(id, read().map_err(|error: Unreadable| error.to_string()));
    }
    Ok(Payments { rows, now })
}

type UnderKeys = BTreeMap<(String, String, String), Result<Standing, String>>;

async fn under_keys(
    connection: &mut AsyncPgConnection,
    items: impl Iterator<Item = &NewFollowUp>,
) -> Result<UnderKeys, Error> {
    let operations: Vec<_> = items.map(|item| &item.operation).collect();
    if operations.is_empty() {
        return Ok(UnderKeys::new());
    }
    let keys = (operations.iter()).map(|one| (one.merchant_id, one.mode, &one.idempotency_key));
    let found = found(connection, keys).await?;
    let standing = found.into_iter().map(|row| {
        let key = row.key();
        (key, row.standing().map_err(|error| error.to_string()))
    });
    Ok(standing.collect())
}

/// Inserts the operations; gives the ids of those that were not too late for their key.
async fn insert(
    connection: &mut AsyncPgConnection,
    admitted: &[&Admitted],
) -> Result<Vec<String>, Error> {
    if admitted.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<_> = (admitted.iter())
        .map(|one| OperationRow::from(&one.operation))
        .collect();
    let columns = OperationRow::columns(&rows);
    check(&columns)?;
    Statement::<Insert, Text>::new(&INSERT, columns)
        .load(connection)
        .await
}
