//! What the adapter must be told, and what is wrong with it.

use std::{str::FromStr, time::Duration};

use reqwest::{Url, header::HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{payment::Mode, provider::ProviderProfile};

/// The version of Stripe's API whose words this adapter knows.
pub const API_VERSION: &str = "2024-06-20";
/// How long after [`KEY_RETENTION`] an absence begins to mean something: twice the longest delay
/// of a look-up that was thought of.
pub const ABSENCE_WAIT: Duration = Duration::from_secs(2 * 3_600);
/// How long Stripe is sure to remember an idempotency key
/// (<https://docs.stripe.com/api/idempotent_requests>).
pub const KEY_RETENTION: Duration = Duration::from_secs(24 * 60 * 60);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// One account at Stripe, or at something that speaks its protocol.
#[derive(Clone, Debug)]
pub struct StripeSettings {
    /// Its name in the configuration.
    pub name: String,
    /// Where `/v1/payment_intents` is found, such as `https://api.stripe.com`.
    pub base_url: String,
    /// The secret or restricted API key.
    pub secret: SecretString,
    /// The account that the secret belongs to. It is not sent; it is part of where idempotency keys
    /// are valid, and lets the secret be replaced by another of the account. Without it, each secret
    /// counts as an account of its own: it could belong to another, where our keys charge again.
    pub account: Option<String>,
    /// The mode it serves. Without it, the secret's prefix says so; without that, it is a sandbox.
    pub mode: Option<Mode>,
    /// How long one attempt may take, from the connection to the end of the answer.
    pub attempt_timeout: Duration,
    /// How long a connection may take, with name look-up and TLS; shorter than `attempt_timeout`,
    /// so that a dead address is known to have got nothing.
    pub connect_timeout: Duration,
    /// How long an idempotency key is remembered there; [`KEY_RETENTION`] at most.
    pub key_retention: Duration,
    /// How long after that what Stripe does not list counts as never carried out: any length.
    pub absence_wait: Duration,
    /// The `Stripe-Version` that is asked for.
    pub api_version: String,
    /// What every object that is made there is marked with; without it, whose it is cannot be told from
    /// those of another installation on the same account.
    pub installation: Option<Uuid>,
}

/// A setting that cannot be used; the text begins with its name.
#[derive(Debug, thiserror::Error)]
pub enum StripeSettingsError {
    #[error("name: must not be empty")]
    NameEmpty,
    #[error("base_url: is not a URL")]
    BaseUrlUnreadable(#[source] <Url as FromStr>::Err),
    #[error(
        "base_url: must be http or https, with a host and without user, password, query or fragment"
    )]
    BaseUrlUnfit,
    #[error("base_url: must be https, for the secret is a live one")]
    BaseUrlInsecure,
    #[error("secret: must be printable ASCII without spaces, and not empty")]
    SecretUnfit,
    #[error("mode: is {mode}, and the secret is of the other mode")]
    ModeContradicted { mode: &'static str },
    #[error("connect_timeout: must be longer than zero and shorter than attempt_timeout")]
    ConnectTimeout,
    #[error("key_retention: must be longer than zero, and 24 hours at most")]
    KeyRetention,
    #[error("api_version: must be letters, digits, dots, hyphens and underscores")]
    ApiVersion,
    #[error("the TLS library has no default crypto provider: the program must install one first")]
    NoCryptoProvider,
    #[error("the HTTP client cannot be built")]
    Client(#[source] reqwest::Error),
}

impl StripeSettings {
    /// The settings with every default.
    pub fn new(
        name: impl Into<String>,
        base_url: impl Into<String>,
        secret: impl Into<SecretString>,
    ) -> Self {
        Self {
            name: name.into(),
            base_url: base_url.into(),
            secret: secret.into(),
            account: None,
            mode: None,
            attempt_timeout: ATTEMPT_TIMEOUT,
            connect_timeout: CONNECT_TIMEOUT,
            key_retention: KEY_RETENTION,
            absence_wait: ABSENCE_WAIT,
            api_version: API_VERSION.into(),
            installation: None,
        }
    }

    /// The base URL, without slashes at its end and as the URL standard writes it.
    pub(super) fn checked_base_url(&self) -> Result<Url, StripeSettingsError> {
        let mut url =
            Url::parse(self.base_url.trim()).map_err(StripeSettingsError::BaseUrlUnreadable)?;
        let is_plain = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() || !is_plain {
            return Err(StripeSettingsError::BaseUrlUnfit);
        }
        if url.scheme() == "http" && self.secret_mode() == Some(Mode::Live) {
            return Err(StripeSettingsError::BaseUrlInsecure);
        }
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        Ok(url)
    }

    /// What stands in `Authorization`.
    pub(super) fn authorization(&self) -> Result<HeaderValue, StripeSettingsError> {
        let secret = self.secret.expose_secret();
        if secret.is_empty() || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(StripeSettingsError::SecretUnfit);
        }
        #[expect(
            clippy::map_err_ignore,
            reason = "the cause says nothing, and must not show the secret"
        )]
        let mut value = HeaderValue::from_str(&format!("Bearer {secret}"))
            .map_err(|_| StripeSettingsError::SecretUnfit)?;
        value.set_sensitive(true);
        Ok(value)
    }

    pub(super) fn profile(&self, base_url: &Url) -> Result<ProviderProfile, StripeSettingsError> {
        if self.name.trim().is_empty() {
            return Err(StripeSettingsError::NameEmpty);
        }
        let mode = self.checked_mode()?;
        if self.connect_timeout.is_zero() || self.connect_timeout >= self.attempt_timeout {
            return Err(StripeSettingsError::ConnectTimeout);
        }
        if self.key_retention.is_zero() || self.key_retention > KEY_RETENTION {
            return Err(StripeSettingsError::KeyRetention);
        }
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if self.api_version.is_empty() || !self.api_version.bytes().all(is_plain) {
            return Err(StripeSettingsError::ApiVersion);
        }
        Ok(ProviderProfile {
            name: self.name.clone(),
            account: self.fingerprint(base_url, mode),
            api_version: self.api_version.clone(),
            mode,
            attempt_timeout: self.attempt_timeout,
            key_retention: self.key_retention,
            absence_wait: self.absence_wait,
        })
    }

    fn checked_mode(&self) -> Result<Option<Mode>, StripeSettingsError> {
        match (self.mode, self.secret_mode()) {
            (Some(mode), Some(other)) if mode != other => {
                Err(StripeSettingsError::ModeContradicted {
                    mode: mode.as_str(),
                })
            }
            (given, of_secret) => Ok(given.or(of_secret)),
        }
    }

    fn secret_mode(&self) -> Option<Mode> {
        let secret = self.secret.expose_secret();
        let starts = |prefixes: [&str; 2]| prefixes.iter().any(|it| secret.starts_with(it));
        if starts(["sk_live_", "rk_live_"]) {
            Some(Mode::Live)
        } else if starts(["sk_test_", "rk_test_"]) {
            Some(Mode::Test)
        } else {
            None
        }
    }

    /// SHA-256 over where an idempotency key is valid: over the secret only if nothing else tells
    /// the account, since a secret is replaced from time to time while the keys live on.
    fn fingerprint(&self, base_url: &Url, mode: Option<Mode>) -> String {
        let mut hash = Sha256::new();
        hash.update(b"oncepay-stripe-account-1");
        let undeclared = self.account.is_none();
        let parts = [
            base_url.as_str().trim_end_matches('/'),
            self.account.as_deref().unwrap_or_default(),
            mode.map_or("", Mode::as_str),
        ];
        let secret = undeclared.then(|| self.secret.expose_secret());
        for part in parts.into_iter().chain(secret) {
            // The length goes first, so that no two lists of parts run together into one text.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let digest = hash.finalize();
        digest
            .iter()
            .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(base_url: &str, secret: &str) -> StripeSettings {
        StripeSettings::new("stripe", base_url, secret)
    }

    fn check(settings: &StripeSettings) -> Result<ProviderProfile, StripeSettingsError> {
        let base_url = settings.checked_base_url()?;
        settings.authorization()?;
        settings.profile(&base_url)
    }

    fn refused(change: impl Fn(&mut StripeSettings)) -> String {
        let mut settings = settings("https://api.stripe.com", "sk_live_1");
        assert!(check(&settings).is_ok());
        change(&mut settings);
        check(&settings).unwrap_err().to_string()
    }

    #[test]
    fn the_secret_says_which_mode_is_served() {
        let mode = |secret| check(&settings("https://h", secret)).unwrap().mode;
        assert_eq!(mode("sk_live_1"), Some(Mode::Live));
        assert_eq!(mode("rk_live_1"), Some(Mode::Live));
        assert_eq!(mode("sk_test_1"), Some(Mode::Test));
        assert_eq!(mode("rk_test_1"), Some(Mode::Test));
        assert_eq!(mode("sandbox"), None);
    }

    #[test]
    fn rule_6_the_account_is_where_keys_are_valid_and_if_declared_outlives_the_secret() {
        let account = |change: &dyn Fn(&mut StripeSettings)| {
            let mut settings = settings("https://api.stripe.com", "sk_test_1");
            change(&mut settings);
            check(&settings).unwrap().account
        };
        let one = account(&|_| {});
        assert_eq!(one.len(), 64);
        // It may be another account's, and nobody said that it is not.
        assert_ne!(one, account(&|it| it.secret = "rk_test_2".into()));
        let declared = |secret: &str, id: &str| {
            account(&|it| {
                it.secret = secret.into();
                it.account = Some(id.into());
            })
        };
        assert_eq!(
            declared("sk_test_1", "acct_1"),
            declared("rk_test_2", "acct_1")
        );
        assert_ne!(
            declared("sk_test_1", "acct_1"),
            declared("sk_test_1", "acct_2")
        );
        assert_eq!(
            one,
            account(&|it| it.base_url = "HTTPS://API.stripe.com:443/".into())
        );
        assert_ne!(one, account(&|it| it.secret = "sk_live_1".into()));
        assert_ne!(one, account(&|it| it.account = Some("acct_1".into())));
        assert_ne!(one, account(&|it| it.base_url = "https://h".into()));
        assert_ne!(
            one,
            account(&|it| it.base_url = "https://api.stripe.com/x".into())
        );
    }

    #[test]
    fn a_setting_that_cannot_be_used_is_named() {
        type Change<'a> = &'a dyn Fn(&mut StripeSettings);
        let table: &[(&str, Change<'_>)] = &[
            ("name:", &|it| it.name = " ".into()),
            ("base_url:", &|it| it.base_url = "api.stripe.com".into()),
            ("base_url:", &|it| it.base_url = "ftp://h".into()),
            ("base_url:", &|it| it.base_url = "https://u:p@h".into()),
            ("base_url:", &|it| it.base_url = "https://h?x=1".into()),
            ("base_url:", &|it| it.base_url = "http://h".into()),
            ("secret:", &|it| it.secret = "".into()),
            ("secret:", &|it| it.secret = "sk_live_1\n".into()),
            ("mode:", &|it| it.mode = Some(Mode::Test)),
            ("connect_timeout:", &|it| {
                it.connect_timeout = it.attempt_timeout;
            }),
            ("connect_timeout:", &|it| {
                it.attempt_timeout = Duration::ZERO;
            }),
            ("key_retention:", &|it| it.key_retention *= 2),
            ("key_retention:", &|it| it.key_retention = Duration::ZERO),
            ("api_version:", &|it| it.api_version = "a b".into()),
        ];
        for (name, change) in table {
            let text = refused(change);
            assert!(text.starts_with(name), "{text}");
            assert!(!text.contains("sk_live_1"), "{text}");
        }
    }
}
