//! TLS to a real PostgreSQL, whose certificate is made for the test.

use std::{fs, path::PathBuf};

use oncepay::store::{StoreStartError, StoreUrl, open};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use crate::harness::postgres::{Fsync, PostgresServer};
use crate::store::fixture::settings;

/// A server that speaks TLS as `localhost`, and the certificates of who signed for it and of one who
/// did not.
struct Secured {
    server: PostgresServer,
    folder: TempDir,
}

fn authority(name: &str) -> (String, Issuer<'static, KeyPair>) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (certificate.pem(), Issuer::new(params, key))
}

impl Secured {
    async fn start() -> Self {
        Self::start_with(&[]).await
    }

    async fn start_with(more: &'static [(&str, &str)]) -> Self {
        let start = move || {
            let (known, issuer) = authority("who signed");
            let (unknown, _) = authority("who did not");
            let key = KeyPair::generate().unwrap();
            let named = CertificateParams::new(["localhost".to_owned()]).unwrap();
            let certificate = named.signed_by(&key, &issuer).unwrap().pem();
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("known.pem"), known).unwrap();
            fs::write(folder.path().join("unknown.pem"), unknown).unwrap();
            let files = [
                ("server.crt", &*certificate),
                ("server.key", &*key.serialize_pem()),
            ];
            let files = [&files, more].concat();
            let server = PostgresServer::start_with(Fsync::Off, &["ssl=on"], &files);
            Self { server, folder }
        };
        tokio::task::spawn_blocking(start).await.unwrap()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// With `ROOT` for the certificate of who signed, and `OTHER` for that of who did not.
    async fn open(&self, host: &str, parameters: &str) -> Result<(), StoreStartError> {
        let path = |name| self.file(name).display().to_string();
        let parameters = parameters
            .replace("ROOT", &path("known.pem"))
            .replace("OTHER", &path("unknown.pem"));
        open_at(&self.server, host, &parameters).await
    }
}

async fn open_at(
    server: &PostgresServer,
    host: &str,
    parameters: &str,
) -> Result<(), StoreStartError> {
    let port = server.address().port();
    let url = format!("postgres://postgres@{host}:{port}/postgres?{parameters}");
    let store = open(settings(&StoreUrl::parse(&url.into()).unwrap())).await?;
    store.ping().await.unwrap();
    Ok(())
}

fn says(refused: Result<(), StoreStartError>, words: &[&str]) {
    let refused = refused.expect_err("it was opened").to_string();
    for word in words {
        assert!(refused.contains(word), "no {word:?} in: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_verified_as_far_as_sslmode_says() {
    let at = Secured::start().await;

    for (host, accepted) in [
        ("localhost", "sslmode=verify-full&sslrootcert=ROOT"),
        ("127.0.0.1", "sslmode=verify-ca&sslrootcert=ROOT"),
        ("127.0.0.1", "sslmode=require&sslrootcert=ROOT"),
        ("127.0.0.1", "sslmode=require"),
        ("127.0.0.1", "sslmode=prefer"),
        ("127.0.0.1", "sslmode=disable"),
    ] {
        at.open(host, accepted).await.unwrap();
    }
    let another_name = "sslmode=verify-full&sslrootcert=ROOT";
    let refused = at.open("127.0.0.1", another_name).await;
    says(refused, &["sslmode=verify-full", "not valid for name"]);
    for mode in ["verify-full", "verify-ca", "require"] {
        let unknown = format!("sslmode={mode}&sslrootcert=OTHER");
        let refused = at.open("localhost", &unknown).await;
        says(
            refused,
            &[mode, "sslrootcert=", "unknown.pem", "UnknownIssuer"],
        );
    }
    // Nobody on this machine trusts who signed.
    for system in [
        "sslmode=verify-full",
        "sslmode=verify-ca&sslrootcert=system",
    ] {
        let refused = at.open("localhost", system).await;
        assert!(refused.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_encrypted_unless_sslmode_is_disable() {
    const ONLY_ENCRYPTED: &[(&str, &str)] =
        &[("pg_hba.conf", "hostssl all all 127.0.0.1/32 trust")];
    let at = Secured::start_with(ONLY_ENCRYPTED).await;
    at.open("localhost", "").await.unwrap();
    at.open("localhost", "sslmode=require").await.unwrap();
    says(
        at.open("localhost", "sslmode=disable").await,
        &["no encryption"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_refused_by_who_asks_for_it() {
    let start = || PostgresServer::start(Fsync::Off);
    let server = tokio::task::spawn_blocking(start).await.unwrap();
    for mode in ["disable", "prefer"] {
        let parameters = format!("sslmode={mode}");
        open_at(&server, "localhost", &parameters).await.unwrap();
    }
    let refused = open_at(&server, "localhost", "sslmode=require").await;
    says(refused, &["sslmode=require", "does not support TLS"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_meant_is_refused_by_its_name() {
    let start = || PostgresServer::start(Fsync::Off);
    let server = tokio::task::spawn_blocking(start).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("root.pem");
    let refusal = async |parameters: &str| open_at(&server, "localhost", parameters).await;

    says(
        refusal("sslmode=verify").await,
        &["sslmode=verify", "verify-full"],
    );
    let root = format!("sslrootcert={}", file.display());
    says(refusal(&root).await, &["sslrootcert", "sslmode=prefer"]);
    let verified = format!("sslmode=verify-full&{root}");
    says(refusal(&verified).await, &["root.pem", "cannot be read"]);
    fs::write(&file, "no certificate").unwrap();
    says(
        refusal(&verified).await,
        &["root.pem", "holds no certificate"],
    );
}
