//! What the nodes of one database have in common.

use oncepay::store::Installation;

use crate::store::fixture::{Fixture, on_both_stores, open_store};

on_both_stores! {
    nodes_that_start_at_once_agree,
    there_is_one_row_and_it_is_whole,
    another_incarnation_is_of_the_same_installation,
}

async fn nodes_that_start_at_once_agree(at: Fixture) {
    assert_eq!(at.store.installation().await, Ok(None));

    let starts = (0..8).map(async |_| {
        let node = open_store(&at.url).await;
        Installation::ensure(&*node, &at.environment).await.unwrap()
    });
    let found = futures_util::future::join_all(starts).await;

    let stands = at.store.installation().await.unwrap().unwrap();
    assert!(found.iter().all(|one| *one == stands), "{found:?}");
    let later = Installation::new(&at.environment);
    assert_ne!(later, stands);
    assert_eq!(at.store.keep_installation(later).await, Ok(stands));
}

async fn there_is_one_row_and_it_is_whole(at: Fixture) {
    let stands = Installation::ensure(&*at.store, &at.environment).await;
    let stands = stands.unwrap();
    let second = "insert into installation select 2, installation_id, store_incarnation, \
        lookup_secret from installation";
    for refused in [
        second,
        "update installation set lookup_secret = store_incarnation || ''",
        "update installation set store_incarnation = ''",
        "update installation set installation_id = ''",
    ] {
        assert!(at.sql(refused).await.is_err(), "{refused}");
    }
    let told = format!("{stands:?}");
    assert!(!told.contains("lookup_secret"), "{told}");
    assert_eq!(at.store.installation().await, Ok(Some(stands)));
}

async fn another_incarnation_is_of_the_same_installation(at: Fixture) {
    let before = Installation::ensure(&*at.store, &at.environment).await;
    let before = before.unwrap();
    let fresh = Installation::new(&at.environment);
    let renewed = at.store.renew_installation(fresh.clone()).await.unwrap();
    assert_ne!(renewed.store_incarnation, before.store_incarnation);
    let expected = Installation {
        store_incarnation: fresh.store_incarnation,
        ..before
    };
    assert_eq!(renewed, expected);
    assert_eq!(at.store.installation().await, Ok(Some(renewed)));
}
