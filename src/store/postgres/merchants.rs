//! Merchants and their keys in PostgreSQL.

use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, SelectableHelper};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::{
    payment::{ApiKey, ApiKeyId, Merchant, Timestamp},
    store::{
        ReadError, WriteError,
        queries::{all, api_key_query},
        rows::{ApiKeyRow, MerchantRow},
        schema::{api_keys, merchants},
    },
};

pub(super) async fn create_merchant(
    connection: &mut AsyncPgConnection,
    merchant: &Merchant,
) -> Result<Merchant, WriteError> {
    diesel::insert_into(merchants::table)
        .values(MerchantRow::from(merchant))
        .on_conflict(merchants::name)
        .do_nothing()
        .execute(connection)
        .await?;
    let row: MerchantRow = merchants::table
        .filter(merchants::name.eq(&merchant.name))
        .select(MerchantRow::as_select())
        .first(connection)
        .await?;
    Ok(row.try_into()?)
}

pub(super) async fn merchants(
    connection: &mut AsyncPgConnection,
) -> Result<Vec<Merchant>, ReadError> {
    let query = merchants::table.order(merchants::id);
    all(query
        .select(MerchantRow::as_select())
        .load(connection)
        .await?)
}

pub(super) async fn create_api_key(
    connection: &mut AsyncPgConnection,
    key: &ApiKey,
) -> Result<ApiKey, WriteError> {
    diesel::insert_into(api_keys::table)
        .values(ApiKeyRow::from(key))
        .on_conflict(api_keys::digest)
        .do_nothing()
        .execute(connection)
        .await?;
    let row: ApiKeyRow = api_keys::table
        .filter(api_keys::digest.eq(key.digest.to_vec()))
        .select(ApiKeyRow::as_select())
        .first(connection)
        .await?;
    Ok(row.try_into()?)
}

pub(super) async fn api_keys(connection: &mut AsyncPgConnection) -> Result<Vec<ApiKey>, ReadError> {
    let query = api_keys::table.order(api_keys::id);
    all(query
        .select(ApiKeyRow::as_select())
        .load(connection)
        .await?)
}

pub(super) async fn revoke_api_key(
    connection: &mut AsyncPgConnection,
    id: ApiKeyId,
    at: Timestamp,
) -> Result<bool, WriteError> {
    let key = || api_keys::table.filter(api_keys::id.eq(id.to_string()));
    diesel::update(key().filter(api_keys::revoked_at.is_null()))
        .set(api_keys::revoked_at.eq(at.as_micros()))
        .execute(connection)
        .await?;
    let known = key().count().get_result::<i64>(connection).await?;
    Ok(known > 0)
}

pub(super) async fn find_api_key(
    connection: &mut AsyncPgConnection,
    digest: [u8; 32],
) -> Result<Option<ApiKey>, ReadError> {
    let row = api_key_query!(digest).first(connection).await.optional()?;
    Ok(row.map(ApiKey::try_from).transpose()?)
}
