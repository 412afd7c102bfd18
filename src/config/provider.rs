//! Providers: who they are, and which of them are tried.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::{Host, Url};

use super::{Config, ConfigError, read};
use crate::payment::Mode;

/// Name of the provider that `provider_url` names.
pub const SIMPLE_PROVIDER: &str = "stripe";
/// Name of the built-in sandbox as a provider.
pub const BUILT_IN_SANDBOX: &str = "sandbox";
/// What we show a sandbox that asks for no secret in particular.
const SANDBOX_SECRET: &str = "any_secret_will_do";

/// One provider, table `[[providers]]` of the configuration file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderConfig {
    /// Its name in `routing` and in every payment it took: 1 to 32 of a-z, 0-9, `_` and `-`, and
    /// never changed.
    pub name: String,
    /// Base URL, `http` or `https`, without a path of the protocol: `https://api.stripe.com`.
    pub url: String,
    /// The secret it asks for.
    #[serde(deserialize_with = "read::secret")]
    pub secret: SecretString,
    /// Which account of the provider the secret belongs to, in any words that stay the same. With it,
    /// a new secret of that account may come at any time; another account is another provider.
    /// Without it, a new secret may come only when nothing is unsettled. No default.
    #[serde(default, deserialize_with = "read::text")]
    pub account: Option<String>,
    /// The one mode that it serves, `live` or `test`. Default: as the secret says it, which
    /// holds `_live_` or `_test_`; both for any other secret, which only a sandbox takes.
    #[serde(default, deserialize_with = "read::mode")]
    pub mode: Option<Mode>,
    /// Time limit of one attempt, in milliseconds: 10 to four fifths of `limits.deadline_ms`.
    /// Default: 10,000.
    #[serde(default = "default_attempt_timeout_ms")]
    pub attempt_timeout_ms: u32,
    /// Time limit of connecting, in milliseconds: less than `attempt_timeout_ms`, so that a dead
    /// address is known to have got nothing. Default: 2,000, or half of `attempt_timeout_ms` if that is
    /// less.
    #[serde(default)]
    connect_timeout_ms: Option<u32>,
    /// How long it is sure to remember an idempotency key, in seconds: 1 to 86,400. We stop sending
    /// an hour before its end. Default: 86,400.
    #[serde(default = "default_key_retention_s")]
    pub key_retention_s: u32,
    /// How long after `key_retention_s` a payment that the provider does not list counts as never
    /// made, if it is still not listed after half as long again, in seconds: 1 to 604,800. Longer than
    /// its list can lag. Default: 7,200.
    #[serde(default = "default_absence_wait_s")]
    pub absence_wait_s: u32,
    /// Whether it gets no new payments, and is kept only to settle those that it has. Default: false.
    #[serde(default)]
    pub retired: bool,
}

fn default_attempt_timeout_ms() -> u32 {
    10_000
}

fn default_absence_wait_s() -> u32 {
    7_200
}

fn default_key_retention_s() -> u32 {
    86_400
}

impl ProviderConfig {
    fn new(name: &str, url: String, secret: SecretString) -> Self {
        Self {
            name: name.to_owned(),
            url,
            secret,
            account: None,
            mode: None,
            attempt_timeout_ms: default_attempt_timeout_ms(),
            connect_timeout_ms: None,
            key_retention_s: default_key_retention_s(),
            absence_wait_s: default_absence_wait_s(),
            retired: false,
        }
    }

    pub fn attempt_timeout(&self) -> Duration {
        Duration::from_millis(self.attempt_timeout_ms.into())
    }

    pub fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms().into())
    }

    pub fn key_retention(&self) -> Duration {
        Duration::from_secs(self.key_retention_s.into())
    }

    pub fn absence_wait(&self) -> Duration {
        Duration::from_secs(self.absence_wait_s.into())
    }

    pub(super) fn connect_timeout_ms(&self) -> u32 {
        let default = 2_000.min(self.attempt_timeout_ms / 2);
        self.connect_timeout_ms.unwrap_or(default)
    }

    /// Checks the name, the URL and the secret, and fills in the mode that the secret tells.
    fn settle(&mut self, setting: &str) -> Result<(), ConfigError> {
        let refused = |field: &str, problem: &str| {
            Err(ConfigError::refused(format!("{setting}{field}"), problem))
        };
        let is_plain =
            |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_' || c == b'-';
        if !(1..=32).contains(&self.name.len()) || !self.name.bytes().all(is_plain) {
            return refused("name", "must be 1 to 32 of a-z, 0-9, _ and -");
        }
        let url = match parse_base_url(&self.url) {
            Ok(url) => url,
            Err(problem) => return refused("url", problem),
        };
        let secret = self.secret.expose_secret();
        if url.scheme() == "http" && mode_of_secret(secret) == Some(Mode::Live) {
            return refused(
                "url",
                "must begin with https://, for the secret is a live one",
            );
        }
        if secret.is_empty() || !secret.bytes().all(|c| c.is_ascii_graphic()) {
            return refused("secret", "must be visible ASCII characters, at least one");
        }
        match (self.mode, mode_of_secret(secret)) {
            (Some(said), Some(told)) if said != told => {
                let problem = format!("is {said}, but the secret is one of the {told} mode");
                return refused("mode", &problem);
            }
            (None, told) => self.mode = told,
            _ => {}
        }
        Ok(())
    }
}

