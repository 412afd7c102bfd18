//! The primary dies, and its synchronous standby takes its place.

use std::time::Duration;

use tokio::time::Instant;

use super::{under_load, with, world_over};
use crate::harness::postgres::{Fsync, PostgresServer};

/// From the end of the promotion to the next payment that is acknowledged: 10 s are promised, on a machine
/// that has the time. One that runs many other tests meanwhile stands still for seconds now and then, and
/// gets twice as long.
const BACK_WITHIN: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_synchronous_standby_has_every_acknowledged_payment() {
    let start = || {
        let synchronous = "synchronous_standby_names=standby";
        let primary = PostgresServer::start_with(Fsync::On, &[synchronous], &[]);
        let standby = primary.standby("standby", &[]);
        (primary, standby)
    };
    let (primary, standby) = tokio::task::spawn_blocking(start).await.unwrap();
    let hosts = format!("{},{}", primary.address(), standby.address());
    let url = format!("postgres://postgres@{hosts}/postgres?target_session_attrs=read-write");
    let world = world_over(url, &[]).await;
    let mut successor = None; // It outlives the trouble.

    under_load(&world, async |load| {
        load.until_paid(100).await;
        let (_dead, ()) = with(primary, PostgresServer::kill).await;
        successor = Some(with(standby, |standby| standby.promote()).await);
        let promoted = Instant::now();
        load.until_paid(1).await;
        let waited = promoted.elapsed();
        assert!(waited < BACK_WITHIN, "{waited:?}");
        load.until_paid(100).await;
    })
    .await;
    drop(successor);
}
