//! The sources of settings, one laid over the other.
//!
//! Each source is first read alone, so that a mistake is told with the place to mend it.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use config::{ConfigBuilder, File, FileFormat, Value, builder::DefaultState};
use secrecy::ExposeSecret;

use super::{Config, ConfigError, Flags};

const PREFIX: &str = "ONCEPAY_";
/// Variables of ours that are no settings, and those that set a setting under another name.
const CONFIG_FILE: &str = "ONCEPAY_CONFIG";
const BOOTSTRAP_PREFIX: &str = "ONCEPAY_BOOTSTRAP_";
const ALIASES: [(&str, &str); 3] = [
    ("ONCEPAY_LOG", "log.filter"),
    ("DATABASE_URL", "database_url"),
    ("REDIS_URL", "redis_url"),
];

/// Where a setting was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Variable(String),
    File(PathBuf),
    Flags,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::File(path) => write!(f, "configuration file {}", path.display()),
            Self::Flags => f.write_str("command line"),
        }
    }
}

/// The variables that concern us, empty ones left out.
pub(super) struct Environment(BTreeMap<String, String>);

impl Environment {
    pub(super) fn read(env: impl Iterator<Item = (String, String)>) -> Self {
        let is_ours = |name: &str| {
            name.starts_with(PREFIX) || ALIASES.iter().any(|(alias, _)| *alias == name)
        };
        Self(
            env.filter(|(name, value)| is_ours(name) && !value.is_empty())
                .collect(),
        )
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// All bootstrap variables.
    pub(super) fn bootstrap(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .filter(|(name, _)| name.starts_with(BOOTSTRAP_PREFIX))
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Each variable that sets a setting, with the setting's path; aliases first, so that the
    /// setting's own name wins.
    fn settings(&self) -> Vec<(&str, String, &str)> {
        let aliases = ALIASES.iter().filter_map(|(name, path)| {
            self.get(name)
                .map(|value| (*name, (*path).to_owned(), value))
        });
        let named = self.0.iter().filter_map(|(name, value)| {
            let other = name == CONFIG_FILE
                || name.starts_with(BOOTSTRAP_PREFIX)
                || ALIASES.iter().any(|(alias, _)| alias == name);
            let path = name.strip_prefix(PREFIX).filter(|_| !other)?;
            let path = path.to_lowercase().replace("__", ".");
            Some((name.as_str(), path, value.as_str()))
        });
        aliases.chain(named).collect()
    }
}

type Builder = ConfigBuilder<DefaultState>;

pub(super) fn merge(
    flags: &Flags,
    env: &Environment,
    file: Option<PathBuf>,
) -> Result<Config, ConfigError> {
    let mut all = Builder::default();

    if let Some(path) = file.or_else(|| env.get(CONFIG_FILE).map(PathBuf::from)) {
        let text = std::fs::read_to_string(&path).map_err(|source| ConfigError::File {
            path: path.clone(),
            source,
        })?;
        let source = Source::File(path);
        let file = || File::from_str(&text, FileFormat::Toml);
        read_alone(&source, Builder::default().add_source(file()))?;
        all = all.add_source(file());
    }

    for (name, path, value) in env.settings() {
        let source = Source::Variable(name.to_owned());
        if path == "providers" || path.starts_with("providers.") {
            let message = "`providers` can be set only in a configuration file, as [[providers]]";
            return Err(refused(&source, message.to_owned()));
        }
        let set = |builder: Builder| {
            builder
                .set_override(&path, value)
                .map_err(|error| refused(&source, told(&error)))
        };
        read_alone(&source, set(Builder::default())?)?;
        all = set(all)?;
    }

    let mut set = |path: &str, value: Option<Value>| -> Result<(), ConfigError> {
        if let Some(value) = value {
            all = std::mem::take(&mut all)
                .set_override(path, value)
                .map_err(|error| refused(&Source::Flags, told(&error)))?;
        }
        Ok(())
    };
    set("listen", flags.listen.map(|at| at.to_string().into()))?;
    for (setting, url) in [
        ("database_url", &flags.database_url),
        ("redis_url", &flags.redis_url),
    ] {
        set(setting, url.as_ref().map(|url| url.expose_secret().into()))?;
    }
    set(
        "provider_url",
        flags.provider_url.as_deref().map(Value::from),
    )?;
    read_alone(&Source::Flags, all)
}

fn read_alone(source: &Source, builder: Builder) -> Result<Config, ConfigError> {
    builder
        .build()
        .and_then(config::Config::try_deserialize)
        .map_err(|error| refused(source, told(&error)))
}

fn refused(source: &Source, message: String) -> ConfigError {
    ConfigError::Source {
        source_name: source.clone(),
        message,
    }
}

/// What the library says, without the lines of the file that it quotes: one may hold a secret.
fn told(error: &config::ConfigError) -> String {
    let config::ConfigError::FileParse { cause, .. } = error else {
        return error.to_string();
    };
    let cause = cause.to_string();
    let is_quoted = |line: &&str| {
        let line = line
            .trim_start()
            .trim_start_matches(|c: char| c.is_ascii_digit());
        !line.trim_start().starts_with('|')
    };
    cause
        .lines()
        .filter(is_quoted)
        .collect::<Vec<_>>()
        .join(": ")
}
