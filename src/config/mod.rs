//! Every setting, its unit, its bounds and its default. Start reading at [`Config`] and
//! [`Config::load`].
//!
//! A setting comes from a flag, else from the environment (`ONCEPAY_*`, two underscores for each
//! dot: `limits.lease_s` is `ONCEPAY_LIMITS__LEASE_S`), else from the TOML file, else from its
//! default. An environment variable that is set but empty counts as not set.
//!
//! **Invariant:** a [`Config`] that exists is within all bounds, and its `Debug` shows no secret.
//! **Invariant:** a setting that nobody knows is an error that names it.

mod bootstrap;
mod bounds;
mod database;
mod error;
mod layers;
mod limits;
mod log;
mod provider;
mod read;
mod recovery;
mod redis;
mod resilience;

use std::{net::SocketAddr, path::PathBuf};

use secrecy::SecretString;
use serde::Deserialize;

pub use self::redis::{RedisConfig, describe_redis};
pub use bootstrap::BootstrapKeys;
pub use database::describe_database;
pub use error::ConfigError;
pub use layers::Source;
pub use limits::LimitsConfig;
pub use log::{LogConfig, LogFormat};
pub use provider::{BUILT_IN_SANDBOX, ProviderConfig, SIMPLE_PROVIDER, SandboxConfig};
pub use recovery::RecoveryConfig;
pub use resilience::{BreakerConfig, RetryConfig};

/// The settings of one process, checked.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address and port of the HTTP API. Default: `127.0.0.1:8080`.
    pub listen: SocketAddr,
    /// Where payments are kept: `postgres://user:password@host/name`, or a SQLite file as
    /// `sqlite://path` or a plain path, which must exist unless the URL ends in `?mode=rwc`.
    /// `DATABASE_URL` is read too. Default: `sqlite://oncepay.db?mode=rwc`, in the current folder.
    #[serde(deserialize_with = "read::secret")]
    pub database_url: SecretString,
    /// Connections to the database, at most: 1 to 200. Default: 16.
    pub database_pool_max: u32,
    /// Whether pending migrations are run at start; otherwise they stop it, and `oncepay migrate` runs
    /// them. Default: true.
    pub database_migrate: bool,
    /// Accepts a PostgreSQL that runs without `fsync`, `full_page_writes` or `synchronous_commit` and
    /// so can forget a payment that it has committed. Default: false.
    pub database_allow_unsafe: bool,
    /// Where servers share finished answers: `redis://user:password@host:port/database`, or `rediss://`
    /// for TLS. Never needed, and never believed over the database. `REDIS_URL` is read too. No
    /// default: each server keeps them in its own memory only.
    #[serde(deserialize_with = "read::optional_secret")]
    pub redis_url: Option<SecretString>,
    /// Base URL of the one provider of a simple installation, which is then named `stripe`; the
    /// built-in sandbox is not started. No default.
    #[serde(deserialize_with = "read::text")]
    provider_url: Option<String>,
    /// The secret that `provider_url` asks for. A provider on this machine (a loopback address) may
    /// go without one: it is taken for a sandbox. No default.
    #[serde(deserialize_with = "read::optional_secret")]
    provider_secret: Option<SecretString>,
    /// Which account of the provider `provider_secret` belongs to, as `account` of `[[providers]]`
    /// tells it: set it before the secret is replaced. No default.
    #[serde(deserialize_with = "read::text")]
    provider_account: Option<String>,
    /// Every provider, retired ones too: `[[providers]]` of the file, the one of `provider_url`, or
    /// the built-in sandbox when there is neither.
    pub providers: Vec<ProviderConfig>,
    /// Names of the providers to try, in that order; in the environment with commas between them.
    /// Default: all that are not retired, in the order of the file.
    #[serde(deserialize_with = "read::list")]
    pub routing: Vec<String>,
    /// The built-in sandbox, table `[sandbox]`.
    pub sandbox: SandboxConfig,
    /// How Redis is used, table `[redis]`.
    pub redis: RedisConfig,
    /// What bounds the work and the waiting, table `[limits]`.
    pub limits: LimitsConfig,
    /// How what was left behind is settled, table `[recovery]`.
    pub recovery: RecoveryConfig,
    /// When a provider is left alone, table `[breaker]`.
    pub breaker: BreakerConfig,
    /// How often a provider is asked again, table `[retry]`.
    pub retry: RetryConfig,
    /// Threads that serve HTTP: 1 to 256. Default: one for each core.
    pub http_workers: Option<u16>,
    /// What is logged, table `[log]`.
    pub log: LogConfig,
    /// Keys to install at start; only from the environment.
    #[serde(skip)]
    pub bootstrap: BootstrapKeys,
    #[serde(skip)]
    uses_built_in_sandbox: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            database_url: SecretString::from("sqlite://oncepay.db?mode=rwc"),
            database_pool_max: 16,
            database_migrate: true,
            database_allow_unsafe: false,
            redis_url: None,
            provider_url: None,
            provider_secret: None,
            provider_account: None,
            providers: Vec::new(),
            routing: Vec::new(),
            sandbox: SandboxConfig::default(),
            redis: RedisConfig::default(),
            limits: LimitsConfig::default(),
            recovery: RecoveryConfig::default(),
            breaker: BreakerConfig::default(),
            retry: RetryConfig::default(),
            http_workers: None,
            log: LogConfig::default(),
            bootstrap: BootstrapKeys::default(),
            uses_built_in_sandbox: false,
        }
    }
}

/// What the command line sets; it wins over every other source.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    pub listen: Option<SocketAddr>,
    pub database_url: Option<SecretString>,
    pub redis_url: Option<SecretString>,
    pub provider_url: Option<String>,
}

impl Config {
    /// Reads all sources and checks what they say together. `file` is the configuration file that a
    /// flag names; without it, `ONCEPAY_CONFIG` may name one.
    ///
    /// # Errors
    /// The first setting that is unknown, unreadable, out of bounds, or at odds with another.
    pub fn load(
        flags: Flags,
        env: impl Iterator<Item = (String, String)>,
        file: Option<PathBuf>,
    ) -> Result<Self, ConfigError> {
        let env = layers::Environment::read(env);
        let mut config = layers::merge(&flags, &env, file)?;
        config.bootstrap = BootstrapKeys::read(&env)?;
        config.settle_providers()?;
        config.check()?;
        Ok(config)
    }

    /// Whether this process starts the built-in sandbox: no provider is configured.
    pub fn uses_built_in_sandbox(&self) -> bool {
        self.uses_built_in_sandbox
    }
}

#[cfg(test)]
mod tests;
