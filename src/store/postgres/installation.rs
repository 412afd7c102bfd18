//! The installation's row in PostgreSQL.

use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, SelectableHelper};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::store::{
    Installation, ReadError, WriteError, rows::InstallationRow, schema::installation,
};

pub(super) async fn keep_installation(
    connection: &mut AsyncPgConnection,
    fresh: &Installation,
) -> Result<Installation, WriteError> {
    diesel::insert_into(installation::table)
        .values(InstallationRow::from(fresh))
        .on_conflict(installation::id)
        .do_nothing()
        .execute(connection)
        .await?;
    let row: InstallationRow = installation::table
        .select(InstallationRow::as_select())
        .first(connection)
        .await?;
    Ok(row.try_into()?)
}

/// Another incarnation; the rest stays.
pub(super) async fn renew_installation(
    connection: &mut AsyncPgConnection,
    fresh: &Installation,
) -> Result<Installation, WriteError> {
    diesel::update(installation::table)
        .set(installation::store_incarnation.eq(fresh.store_incarnation.to_string()))
        .execute(connection)
        .await?;
    keep_installation(connection, fresh).await
}

pub(super) async fn installation(
    connection: &mut AsyncPgConnection,
) -> Result<Option<Installation>, ReadError> {
    let query = installation::table.select(InstallationRow::as_select());
    let row = query.first(connection).await.optional()?;
    Ok(row.map(Installation::try_from).transpose()?)
}