/// The built-in sandbox, table `[sandbox]` of the configuration file. It is started only when
/// neither `provider_url` nor `[[providers]]` are set.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SandboxConfig {
    /// Address and port. Default: `127.0.0.1:8081`.
    pub listen: SocketAddr,
    /// Where its own side answers even while it refuses connections. Default: the next port.
    pub control_listen: Option<SocketAddr>,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8081)),
            control_listen: None,
        }
    }
}

impl Config {
    /// Makes one list of providers from the three ways to name them, and one routing.
    pub(super) fn settle_providers(&mut self) -> Result<(), ConfigError> {
        match (self.provider_url.take(), self.provider_secret.take()) {
            (None, Some(_)) => {
                let problem = "is set, but provider_url is not: say which provider it is for";
                return Err(ConfigError::refused("provider_secret", problem));
            }
            (Some(_), _) if !self.providers.is_empty() => {
                let problem = "and [[providers]] are both set: put this provider among the others";
                return Err(ConfigError::refused("provider_url", problem));
            }
            (None, None) if self.provider_account.is_some() => {
                let problem = "is set, but provider_url is not: say which provider it is for";
                return Err(ConfigError::refused("provider_account", problem));
            }
            (Some(url), secret) => {
                let secret = match secret {
                    Some(secret) => secret,
                    None if is_loopback(&url) => SecretString::from(SANDBOX_SECRET),
                    None => {
                        let problem =
                            "is not set, but provider_url is: set ONCEPAY_PROVIDER_SECRET";
                        return Err(ConfigError::refused("provider_secret", problem));
                    }
                };
                let mut provider = ProviderConfig::new(SIMPLE_PROVIDER, url, secret);
                provider.account = self.provider_account.take();
                provider.settle("provider_")?;
                self.providers.push(provider);
            }
            (None, None) if self.providers.is_empty() => {
                self.uses_built_in_sandbox = true;
                let url = format!("http://{}", self.sandbox.listen);
                let secret = SecretString::from(SANDBOX_SECRET);
                self.providers
                    .push(ProviderConfig::new(BUILT_IN_SANDBOX, url, secret));
            }
            (None, None) => {
                for (place, provider) in self.providers.iter_mut().enumerate() {
                    provider.settle(&format!("providers[{place}]."))?;
                }
            }
        }
        self.settle_routing()
    }

    fn settle_routing(&mut self) -> Result<(), ConfigError> {
        let mut names = BTreeSet::new();
        for provider in &self.providers {
            if !names.insert(provider.name.as_str()) {
                let problem = format!("names {:?} twice", provider.name);
                return Err(ConfigError::refused("providers", problem));
            }
        }
        let active = self.providers.iter().filter(|provider| !provider.retired);
        let active: Vec<&str> = active.map(|provider| provider.name.as_str()).collect();
        let mut seen = BTreeSet::new();
        for name in &self.routing {
            let problem = if !names.contains(name.as_str()) {
                format!("names {name:?}, which is none of the providers")
            } else if !active.contains(&name.as_str()) {
                format!("names {name:?}, which is retired")
            } else if !seen.insert(name) {
                format!("names {name:?} twice")
            } else {
                continue;
            };
            return Err(ConfigError::refused("routing", problem));
        }
        if active.is_empty() {
            let problem = "are all retired: no payment could be made";
            return Err(ConfigError::refused("providers", problem));
        }
        if self.routing.is_empty() {
            self.routing = active.into_iter().map(str::to_owned).collect();
        }
        Ok(())
    }
}

fn parse_base_url(text: &str) -> Result<Url, &'static str> {
    let Ok(url) = Url::parse(text) else {
        return Err("is not a URL; it looks like https://api.stripe.com");
    };
    if !matches!(url.scheme(), "http" | "https") {
        return Err("must begin with https:// or http://");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user or a password; the secret has its own setting");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must not hold a query or a fragment");
    }
    Ok(url)
}

fn is_loopback(text: &str) -> bool {
    let Ok(url) = parse_base_url(text) else {
        return true; // What is wrong with it is told where it is checked.
    };
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
        None => false,
    }
}

fn mode_of_secret(secret: &str) -> Option<Mode> {
    if secret.contains("_live_") {
        Some(Mode::Live)
    } else if secret.contains("_test_") {
        Some(Mode::Test)
    } else {
        None
    }
}
