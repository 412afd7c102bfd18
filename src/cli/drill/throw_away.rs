//! The throw-away world: a sandbox, a server and, if it is installed, a Redis of our own, in a
//! temporary folder.
//!
//! **Invariant:** dropping it ends every process and removes the folder, however the drill ends.

use std::path::Path;

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;

use super::{error::DrillError, gate::Gate, process::Process, redis_server::Redis};
use crate::{
    api_key::{KeyKind, PlainKey},
    environment::Environment,
    payment::Mode,
};

#[derive(Debug)]
pub(super) struct ThrowAway {
    // Fields are dropped in this order: nothing writes into the folder while it is removed.
    server: Process,
    _sandbox: Process,
    redis: Option<(Redis, Gate)>,
    settings: ServerSettings,
    gate: Option<Gate>,
    folder: TempDir,
}

/// What a server of this world is started with, each time.
#[derive(Debug)]
struct ServerSettings {
    key: PlainKey,
    database_url: SecretString,
    redis_url: Option<String>,
}

/// Where the parts of a world are reached, and the key that opens it.
pub(super) struct Reach {
    pub(super) server: Url,
    pub(super) sandbox: Url,
    pub(super) key: SecretString,
}

const CONFIG_FILE: &str = "drill.toml";

impl ThrowAway {
    pub(super) async fn start(
        database_url: Option<&SecretString>,
        clients: u32,
        environment: &Environment,
    ) -> Result<(Self, Reach), DrillError> {
        let folder = tempfile::Builder::new()
            .prefix("oncepay-drill-")
            .tempdir()
            .map_err(DrillError::Folder)?;
        let arguments = ["--listen", "127.0.0.1:0"];
        let mut sandbox = Process::start("sandbox", &arguments, &[], folder.path())?;
        let (protocol, control) = sandbox
            .said(|text| {
                let protocol = url_after(text, "the sandbox listens on ")?;
                Some((protocol, url_after(text, "own side also on ")?))
            })
            .await?;
        let path = folder.path().join(CONFIG_FILE);
        let config = config(&protocol, clients);
        std::fs::write(&path, config).map_err(|source| DrillError::Write { path, source })?;
        let (gate, database_url) = way_to(database_url).await?;
        let redis = redis(folder.path()).await?;
        let settings = ServerSettings {
            key: PlainKey::mint(KeyKind::Merchant(Mode::Test), environment),
            database_url,
            redis_url: redis
                .as_ref()
                .map(|(_, gate)| format!("redis://{}", gate.at())),
        };
        let (server, at) = settings.start(folder.path()).await?;
        let reach = Reach {
            server: at,
            sandbox: control,
            key: SecretString::from(settings.key.expose()),
        };
        let this = Self {
            server,
            _sandbox: sandbox,
            redis,
            settings,
            gate,
            folder,
        };
        Ok((this, reach))
    }

    /// The gate before the database, if it has one.
    pub(super) fn gate(&self) -> Option<&Gate> {
        self.gate.as_ref()
    }

    /// Its Redis and the gate before it, where `redis-server` is installed.
    pub(super) fn redis(&self) -> Option<(&Redis, &Gate)> {
        self.redis.as_ref().map(|(redis, gate)| (redis, gate))
    }

    /// Kills the server and starts another over the same database; gives where that one listens.
    pub(super) async fn replace_server(&mut self) -> Result<Url, DrillError> {
        self.server.kill().map_err(|source| DrillError::Spawn {
            program: "oncepay serve".to_owned(),
            source,
        })?;
        let (server, at) = self.settings.start(self.folder.path()).await?;
        self.server = server;
        Ok(at)
    }
}

/// The URL by which the server reaches its database, and the gate that it leads through.
async fn way_to(
    database_url: Option<&SecretString>,
) -> Result<(Option<Gate>, SecretString), DrillError> {
    let Some(given) = database_url else {
        return Ok((None, SecretString::from("sqlite://drill.db?mode=rwc")));
    };
    Ok(match Gate::before(given).await? {
        Some((gate, through)) => (Some(gate), through),
        None => (None, given.clone()),
    })
}

