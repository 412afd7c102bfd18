//! A Redis that asks for TLS, a user and a password.

use std::{fs, path::Path, process::Command};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::lookups;
use crate::harness::{Backend, Knobs, RedisServer, World, eur, eventually};

const PASSWORD: &str = "correct-horse-battery";

/// Makes an authority and a server's certificate of it, and the options to use them.
fn guarded(folder: &Path, port: u16) -> Vec<String> {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let server = server.signed_by(&key, &authority).unwrap();
    let file = |name: &str, text: String| {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let options = [
        ("--tls-ca-cert-file", file("ca.pem", authority.pem())),
        ("--tls-cert-file", file("server.pem", server.pem())),
        ("--tls-key-file", file("key.pem", key.serialize_pem())),
        ("--tls-port", port.to_string()),
        ("--port", "0".to_owned()),
        ("--tls-auth-clients", "no".to_owned()),
        (
            "--aclfile",
            file(
                "acl",
                format!(
                    "user default off\nuser oncepay on >{PASSWORD} ~oncepay:* &oncepay:* \
             -@all +getrange +set +publish +subscribe +ping +select +hello +client\n"
                ),
            ),
        ),
    ];
    options
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect()
}

/// What `oncepay check` says of Redis, and its exit code.
fn checked(world: &World, knobs: &[(&str, String)]) -> (String, i32) {
    let output = Command::new(env!("CARGO_BIN_EXE_oncepay"))
        .arg("check")
        .env_clear()
        .env("DATABASE_URL", world.database.url())
        .envs(knobs.iter().map(|(name, value)| (name, value)))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr);
    assert!(!text.contains(PASSWORD), "{text}");
    let line = text.lines().find(|line| line.contains("redis"));
    (
        line.unwrap_or(&text).to_owned(),
        output.status.code().unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_user_password_and_database_are_spoken_and_no_secret_is_told() {
    let mut ca_file = String::new();
    let redis = {
        let ca = std::cell::RefCell::new(&mut ca_file);
        RedisServer::start_with(|folder, port| {
            **ca.borrow_mut() = folder.join("ca.pem").to_str().unwrap().to_owned();
            guarded(folder, port)
        })
    };
    let port = redis.port();
    let url = |password: &str| format!("rediss://oncepay:{password}@localhost:{port}/2");
    let knobs = Knobs(vec![
        ("ONCEPAY_REDIS_URL", url(PASSWORD)),
        ("ONCEPAY_REDIS__CA_FILE", ca_file.clone()),
        ("ONCEPAY_REDIS__GET_TIMEOUT_MS", "1000".to_owned()),
        ("ONCEPAY_LOG", "debug".to_owned()),
    ]);
    let world = World::start_with(Backend::Postgres, knobs.clone()).await;
    let other = world.another_node(Knobs::default()).await;

    let mut n = 0;
    eventually("an answer is found through TLS", || {
        n += 1;
        let (world, other, key) = (&world, &other, format!("k-{n}"));
        async move {
            let first = world.pay(&key, &eur(1)).await.expect(201);
            let again = world.pay_at(other, &key, &eur(1)).await.expect(201);
            assert_eq!(again.body, first.body);
            (lookups(world, other, "hit").await > 0).then_some(())
        }
    })
    .await;
    eventually("messages come through TLS", || async {
        let listening = super::counted(&world, &other, "oncepay_lookup_listening").await;
        (listening == 1).then_some(())
    })
    .await;

    let (line, code) = checked(&world, &knobs.0);
    let named = format!("Redis at localhost:{port}, database 2 over TLS");
    assert_eq!((line, code), (format!("ok      redis: {named} answers"), 0));
    let mut wrong = knobs.0.clone();
    wrong[0].1 = url("wrong");
    let (line, code) = checked(&world, &wrong);
    assert!(line.starts_with("warning redis: ") && code == 0, "{line}");
    let without_ca = &[knobs.0[0].clone()];
    let (line, code) = checked(&world, without_ca);
    assert!(line.starts_with("warning redis: ") && code == 0, "{line}");
    for node in [&world.server, &other] {
        assert!(!node.output().contains(PASSWORD));
    }
}
