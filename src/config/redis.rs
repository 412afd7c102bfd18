//! Where finished answers are shared between servers, and how long Redis is waited for.

use std::{path::PathBuf, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use super::{Config, ConfigError, bounds::within};
use crate::resilience::BreakerSettings;

/// Table `[redis]` of the configuration file, of use with `redis_url` only.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RedisConfig {
    /// How long an answer is kept there, in seconds: 1 to 2,592,000. Default: 86,400, the time within
    /// which nearly all retries come; the database answers those that come later.
    pub ttl_s: u32,
    /// How long a look-up may take, in milliseconds: 1 to 1,000. Default: 25, many times what a Redis
    /// nearby takes, and not much longer than to ask the database instead. To put answers there, which
    /// no request waits for, may take ten times as long, and 250 milliseconds in any case.
    pub get_timeout_ms: u32,
    /// Connections, at most, beside the one for messages: 1 to 200. Default: 8.
    pub connections_max: u32,
    /// Begins the name of everything that we keep there: 1 to 64 letters, digits, `_`, `-`, `.` and
    /// `:`. Default: `oncepay`.
    pub key_prefix: String,
    /// File with the certificates (PEM) to trust for `rediss://` in place of the system's. No default.
    pub ca_file: Option<PathBuf>,
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self {
            ttl_s: 86_400,
            get_timeout_ms: 25,
            connections_max: 8,
            key_prefix: "oncepay".to_owned(),
            ca_file: None,
        }
    }
}

impl RedisConfig {
    pub fn ttl(&self) -> Duration {
        Duration::from_secs(self.ttl_s.into())
    }

    pub fn get_timeout(&self) -> Duration {
        Duration::from_millis(self.get_timeout_ms.into())
    }

    /// Three look-ups in vain open it for a second, then two, at most 30. So does half of the look-ups
    /// taking more than half of their time: the database would have answered by then.
    pub fn breaker(&self) -> BreakerSettings {
        BreakerSettings {
            window: Duration::from_secs(10),
            slow_call: self.get_timeout() / 2,
            consecutive_failures_max: 3,
            open: Duration::from_secs(1),
            open_max: Duration::from_secs(30),
            half_open_permits: 2,
            half_open_max: Duration::from_secs(5),
            ..BreakerSettings::default()
        }
    }
}

impl Config {
    pub(super) fn check_redis(&self) -> Result<(), ConfigError> {
        let redis = &self.redis;
        within("redis.ttl_s", redis.ttl_s, 1..=2_592_000)?;
        within("redis.get_timeout_ms", redis.get_timeout_ms, 1..=1_000)?;
        within("redis.connections_max", redis.connections_max, 1..=200)?;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-.:".contains(c);
        let prefix = &redis.key_prefix;
        if !(1..=64).contains(&prefix.len()) || !prefix.chars().all(is_plain) {
            return Err(ConfigError::refused(
                "redis.key_prefix",
                "must be 1 to 64 letters, digits, `_`, `-`, `.` and `:`",
            ));
        }
        let Some(url) = &self.redis_url else {
            return Ok(());
        };
        if parsed(url).is_none() {
            return Err(ConfigError::refused(
                "redis_url",
                "must be redis://[user:password@]host[:port][/database], or rediss:// for TLS",
            ));
        }
        Ok(())
    }
}

fn parsed(url: &SecretString) -> Option<Url> {
    let url = Url::parse(url.expose_secret()).ok()?;
    let is_ours = matches!(url.scheme(), "redis" | "rediss");
    let database = url.path().trim_matches('/');
    let database_is_known = database.is_empty() || database.parse::<u32>().is_ok();
    // A fragment would switch the check of certificates off.
    let is_plain = url.fragment().is_none();
    let has_host = url.host_str().is_some_and(|host| !host.is_empty());
    (is_ours && has_host && database_is_known && is_plain).then_some(url)
}

/// Says which Redis a URL names, without user, password or parameters.
pub fn describe_redis(redis_url: &SecretString) -> String {
    let Some(url) = parsed(redis_url) else {
        return "Redis".to_owned();
    };
    let host = url.host_str().unwrap_or_default();
    let port = url.port().unwrap_or(6_379);
    let tls = if url.scheme() == "rediss" {
        " over TLS"
    } else {
        ""
    };
    let database = match url.path().trim_matches('/') {
        "" => String::new(),
        database => format!(", database {database}"),
    };
    format!("Redis at {host}:{port}{database}{tls}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Flags;

    fn load(env: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let env = env.iter();
        let env = env.map(|(name, value)| (name.to_string(), value.to_string()));
        Config::load(Flags::default(), env, None)
    }

    #[test]
    fn the_url_comes_from_a_flag_our_variable_or_the_common_one() {
        let url = |config: Config| config.redis_url.unwrap().expose_secret().to_owned();
        let common = ("REDIS_URL", "redis://common");
        assert_eq!(url(load(&[common]).unwrap()), common.1);
        let own = ("ONCEPAY_REDIS_URL", "rediss://own");
        assert_eq!(url(load(&[common, own]).unwrap()), own.1);
        let flags = Flags {
            redis_url: Some("redis://flag".into()),
            ..Flags::default()
        };
        let env = [(own.0.to_owned(), own.1.to_owned())].into_iter();
        assert_eq!(url(Config::load(flags, env, None).unwrap()), "redis://flag");
        assert!(load(&[("REDIS_URL", "")]).unwrap().redis_url.is_none());
    }

    #[test]
    fn a_url_that_cannot_be_right_is_refused_without_its_password() {
        for wrong in [
            "http://user:s3cret@host",
            "redis://user:s3cret@host/zero",
            "rediss://user:s3cret@host#insecure",
            "s3cret",
            "redis:///s3cret",
        ] {
            let error = load(&[("REDIS_URL", wrong)]).unwrap_err().to_string();
            assert!(error.contains("redis_url"), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
        let config = load(&[("REDIS_URL", "redis://user:s3cret@host")]).unwrap();
        assert!(!format!("{config:?}").contains("s3cret"));
    }

    #[test]
    fn the_numbers_are_bounded_and_the_prefix_is_plain() {
        for (name, wrong) in [
            ("ONCEPAY_REDIS__TTL_S", "0"),
            ("ONCEPAY_REDIS__GET_TIMEOUT_MS", "1001"),
            ("ONCEPAY_REDIS__CONNECTIONS_MAX", "0"),
            ("ONCEPAY_REDIS__KEY_PREFIX", "a b"),
        ] {
            assert!(load(&[(name, wrong)]).is_err(), "{name}");
        }
        assert!(load(&[("ONCEPAY_REDIS__KEY_PREFIX", "shop:1")]).is_ok());
    }

    #[test]
    fn a_redis_is_described_without_what_is_secret() {
        let told = |url: &str| describe_redis(&url.into());
        assert_eq!(
            told("rediss://user:s3cret@host:7000/2?x=s3cret"),
            "Redis at host:7000, database 2 over TLS"
        );
        assert_eq!(told("redis://host"), "Redis at host:6379");
        assert_eq!(told("nonsense:s3cret"), "Redis");
    }
}
