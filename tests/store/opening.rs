//! Opening a store: what is refused, and in which words.

use std::path::Path;

use diesel::{Connection, SqliteConnection, connection::SimpleConnection};
use oncepay::store::{StoreStartError, StoreUrl, open};

use crate::harness::postgres::{Fsync, PostgresServer};
use crate::store::fixture::{eventually, new_database, open_store, settings};

async fn refusal(url: &str) -> StoreStartError {
    let url = StoreUrl::parse(&url.to_owned().into()).unwrap();
    let refused = open(settings(&url)).await;
    refused.err().expect("it was opened")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistyped_path_is_an_error_and_makes_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("oncpay.db");
    let url = format!("sqlite://{}", path.display());

    let refused = refusal(&url).await;

    assert!(matches!(refused, StoreStartError::NoSuchFile { .. }));
    assert!(refused.to_string().contains("oncpay.db"));
    assert!(!path.exists());
    let made = StoreUrl::parse(&format!("{url}?mode=rwc").into()).unwrap();
    open_store(&made).await;
    assert!(path.exists());
    open_store(&StoreUrl::parse(&url.into()).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_is_no_database_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "x".repeat(8_192)).unwrap();
    let missing = folder.path().join("no-such-folder").join("oncepay.db");
    for path in [folder.path(), text.as_path(), missing.as_path()] {
        let refused = refusal(&format!("{}?mode=rwc", path.display())).await;

        assert!(matches!(refused, StoreStartError::File { .. }), "{refused}");
        assert!(
            refused.to_string().contains(path.to_str().unwrap()),
            "{refused}"
        );
    }
}

/// Refused at once by SQLite, which waits for a lock only where that cannot be in vain.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_file_that_another_program_writes_is_waited_for() {
    for _ in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("oncepay.db");
        let mut other = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
        let begun = "pragma busy_timeout = 5000; begin immediate; create table notes (text text)";
        other.batch_execute(begun).unwrap();

        let url = StoreUrl::Sqlite { path, create: true };
        let opening = tokio::spawn(async move { open(settings(&url)).await });
        let path = folder.path().join("oncepay.db");
        eventually(async || (is_open(&path) >= 2).then_some(())).await;
        other.batch_execute("commit").unwrap();

        drop(opening.await.unwrap().unwrap());
    }
}

/// How often this process has the file open.
fn is_open(path: &Path) -> usize {
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    let files = open.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok());
    files.filter(|file| file == path).count()
}

#[test]
fn a_url_says_which_database() {
    let parse = |url: &str| StoreUrl::parse(&url.to_owned().into());
    let sqlite = |url: &str| match parse(url) {
        Ok(StoreUrl::Sqlite { path, create }) => (path.display().to_string(), create),
        other => panic!("{url}: {other:?}"),
    };
    assert_eq!(sqlite("oncepay.db"), ("oncepay.db".into(), false));
    assert_eq!(sqlite("sqlite://a/b.db?mode=rwc"), ("a/b.db".into(), true));
    assert_eq!(sqlite("sqlite:///var/b.db"), ("/var/b.db".into(), false));
    assert!(matches!(
        parse("postgresql://h/d"),
        Ok(StoreUrl::Postgres(_))
    ));
    assert!(matches!(
        parse("mysql://h/d"),
        Err(StoreStartError::UnknownScheme)
    ));
    assert!(matches!(
        parse("sqlite://x?mode=memory"),
        Err(StoreStartError::Url(_))
    ));
    assert!(matches!(parse(""), Err(StoreStartError::Url(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parameter_that_would_not_count_is_refused_by_its_name() {
    for (parameter, name) in [
        ("connect_timeout=10", "connect_timeout"),
        ("connect%5Ftimeout=10", "connect_timeout"),
        ("keepalives=0", "keepalives"),
        ("keepalives_idle=60", "keepalives_idle"),
        ("keepalives_interval=60", "keepalives_interval"),
        ("keepalives_count=9", "keepalives_count"),
        ("keepalives_retries=9", "keepalives_retries"),
        ("tcp_user_timeout=60000", "tcp_user_timeout"),
        ("load_balance_hosts=random", "load_balance_hosts"),
        ("sslcert=client.pem", "sslcert"),
    ] {
        let url = format!("postgres://user:hunter2@127.0.0.1:1/none?sslmode=disable&{parameter}");
        let refused = refusal(&url).await;
        assert!(matches!(refused, StoreStartError::Url(_)), "{refused}");
        let told = refused.to_string();
        assert!(told.contains(&format!("`{name}`")), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
    // What it asks for is so.
    let same = "postgres://127.0.0.1:1/none?load_balance_hosts=disable&application_name=shop";
    assert!(matches!(
        refusal(same).await,
        StoreStartError::Unreachable(_)
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_forgets_commits_is_refused() {
    let start = || PostgresServer::start(Fsync::Off);
    let server = tokio::task::spawn_blocking(start).await.unwrap();
    let mut safe = settings(&StoreUrl::parse(&server.url("postgres").into()).unwrap());
    safe.allow_unsafe = false;

    let refused = open(safe).await.err().unwrap();

    assert!(matches!(&refused, StoreStartError::Unsafe { setting, .. } if setting == "fsync"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_in_no_error() {
    let url = "postgres://postgres:hunter2@127.0.0.1:1/none";

    let refused = refusal(url).await;

    assert!(matches!(refused, StoreStartError::Unreachable(_)));
    let shown = format!(
        "{refused} {refused:?} {:?}",
        settings(&StoreUrl::parse(&url.to_owned().into()).unwrap())
    );
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(new_database("template0").await.starts_with("postgres://"));
}
