//! Merchants and their keys in SQLite.

use diesel::{OptionalExtension, prelude::*};

use crate::{
    payment::{ApiKey, ApiKeyId, Merchant, Timestamp},
    store::{
        ReadError,
        queries::{all, api_key_query},
        rows::{ApiKeyRow, MerchantRow, Unreadable},
        schema::{api_keys, merchants},
    },
};

pub(super) fn create_merchant(
    connection: &mut SqliteConnection,
    merchant: &Merchant,
) -> QueryResult<Result<Merchant, Unreadable>> {
    diesel::insert_into(merchants::table)
        .values(MerchantRow::from(merchant))
        .on_conflict(merchants::name)
        .do_nothing()
        .execute(connection)?;
    let row: MerchantRow = merchants::table
        .filter(merchants::name.eq(&merchant.name))
        .select(MerchantRow::as_select())
        .first(connection)?;
    Ok(row.try_into())
}

pub(super) fn merchants(connection: &mut SqliteConnection) -> Result<Vec<Merchant>, ReadError> {
    let query = merchants::table.order(merchants::id);
    all(query.select(MerchantRow::as_select()).load(connection)?)
}

pub(super) fn create_api_key(
    connection: &mut SqliteConnection,
    key: &ApiKey,
) -> QueryResult<Result<ApiKey, Unreadable>> {
    diesel::insert_into(api_keys::table)
        .values(ApiKeyRow::from(key))
        .on_conflict(api_keys::digest)
        .do_nothing()
        .execute(connection)?;
    let row: ApiKeyRow = api_keys::table
        .filter(api_keys::digest.eq(key.digest.to_vec()))
        .select(ApiKeyRow::as_select())
        .first(connection)?;
    Ok(row.try_into())
}

pub(super) fn api_keys(connection: &mut SqliteConnection) -> Result<Vec<ApiKey>, ReadError> {
    let query = api_keys::table.order(api_keys::id);
    all(query.select(ApiKeyRow::as_select()).load(connection)?)
}

pub(super) fn revoke_api_key(
    connection: &mut SqliteConnection,
    id: ApiKeyId,
    at: Timestamp,
) -> QueryResult<Result<bool, Unreadable>> {
    let key = || api_keys::table.filter(api_keys::id.eq(id.to_string()));
    diesel::update(key().filter(api_keys::revoked_at.is_null()))
        .set(api_keys::revoked_at.eq(at.as_micros()))
        .execute(connection)?;
    let known = key().count().get_result::<i64>(connection)?;
    Ok(Ok(known > 0))
}

pub(super) fn find_api_key(
    connection: &mut SqliteConnection,
    digest: [u8; 32],
) -> Result<Option<ApiKey>, ReadError> {
    let row = api_key_query!(digest).first(connection).optional()?;
    Ok(row.map(ApiKey::try_from).transpose()?)
}
