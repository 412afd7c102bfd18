//! The providers of a world: sandboxes, and how the server is told of them.

use std::{net::SocketAddr, sync::Arc};

use oncepay::{
    environment::Environment,
    sandbox::{Sandbox, SandboxConfig},
};

/// How a server is set to treat one provider. The times are short, so that a test sees their end.
#[derive(Clone, Debug)]
pub(crate) struct ProviderKnobs {
    pub(crate) name: &'static str,
    pub(crate) secret: String,
    pub(crate) account: Option<&'static str>,
    pub(crate) retired: bool,
    /// Where it is, if not at the sandbox of its place.
    pub(crate) address: Option<SocketAddr>,
    pub(crate) attempt_timeout_ms: u32,
    pub(crate) key_retention_s: u32,
    pub(crate) absence_wait_s: u32,
}

impl ProviderKnobs {
    pub(crate) fn named(name: &'static str) -> Self {
        Self {
            name,
            secret: "sandbox_secret".to_owned(),
            account: Some("acct_of_the_test"),
            retired: false,
            address: None,
            attempt_timeout_ms: 500,
            key_retention_s: 86_400,
            absence_wait_s: 7_200,
        }
    }

    /// Its table in a configuration file.
    pub(super) fn table(&self, address: SocketAddr) -> String {
        let address = self.address.unwrap_or(address);
        let account = self.account.map(|it| format!("account = \"{it}\"\n"));
        format!(
            "[[providers]]\nname = \"{}\"\nurl = \"http://{address}\"\nsecret = \"{}\"\n{}\
             retired = {}\nattempt_timeout_ms = {}\nkey_retention_s = {}\nabsence_wait_s = {}\n",
            self.name,
            self.secret,
            account.unwrap_or_default(),
            self.retired,
            self.attempt_timeout_ms,
            self.key_retention_s,
            self.absence_wait_s,
        )
    }
}

/// A sandbox on ports of its own.
pub(super) async fn sandbox() -> Sandbox {
    let environment = Environment::of_the_machine();
    let (clock, any_port) = (environment.clone(), SocketAddr::from(([127, 0, 0, 1], 0)));
    let now = move || clock.now().as_micros();
    let seed = u64::from_le_bytes(environment.random_bytes());
    let config = SandboxConfig::new(any_port, seed, Arc::new(now));
    Sandbox::start(config).await.unwrap()
}
