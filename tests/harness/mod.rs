//! Builds a world in one call: a database of its own, the sandbox, and a server process.

mod answer;
mod database;
mod haproxy;
pub(crate) mod postgres;
mod process;
mod programs;
mod providers;
pub(crate) mod proxy;
mod redis;
mod world;

pub(crate) use self::redis::RedisServer;
pub(crate) use answer::Answer;
pub(crate) use database::{Backend, Database, HeldBack, execute, shared_server};
pub(crate) use haproxy::{Haproxy, check_configuration};
pub(crate) use process::ServerProcess;
pub(crate) use programs::Reserved;
pub(crate) use providers::ProviderKnobs;
pub(crate) use proxy::{Fate, Proxy};
pub(crate) use world::{ADMIN_KEY, API_KEY, Knobs, World, client, eur, eventually, metric, send};

/// Makes a test of a story for each of the two stores.
macro_rules! on_both_stores {
    ($($story:ident)+) => {
        $(
            mod $story {
                #[tokio::test(flavor = "multi_thread")]
                async fn on_sqlite() {
                    super::$story($crate::harness::Backend::Sqlite).await;
                }

                #[tokio::test(flavor = "multi_thread")]
                async fn on_postgres() {
                    super::$story($crate::harness::Backend::Postgres).await;
                }
            }
        )+
    };
}
pub(crate) use on_both_stores;
