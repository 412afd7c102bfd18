//! The first minute: who may call, before anybody has set up anything.
//!
//! On the built-in sandbox, where no real money moves, keys are made and shown once. With a real
//! provider none is: a secret does not belong into the logs of a server.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{error::CliError, keys::TEST_MERCHANT, merchants};
use crate::{
    api_key::{KeyKind, PlainKey},
    config::{BootstrapKeys, Config},
    environment::Environment,
    payment::Mode,
    store::Store,
};

/// The merchant of a live bootstrap key.
const LIVE_MERCHANT: &str = "default";

/// What there is to say once the server listens.
#[derive(Debug)]
pub(super) enum Welcome {
    /// The store had no key: these were made, and nobody can show them again.
    NewKeys { api: PlainKey, admin: PlainKey },
    /// The environment brought keys; of these variables the key is revoked in the store.
    Bootstrapped { revoked: Vec<&'static str> },
    /// The store has keys.
    KeysExist,
    /// The store has no key, and none was made because real money may move.
    NoKeys,
}

/// Sees to it that somebody can call, so far as that is ours to do. Running it twice changes nothing.
pub(super) async fn prepare(
    store: &dyn Store,
    environment: &Environment,
    config: &Config,
) -> Result<Welcome, CliError> {
    if config.uses_built_in_sandbox() {
        merchants::ensure(store, environment, TEST_MERCHANT).await?;
    }
    if !config.bootstrap.is_empty() {
        return bootstrap(store, environment, &config.bootstrap).await;
    }
    if !store.api_keys().await?.is_empty() {
        return Ok(Welcome::KeysExist);
    }
    if !config.uses_built_in_sandbox() {
        return Ok(Welcome::NoKeys);
    }
    let api = PlainKey::mint(KeyKind::Merchant(Mode::Test), environment);
    let admin = PlainKey::mint(KeyKind::Admin, environment);
    install(store, environment, &api).await?;
    install(store, environment, &admin).await?;
    Ok(Welcome::NewKeys { api, admin })
}

async fn bootstrap(
    store: &dyn Store,
    environment: &Environment,
    keys: &BootstrapKeys,
) -> Result<Welcome, CliError> {
    let mut revoked = Vec::new();
    for (name, key) in [
        ("ONCEPAY_BOOTSTRAP_API_KEY", &keys.api_key),
        ("ONCEPAY_BOOTSTRAP_ADMIN_KEY", &keys.admin_key),
    ] {
        if let Some(key) = key
            && !install(store, environment, key).await?
        {
            revoked.push(name);
        }
    }
    Ok(Welcome::Bootstrapped { revoked })
}

/// Keeps the key, unless it is known; false if it is known and revoked.
async fn install(
    store: &dyn Store,
    environment: &Environment,
    key: &PlainKey,
) -> Result<bool, CliError> {
    let merchant_id = match key.kind() {
        KeyKind::Admin => environment.new_id(), // Belongs to nobody: looked at by no one.
        KeyKind::Merchant(mode) => {
            let name = match mode {
                Mode::Test => TEST_MERCHANT,
                Mode::Live => LIVE_MERCHANT,
            };
            merchants::ensure(store, environment, name).await?.id
        }
    };
    let record = key.record(merchant_id, environment);
    let standing = store.create_api_key(record).await?;
    Ok(standing.revoked_at.is_none())
}

impl Welcome {
    /// What to tell the person who started the server, given where it and its sandbox listen.
    pub(super) fn lines(&self, listen: SocketAddr, sandbox: Option<SocketAddr>) -> Vec<String> {
        let base_url = format!("http://{}", reachable(listen));
        let mut lines = vec![format!("oncepay listens on {base_url}")];
        let mut say = |line: &str| lines.push(line.to_owned());
        match self {
            Self::NewKeys { api, admin } => {
                say("");
                say("Two keys were made. They are shown this once:");
                say(&format!("  API key    {}", api.expose()));
                say(&format!("  admin key  {}", admin.expose()));
                say("");
                say("Try it; then send the same again, and see that it is charged once:");
                say(&try_it(&base_url, api));
            }
            Self::Bootstrapped { revoked } => {
                for name in revoked {
                    say(&format!(
                        "warning: the key of {name} is revoked; it opens nothing"
                    ));
                }
            }
            Self::KeysExist => say("To make a new key: oncepay keys create"),
            Self::NoKeys => {
                say("There is no API key yet. To make one:");
                say("  oncepay merchants create NAME");
                say("  oncepay keys create --merchant NAME --live");
            }
        }
        if let Some(sandbox) = sandbox {
            say("");
            say("The provider is the built-in sandbox: no money moves. What it has charged:");
            say(&format!(
                "  curl http://{}/sandbox/charges",
                reachable(sandbox)
            ));
        }
        lines
    }
}

fn try_it(base_url: &str, key: &PlainKey) -> String {
    format!(
        "  curl -i {base_url}/payments -H 'Authorization: Bearer {}' \\\n    \
         -H 'Idempotency-Key: order-1' -H 'Content-Type: application/json' \\\n    \
         -d '{{\"amount\":4200,\"currency\":\"EUR\",\"payment_method\":\"pm_card_visa\"}}'",
        key.expose()
    )
}

/// An address that one can call from this machine: not `0.0.0.0`.
fn reachable(listen: SocketAddr) -> SocketAddr {
    if listen.ip().is_unspecified() {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), listen.port())
    } else {
        listen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api_key::digest, cli::memory_store::MemoryStore, config::Flags, payment::ApiKeyRole,
    };

    const API: &str = "op_live_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const ADMIN: &str = "op_admin_bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn config(env: &[(&str, &str)]) -> Config {
        let env = env
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()));
        Config::load(Flags::default(), env, None).unwrap()
    }

    async fn start(store: &MemoryStore, env: &[(&str, &str)]) -> Welcome {
        prepare(store, &Environment::of_the_machine(), &config(env))
            .await
            .unwrap()
    }

    fn text(welcome: &Welcome) -> String {
        let at = |port| SocketAddr::from(([0, 0, 0, 0], port));
        welcome.lines(at(8080), Some(at(8081))).join("\n")
    }

    #[tokio::test]
    async fn the_first_start_makes_two_keys_and_the_second_makes_none() {
        let store = MemoryStore::default();
        let Welcome::NewKeys { api, admin } = start(&store, &[]).await else {
            panic!("keys are made");
        };
        let test_merchant = store.merchants().await.unwrap()[0].clone();
        assert_eq!(test_merchant.name, "test");
        for (key, role) in [
            (&api, KeyKind::Merchant(Mode::Test).role(test_merchant.id)),
            (&admin, ApiKeyRole::Admin),
        ] {
            let found = store.find_api_key(digest(key.expose())).await.unwrap();
            assert_eq!(found.unwrap().role, role);
        }

        let again = start(&store, &[]).await;
        assert!(matches!(again, Welcome::KeysExist));
        assert!(text(&again).contains("oncepay keys create"));
        assert_eq!(store.api_keys().await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn the_line_to_try_runs_in_a_shell_as_it_stands() {
        let welcome = start(&MemoryStore::default(), &[]).await;
        let text = text(&welcome);
        let from = text.find("  curl -i").unwrap();
        let command = text[from..].split("\n\n").next().unwrap();
        let script = format!("curl() {{ printf '%s\\n' \"$@\"; }}\n{command}");
        let ran = std::process::Command::new("sh")
            .args(["-c", &script])
            .output()
            .unwrap();
        let arguments = String::from_utf8(ran.stdout).unwrap();
        let arguments: Vec<&str> = arguments.lines().collect();
        assert_eq!(arguments[1], "http://127.0.0.1:8080/payments");
        let Welcome::NewKeys { api, .. } = welcome else {
            panic!("keys are made");
        };
        assert_eq!(
            arguments[3],
            format!("Authorization: Bearer {}", api.expose())
        );
        let body: serde_json::Value = serde_json::from_str(arguments.last().unwrap()).unwrap();
        assert_eq!(body["amount"], 4200);
        assert!(text.contains("curl http://127.0.0.1:8081/sandbox/charges"));
    }

    #[tokio::test]
    async fn bootstrap_keys_are_installed_once_and_never_printed() {
        let store = MemoryStore::default();
        let env = [
            ("ONCEPAY_BOOTSTRAP_API_KEY", API),
            ("ONCEPAY_BOOTSTRAP_ADMIN_KEY", ADMIN),
        ];
        for _ in 0..2 {
            let welcome = start(&store, &env).await;
            let text = text(&welcome);
            assert!(
                !text.contains("op_live") && !text.contains("op_admin"),
                "{text}"
            );
        }
        assert_eq!(store.api_keys().await.unwrap().len(), 2);
        let merchants = store.merchants().await.unwrap();
        let default = merchants
            .iter()
            .find(|merchant| merchant.name == "default")
            .unwrap();
        let found = store.find_api_key(digest(API)).await.unwrap().unwrap();
        assert_eq!(found.role, KeyKind::Merchant(Mode::Live).role(default.id));
    }

    #[tokio::test]
    async fn a_bootstrap_key_that_was_revoked_stays_revoked_and_is_told() {
        let store = MemoryStore::default();
        let env = [("ONCEPAY_BOOTSTRAP_ADMIN_KEY", ADMIN)];
        start(&store, &env).await;
        let id = store.api_keys().await.unwrap()[0].id;
        let now = Environment::of_the_machine().now();
        store.revoke_api_key(id, now).await.unwrap();
        assert!(
            text(&start(&store, &env).await).contains("ONCEPAY_BOOTSTRAP_ADMIN_KEY is revoked")
        );
        assert!(store.find_api_key(digest(ADMIN)).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn with_a_provider_of_one_s_own_no_key_is_made() {
        let store = MemoryStore::default();
        let env = [("ONCEPAY_PROVIDER_URL", "http://127.0.0.1:9")];
        let welcome = start(&store, &env).await;
        assert!(matches!(welcome, Welcome::NoKeys));
        assert!(text(&welcome).contains("oncepay keys create --merchant NAME --live"));
        assert!(store.api_keys().await.unwrap().is_empty());
        assert!(store.merchants().await.unwrap().is_empty());
    }
}
