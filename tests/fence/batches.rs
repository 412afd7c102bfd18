//! Batches of the same keys in opposite orders, from two nodes, all kinds of them at once.

use std::{sync::Arc, time::Duration};

use futures_util::future::join;
use oncepay::{
    payment::{Begun, Change, OperationKind, Standing},
    store::{Claim, Store, WriteError},
};
use tokio::time::Instant;

use crate::store::{
    fixture::{Fixture, open_store, until_written},
    samples::{LEASE, captured, left_in_doubt, refunded},
};

/// How long batches are written, and how many rows each has.
const LONG: Duration = Duration::from_secs(5);
/// How many batches, and how many claims, each of the writers is to come to, however long it takes.
const ENOUGH: usize = 12;
const ROWS: usize = 16;

/// Fails when PostgreSQL had to break a deadlock in the database. A session may tell what it has counted
/// a second later, and does so at its end: every other one is ended first.
const NO_DEADLOCKS: &str = "do $$ begin
    perform pg_terminate_backend(pid, 60000) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid();
    if (select deadlocks from pg_stat_database where datname = current_database()) > 0
    then raise 'there were deadlocks'; end if; end $$";

#[tokio::test(flavor = "multi_thread")]
async fn rule_16_no_two_batches_of_two_nodes_ever_deadlock() {
    let at = Arc::new(Fixture::postgres().await);
    let other = open_store(&at.url).await;
    let until = Instant::now() + LONG;
    let mut writers = Vec::new();
    for (store, reversed) in [(Arc::clone(&at.store), false), (other, true)] {
        let (at, to_claim) = (Arc::clone(&at), Arc::clone(&store));
        let claimer = Arc::clone(&at);
        writers.push(tokio::spawn(async move {
            let mut batches = 0;
            for round in 0.. {
                if batches >= ENOUGH && Instant::now() >= until {
                    break;
                }
                batches += write(&at, &*store, round, reversed).await;
            }
            batches
        }));
        // Recovery locks in an order of its own: the longest due first.
        writers.push(tokio::spawn(async move {
            let mut claims = 0;
            while claims < ENOUGH || Instant::now() < until {
                let claim = Claim {
                    owner: claimer.environment.new_owner(),
                    lease: Duration::ZERO,
                    limit: 2 * u32::try_from(ROWS).unwrap(),
                    providers: vec!["sandbox".into()],
                    to_be_found: false,
                    at: claimer.environment.now(),
                };
                match to_claim.claim(claim).await {
                    // It waited too long for who had the rows.
                    Err(WriteError::NotWritten(_)) => {}
                    claimed => claims += claimed.map(|_| 1).unwrap(),
                }
            }
            claims
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    at.sql(NO_DEADLOCKS).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_of_the_last_moment_is_seen() {
    let at = Fixture::postgres().await;
    // Each takes its first lock, waits until the other has, and wants that one, too.
    let crossing = |first: u8, second: u8| {
        format!(
            "set deadlock_timeout = '10ms'; do $$ begin
             perform pg_advisory_xact_lock({first});
             loop
                 exit when (select count(*) from pg_locks l join pg_database d on d.oid = l.database
                     where l.locktype = 'advisory' and d.datname = current_database()) >= 2;
                 perform pg_sleep(0.001);
             end loop;
             perform pg_advisory_xact_lock({second}); end $$"
        )
    };
    let (one, other) = (crossing(1, 2), crossing(2, 1));
    let (one, other) = join(at.sql(&one), at.sql(&other)).await;
    assert_ne!(one.is_err(), other.is_err(), "one of them is broken off");

    let seen = at.sql(NO_DEADLOCKS).await.unwrap_err();

    assert!(seen.contains("there were deadlocks"), "{seen}");
}

/// Begins payments, leaves half of them in doubt, settles all, and refunds them twice each. The other
/// node does the same with the same keys the other way round.
async fn write(at: &Fixture, store: &dyn Store, round: usize, reversed: bool) -> usize {
    let mut intents: Vec<_> = (0..ROWS)
        .map(|n| at.intent(&format!("{round}-{n}")))
        .collect();
    in_order(&mut intents, reversed);
    let begun: Vec<Standing> = until_written(|| store.begin(intents.clone())).await;
    let doubts = (begun.iter().step_by(2)).map(|one| at.change(one, left_in_doubt()));
    changed(store, doubts).await;
    let settle = begun.iter().map(|one| at.change(one, captured("pi_1")));
    changed(store, settle).await;
    let mut refunds: Vec<_> = (begun.iter())
        .map(|one| {
            let key = format!("refund-{}", one.operation.idempotency_key.as_str());
            at.follow_up(&one.payment, OperationKind::Refund, &key, 1)
        })
        .collect();
    in_order(&mut refunds, reversed);
    let refunds = until_written(|| store.begin_follow_ups(refunds.clone())).await;
    let refunds: Vec<_> = (refunds.into_iter())
        .map(|begun| match begun {
            Begun::Standing(standing) => *standing,
            other => panic!("not begun: {other:?}"),
        })
        .collect();
    let settle = refunds.iter().map(|one| at.change(one, refunded("re_1")));
    changed(store, settle).await;
    let late = refunds.iter().rev().map(|one| {
        let owner = one.operation.owner;
        at.change(
            one,
            Change::Renew {
                owner,
                lease: LEASE,
            },
        )
    });
    changed(store, late).await;
    6
}

fn in_order<T>(rows: &mut [T], reversed: bool) {
    if reversed {
        rows.reverse();
    }
}

/// Every change is decided; whether it is applied is not the question here.
async fn changed(
    store: &dyn Store,
    changes: impl Iterator<Item = oncepay::payment::OperationChange>,
) {
    let changes: Vec<_> = changes.collect();
    until_written(|| store.change(changes.clone())).await;
}
