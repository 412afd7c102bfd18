//! What the database has recorded, read past the servers and every gate: they show no capture, cancel
//! or refund whose driver was lost, and nobody would notice if recovery left it alone.

use std::process::Stdio;

use super::{super::error::DrillError, postgres::Postgres, truth::Recorded};

/// What an operation is, in the form of [`Recorded`].
const OPERATIONS: &str = "select coalesce(json_agg(o), '[]') from (
    select o.idempotency_key as key, o.kind, o.state, o.epoch, o.amount,
        p.idempotency_key as payment_key,
        o.stray_reference is not null and o.stray_reversed_at is null as has_stray
    from operations as o join payments as p on p.id = o.payment_id order by o.id) as o";

/// As [`Recorded::is_open`].
const OPEN: &str = "select count(*) from operations
    where state = 'open' or stray_reference is not null and stray_reversed_at is null";

/// Every operation, of every database that servers work on.
pub(super) async fn operations(postgres: &Postgres) -> Result<Vec<Recorded>, DrillError> {
    let mut all = Vec::new();
    for database in postgres.databases() {
        let listed = ask(postgres, database, OPERATIONS).await?;
        let operations: Vec<Recorded> = serde_json::from_str(&listed)?;
        all.extend(operations);
    }
    Ok(all)
}

/// Whether anything is left that recovery has to bring to an end.
pub(super) async fn is_anything_open(postgres: &Postgres) -> Result<bool, DrillError> {
    for database in postgres.databases() {
        let count = ask(postgres, database, OPEN).await?;
        if count.trim() != "0" {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn ask(postgres: &Postgres, database: &str, sql: &str) -> Result<String, DrillError> {
    let mut psql = postgres.psql(database);
    psql.args(["-c", sql]).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || psql.output()).await?;
    let output = output.map_err(|source| DrillError::Spawn {
        program: "psql".to_owned(),
        source,
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(DrillError::Unrecorded { said })
}
