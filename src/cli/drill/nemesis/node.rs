//! A node: a server process of our own executable, with a gate before it and one on each of its ways.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use reqwest::Url;
use tokio::{
    sync::Mutex,
    time::{Duration, Instant, sleep},
};

use super::{
    super::{
        error::DrillError,
        gate::Gate,
        process::{Process, Signal},
        throw_away::url_after,
    },
    runs::Runs,
};

#[derive(Debug)]
pub(super) struct Node {
    number: usize,
    runs: Mutex<Runs>,
    folder: PathBuf,
    environment: Vec<(&'static str, String)>,
    /// Before it.
    pub(super) front: Gate,
    pub(super) database: Gate,
    pub(super) redis: Option<Gate>,
}

/// What every node of a campaign is started with.
pub(super) struct Common<'a> {
    pub(super) folder: &'a std::path::Path,
    pub(super) config_file: &'a str,
    pub(super) database: SocketAddr,
    pub(super) redis: Option<SocketAddr>,
    /// A merchant's test key, and an administrator's.
    pub(super) keys: [&'a str; 2],
}

/// A node cannot start without its database, and somebody starts it again, as an operating system does.
const START_AGAIN: Duration = Duration::from_millis(200);
const START_WITHIN: Duration = Duration::from_secs(90);
/// Where nobody listens.
pub(super) const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9);

impl Node {
    /// A node that is not started yet, over this database of the server.
    pub(super) async fn new(
        number: usize,
        common: &Common<'_>,
        database: &str,
    ) -> Result<Self, DrillError> {
        let to = |address: SocketAddr| Gate::to((address.ip().to_string(), address.port()));
        let front = to(NOWHERE).await?; // Until it listens.
        let database_gate = to(common.database).await?;
        let redis = match common.redis {
            Some(redis) => Some(to(redis).await?),
            None => None,
        };
        let [key, admin_key] = common.keys;
        let database = format!("postgres://postgres@{}/{database}", database_gate.at());
        // Secrets go through the environment: an argument can be seen by everyone.
        let mut environment = vec![
            ("ONCEPAY_DATABASE_URL", database),
            ("ONCEPAY_BOOTSTRAP_API_KEY", key.to_owned()),
            ("ONCEPAY_BOOTSTRAP_ADMIN_KEY", admin_key.to_owned()),
            ("ONCEPAY_CONFIG", common.config_file.to_owned()),
        ];
        if let Some(redis) = &redis {
            environment.push(("ONCEPAY_REDIS_URL", format!("redis://{}", redis.at())));
        }
        Ok(Self {
            number,
            runs: Mutex::default(),
            folder: common.folder.to_owned(),
            environment,
            front,
            database: database_gate,
            redis,
        })
    }

    /// Where it is reached, whichever port it has after a start.
    pub(super) fn address(&self) -> SocketAddr {
        self.front.at()
    }

    /// Starts it, again and again until it listens.
    pub(super) async fn start(&self) -> Result<(), DrillError> {
        let mut runs = self.runs.lock().await;
        let until = Instant::now() + START_WITHIN;
        loop {
            let failed = match self.try_start(&mut runs).await {
                Ok(()) => return Ok(()),
                Err(failed) => failed,
            };
            if Instant::now() >= until {
                return Err(failed);
            }
            sleep(START_AGAIN).await;
        }
    }

    async fn try_start(&self, runs: &mut Runs) -> Result<(), DrillError> {
        let name = runs.next_name(&format!("node{}", self.number + 1));
        let settings = self.environment.iter();
        let settings: Vec<_> = settings
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let mut process = Process::of_ourselves(&name, "serve", &[], &settings, &self.folder)?;
        let at = process
            .said(|text| url_after(text, "oncepay listens on "))
            .await?;
        if let Some(address) = address_of(&at) {
            self.front.leads_to(address);
        }
        runs.begin(process);
        Ok(())
    }

    pub(super) async fn kill(&self) -> io::Result<()> {
        let killed = self.runs.lock().await.kill();
        self.front.leads_to(NOWHERE); // Another may get its port.
        killed
    }

    pub(super) async fn signal(&self, signal: Signal) -> io::Result<()> {
        self.runs.lock().await.signal(signal)
    }

    /// Starts it if it has ended by itself.
    pub(super) async fn revive(&self) -> Result<(), DrillError> {
        if self.runs.lock().await.is_there() {
            return Ok(());
        }
        self.start().await
    }

    /// The logs of the runs that have ended by themselves.
    pub(super) async fn ended(&self) -> Vec<String> {
        self.runs.lock().await.ended()
    }
}

fn address_of(url: &Url) -> Option<SocketAddr> {
    Some(SocketAddr::new(url.host_str()?.parse().ok()?, url.port()?))
}
