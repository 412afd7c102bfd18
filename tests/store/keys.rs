//! Merchants and API keys.

use oncepay::{
    payment::{ApiKey, ApiKeyRole, Merchant, Mode},
    store::WriteError,
};

use crate::store::fixture::{Fixture, on_both_stores};

on_both_stores! {
    a_merchant_is_made_once_by_name,
    a_key_is_found_until_it_is_revoked,
    the_keys_of_a_disabled_merchant_open_nothing,
    a_key_of_an_unknown_merchant_is_rejected,
    a_store_answers_a_ping,
}

fn api_key(at: &Fixture, role: ApiKeyRole) -> ApiKey {
    ApiKey {
        id: at.environment.new_id(),
        role,
        digest: at.environment.random_bytes(),
        hint: "op_test_1234".into(),
        created_at: at.environment.now(),
        revoked_at: None,
    }
}

async fn a_merchant_is_made_once_by_name(at: Fixture) {
    let twin = Merchant {
        id: at.environment.new_id(),
        ..at.merchant.clone()
    };

    let stands = at.store.create_merchant(twin).await.unwrap();

    assert_eq!(stands, at.merchant);
    assert_eq!(at.store.merchants().await.unwrap(), [at.merchant]);
}

async fn a_key_is_found_until_it_is_revoked(at: Fixture) {
    let (merchant_id, mode) = (at.merchant.id, Mode::Live);
    let key = api_key(&at, ApiKeyRole::Merchant { merchant_id, mode });
    let admin = api_key(&at, ApiKeyRole::Admin);
    for key in [&key, &admin] {
        assert_eq!(at.store.create_api_key(key.clone()).await, Ok(key.clone()));
        let found = at.store.find_api_key(key.digest).await.unwrap();
        assert_eq!(found.as_ref(), Some(key));
    }
    let mut twin = api_key(&at, ApiKeyRole::Admin);
    twin.digest = key.digest;
    assert_eq!(
        at.store.create_api_key(twin).await,
        Ok(key.clone()),
        "what stands, stands"
    );

    let at_first = at.environment.now();
    assert_eq!(at.store.revoke_api_key(key.id, at_first).await, Ok(true));
    let later = at_first.plus(std::time::Duration::from_secs(1));
    assert_eq!(at.store.revoke_api_key(key.id, later).await, Ok(true));

    assert_eq!(at.store.find_api_key(key.digest).await, Ok(None));
    let mut keys = at.store.api_keys().await.unwrap();
    keys.sort_by_key(|one| one.id != key.id);
    assert_eq!(keys[0].revoked_at, Some(at_first), "the first time counts");
    assert_eq!(keys[1..], [admin]);
    let unknown = at.environment.new_id();
    assert_eq!(at.store.revoke_api_key(unknown, later).await, Ok(false));
}

async fn the_keys_of_a_disabled_merchant_open_nothing(at: Fixture) {
    let (merchant_id, mode) = (at.merchant.id, Mode::Test);
    let key = api_key(&at, ApiKeyRole::Merchant { merchant_id, mode });
    at.store.create_api_key(key.clone()).await.unwrap();

    at.sql("update merchants set disabled_at = 1")
        .await
        .unwrap();

    assert_eq!(at.store.find_api_key(key.digest).await, Ok(None));
}

async fn a_key_of_an_unknown_merchant_is_rejected(at: Fixture) {
    let (merchant_id, mode) = (at.environment.new_id(), Mode::Test);
    let key = api_key(&at, ApiKeyRole::Merchant { merchant_id, mode });

    let refused = at.store.create_api_key(key).await;

    assert!(
        matches!(refused, Err(WriteError::Rejected(_))),
        "{refused:?}"
    );
}

async fn a_store_answers_a_ping(at: Fixture) {
    assert_eq!(at.store.ping().await, Ok(()));
}
