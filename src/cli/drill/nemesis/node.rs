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

use super::super::{
    error::DrillError,
    gate::Gate,
    process::{Process, Signal},
    throw_away::url_after,
};

#[derive(Debug)]
pub(super) struct Node {
    number: usize,
    running: Mutex<Running>,
    folder: PathBuf,
    environment: Vec<(&'static str, String)>,
    /// Before it.
    pub(super) front: Gate,
    pub(super) database: Gate,
    pub(super) redis: Option<Gate>,
}

#[derive(Debug, Default)]
struct Running {
    process: Option<Process>,
    /// How often it was started.
    starts: u32,
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
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9);

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
            running: Mutex::default(),
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
        let mut running = self.running.lock().await;
        let until = Instant::now() + START_WITHIN;
        loop {
            let failed = match self.try_start(&mut running).await {
                Ok(()) => return Ok(()),
                Err(failed) => failed,
            };
            if Instant::now() >= until {
                return Err(failed);
            }
            sleep(START_AGAIN).await;
        }
    }

    async fn try_start(&self, running: &mut Running) -> Result<(), DrillError> {
        running.starts += 1;
        // Each start has a log of its own: what a killed one has said is evidence.
        let name = format!("node{}.{}", self.number + 1, running.starts);
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
        running.process = Some(process);
        Ok(())
    }

    pub(super) async fn kill(&self) -> io::Result<()> {
        let process = self.running.lock().await.process.take();
        let killed = process.map_or(Ok(()), |mut process| process.kill());
        self.front.leads_to(NOWHERE); // Another may get its port.
        killed
    }

    pub(super) async fn signal(&self, signal: Signal) -> io::Result<()> {
        let running = self.running.lock().await;
        let process = running.process.as_ref();
        process.map_or(Ok(()), |process| process.signal(signal))
    }

    /// The log of a process that has ended without being killed by us.
    pub(super) async fn died(&self) -> Option<String> {
        let mut running = self.running.lock().await;
        let starts = running.starts;
        let has_ended = running.process.as_mut().is_some_and(Process::has_ended);
        has_ended.then(|| format!("node{}.{starts}.log", self.number + 1))
    }
}

fn address_of(url: &Url) -> Option<SocketAddr> {
    Some(SocketAddr::new(url.host_str()?.parse().ok()?, url.port()?))
}
