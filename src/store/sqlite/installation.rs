//! The installation's row in SQLite.

use diesel::{OptionalExtension, prelude::*};

use crate::store::{
    Installation, ReadError,
    rows::{InstallationRow, Unreadable},
    schema::installation,
};

pub(super) fn keep_installation(
    connection: &mut SqliteConnection,
    fresh: &Installation,
) -> QueryResult<Result<Installation, Unreadable>> {
    diesel::insert_into(installation::table)
        .values(InstallationRow::from(fresh))
        .on_conflict(installation::id)
        .do_nothing()
        .execute(connection)?;
    let row: InstallationRow = installation::table
        .select(InstallationRow::as_select())
        .first(connection)?;
    Ok(row.try_into())
}

/// Another incarnation; the rest stays.
pub(super) fn renew_installation(
    connection: &mut SqliteConnection,
    fresh: &Installation,
) -> QueryResult<Result<Installation, Unreadable>> {
    diesel::update(installation::table)
        .set(installation::store_incarnation.eq(fresh.store_incarnation.to_string()))
        .execute(connection)?;
    keep_installation(connection, fresh)
}

pub(super) fn installation(
    connection: &mut SqliteConnection,
) -> Result<Option<Installation>, ReadError> {
    let query = installation::table.select(InstallationRow::as_select());
    let row = query.first(connection).optional()?;
    Ok(row.map(Installation::try_from).transpose()?)
}
