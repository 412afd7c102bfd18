//! Whether another program of ours is connected to the database.

use diesel::{dsl::sql, sql_types::Bool};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use secrecy::SecretString;

use super::pool;
use crate::store::StoreStartError;

/// Other sessions that call themselves as ours does.
const OTHERS: &str = "exists (
    select 1 from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid()
        and application_name = current_setting('application_name')
)";

pub(in super::super) async fn is_in_use(url: &SecretString) -> Result<bool, StoreStartError> {
    let mut connection: AsyncPgConnection = pool::connect_alone(url).await?;
    (diesel::select(sql::<Bool>(OTHERS))
        .get_result(&mut connection)
        .await)
        .map_err(|error| StoreStartError::Unreachable(error.to_string()))
}
