//! From flags and environment to a [`Config`].

use std::path::PathBuf;

use clap::Args;
use secrecy::SecretString;

use super::error::CliError;
use crate::config::{Config, Flags};

/// What every command needs that works on the store.
#[derive(Clone, Debug, Args)]
pub(super) struct StoreArgs {
    /// The configuration file, in TOML [env: ONCEPAY_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// The database: postgres://.. or a SQLite file [env: DATABASE_URL]
    #[arg(long, value_name = "URL")]
    pub(super) database_url: Option<SecretString>,
}

impl StoreArgs {
    pub(super) fn load(&self) -> Result<Config, CliError> {
        self.load_with(Flags::default())
    }

    pub(super) fn load_with(&self, flags: Flags) -> Result<Config, CliError> {
        let flags = Flags {
            database_url: self.database_url.clone(),
            ..flags
        };
        let env = environment_variables()?.into_iter();
        Ok(Config::load(flags, env, self.config.clone())?)
    }
}

/// The variables of this process, those that are not ours left out if they are not text.
pub(super) fn environment_variables() -> Result<Vec<(String, String)>, CliError> {
    let mut variables = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Ok(name) = name.into_string() else {
            continue;
        };
        match value.into_string() {
            Ok(value) => variables.push((name, value)),
            Err(_)
                if name.starts_with("ONCEPAY_")
                    || ["DATABASE_URL", "REDIS_URL"].contains(&&*name) =>
            {
                return Err(CliError::NotUnicode(name));
            }
            Err(_) => {}
        }
    }
    Ok(variables)
}