/// A Redis behind a gate, if it is installed: the server does without as well.
async fn redis(folder: &Path) -> Result<Option<(Redis, Gate)>, DrillError> {
    let Some(redis) = Redis::start(folder).await? else {
        return Ok(None);
    };
    let at = redis.address();
    let gate = Gate::to((at.ip().to_string(), at.port())).await?;
    Ok(Some((redis, gate)))
}

impl ServerSettings {
    async fn start(&self, folder: &Path) -> Result<(Process, Url), DrillError> {
        // Secrets go through the environment: an argument can be seen by everyone.
        let mut settings = vec![
            ("ONCEPAY_DATABASE_URL", self.database_url.expose_secret()),
            ("ONCEPAY_BOOTSTRAP_API_KEY", self.key.expose()),
        ];
        settings.extend(
            self.redis_url
                .as_deref()
                .map(|url| ("ONCEPAY_REDIS_URL", url)),
        );
        let mut server = Process::start("serve", &["--config", CONFIG_FILE], &settings, folder)?;
        let at = server
            .said(|text| url_after(text, "oncepay listens on "))
            .await?;
        Ok((server, at))
    }
}

/// The server's settings: as the defaults, with times that a drill can wait for.
///
/// What was never carried out is known for certain half a minute after it was first sent
/// (`key_retention_s`, `absence_wait_s` and half of that), and a lost driver's lease ends before
/// sending does: at three quarters of the retention. So a row is settled well within its minute.
fn config(provider: &Url, clients: u32) -> String {
    // Enough for every row but the surge, which is to meet the limit.
    let in_flight_max = (clients * 4).max(64);
    format!(
        r#"
listen = "127.0.0.1:0"

[log]
filter = "error"

[limits]
in_flight_max = {in_flight_max}
deadline_ms = 5000
lease_s = 16
shutdown_timeout_s = 5

[recovery]
sweep_every_ms = 200
backoff_base_ms = 100
backoff_max_s = 2
at_once_max = 64

[retry]
settling_per_s = 100

[breaker]
window_s = 10
open_s = 1
open_max_s = 4
half_open_max_s = 5

[[providers]]
name = "sandbox"
url = "{provider}"
secret = "drill"
attempt_timeout_ms = 1000
connect_timeout_ms = 500
key_retention_s = 28
absence_wait_s = 4
"#
    )
}

/// The URL that stands behind `words`, once the whole line is there.
pub(super) fn url_after(text: &str, words: &str) -> Option<Url> {
    let (_, rest) = text.split_once(words)?;
    let (line, _) = rest.split_once('\n')?;
    let end = line.find([',', ' ']).unwrap_or(line.len());
    Url::parse(line.get(..end)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Flags};

    #[test]
    fn the_settings_of_the_world_are_within_all_bounds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(CONFIG_FILE);
        let provider = Url::parse("http://127.0.0.1:8081").unwrap();
        for clients in [1, 16, 1_000] {
            std::fs::write(&path, config(&provider, clients)).unwrap();
            Config::load(Flags::default(), std::iter::empty(), Some(path.clone())).unwrap();
        }
    }

    #[test]
    fn a_url_is_read_from_a_whole_line_only() {
        let line = "the sandbox listens on http://127.0.0.1:1, and with its own side also on http://127.0.0.1:2";
        let url = |text: &str| Some(Url::parse(text).unwrap());
        let whole = format!("{line}\n");
        assert_eq!(
            url_after(&whole, "the sandbox listens on "),
            url("http://127.0.0.1:1")
        );
        assert_eq!(
            url_after(&whole, "own side also on "),
            url("http://127.0.0.1:2")
        );
        assert_eq!(url_after(line, "own side also on "), None);
    }
}
