//! The world of a campaign: PostgreSQL, Redis, a provider, two nodes and a load balancer, all of them
//! processes of their own, with a gate in every way between them.
//!
//! **Invariant:** however a campaign ends, no process of it is left, and no file unless it is evidence.

use std::{net::SocketAddr, path::Path, process::Command, time::Duration};

use reqwest::Url;
use secrecy::SecretString;
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    sync::Mutex,
    time::{Instant, sleep},
};

use super::{
    super::{
        error::DrillError,
        gate::{Gate, Way},
        process::Process,
        programs::{find, free_port},
        provider::Provider,
        redis_server::Redis,
        throw_away::url_after,
    },
    Careless,
    node::{Common, Node},
    plan::Link,
    postgres::Postgres,
    settings,
    watchdog::Watchdog,
};
use crate::{
    api_key::{KeyKind, PlainKey},
    environment::Environment,
    payment::Mode,
};

#[derive(Debug)]
pub(super) struct World {
    // Fields are dropped in this order: nothing writes into the folder while it is removed.
    _balancer: Process,
    pub(super) nodes: [Node; 2],
    _sandbox: Process,
    pub(super) redis: Option<Mutex<Redis>>,
    pub(super) database: Mutex<Postgres>,
    to_provider: Gate,
    pub(super) provider: Provider,
    pub(super) reach: Reach,
    watchdog: Watchdog,
    folder: TempDir,
}

/// Where the nodes are reached, and the keys that open them.
#[derive(Clone, Debug)]
pub(super) struct Reach {
    pub(super) balancer: Url,
    pub(super) nodes: [Url; 2],
    pub(super) key: SecretString,
    pub(super) admin_key: SecretString,
}

const CONFIG_FILE: &str = "node.toml";
const BALANCER_FILE: &str = "balancer.cfg";
const BALANCER: &str = include_str!("../../../../deploy/haproxy.cfg");
const BALANCER_TRIES: u32 = 5;
const BALANCER_STARTS_WITHIN: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Only the owner reads what is in it; PostgreSQL, which runs as another user, passes through.
const FOLDER_MODE: u32 = 0o711;

impl World {
    pub(super) async fn start(
        clients: u32,
        careless: Option<Careless>,
        environment: &Environment,
    ) -> Result<Self, DrillError> {
        // What is missing is told before anything is started.
        find("haproxy", "haproxy")?;
        let folder = tempfile::Builder::new()
            .prefix("oncepay-campaign-")
            .tempdir()
            .map_err(DrillError::Folder)?;
        open_for_postgres(folder.path())?;
        let watchdog = Watchdog::over(folder.path())?;
        let database = Postgres::start(folder.path()).await?;
        let redis = Redis::start(folder.path()).await?;
        let arguments = ["--listen", "127.0.0.1:0"];
        let mut sandbox = Process::start("sandbox", &arguments, &[], folder.path())?;
        let (protocol, control) = sandbox
            .said(|text| {
                let protocol = url_after(text, "the sandbox listens on ")?;
                Some((protocol, url_after(text, "own side also on ")?))
            })
            .await?;
        let to_provider = gate_to(&protocol).await?;
        let path = folder.path().join(CONFIG_FILE);
        let config = settings::config(&url_of(to_provider.at())?, clients);
        std::fs::write(&path, config).map_err(|source| DrillError::Write { path, source })?;

        let key = PlainKey::mint(KeyKind::Merchant(Mode::Test), environment);
        let admin_key = PlainKey::mint(KeyKind::Admin, environment);
        let common = Common {
            folder: folder.path(),
            config_file: CONFIG_FILE,
            database: database.address(),
            redis: redis.as_ref().map(Redis::address),
            keys: [key.expose(), admin_key.expose()],
        };
        let shared = database.create("campaign")?;
        let second = match careless {
            Some(Careless::TwoDatabases) => database.create("another")?,
            _ => shared,
        };
        let nodes = [
            Node::new(0, &common, shared).await?,
            Node::new(1, &common, second).await?,
        ];
        for node in &nodes {
            node.start().await?;
        }
        let addresses = nodes.each_ref().map(Node::address);
        let (balancer, at) = start_balancer(folder.path(), addresses).await?;
        let [first, second] = addresses;
        Ok(Self {
            _balancer: balancer,
            nodes,
            _sandbox: sandbox,
            redis: redis.map(Mutex::new),
            database: Mutex::new(database),
            to_provider,
            provider: Provider::new(control)?,
            reach: Reach {
                balancer: url_of(at)?,
                nodes: [url_of(first)?, url_of(second)?],
                key: SecretString::from(key.expose()),
                admin_key: SecretString::from(admin_key.expose()),
            },
            watchdog,
            folder,
        })
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn describe(&self) -> String {
        let redis = if self.redis.is_some() { ", Redis" } else { "" };
        format!("HAProxy, two nodes, PostgreSQL{redis}, a sandbox")
    }

    pub(super) fn set(&self, link: Link, way: Way) {
        let node = |number: usize| self.nodes.get(number);
        let gate = match link {
            Link::Provider => Some(&self.to_provider),
            Link::ToNode(number) => node(number).map(|node| &node.front),
            Link::Database(number) => node(number).map(|node| &node.database),
            Link::Redis(number) => node(number).and_then(|node| node.redis.as_ref()),
        };
        if let Some(gate) = gate {
            gate.set(way);
        }
    }

    /// Ends every process, and leaves the folder as evidence.
    pub(super) fn keep(mut self) -> std::path::PathBuf {
        self.watchdog.keep();
        let folder = self.folder.path().to_owned();
        self.folder.disable_cleanup(true);
        folder
    }
}

fn open_for_postgres(folder: &Path) -> Result<(), DrillError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::Permissions::from_mode(FOLDER_MODE);
    std::fs::set_permissions(folder, mode).map_err(DrillError::Folder)
}

async fn gate_to(url: &Url) -> Result<Gate, DrillError> {
    let host = url.host_str().unwrap_or("127.0.0.1").to_owned();
    Gate::to((host, url.port_or_known_default().unwrap_or(80))).await
}

fn url_of(address: SocketAddr) -> Result<Url, DrillError> {
    let url = format!("http://{address}");
    Url::parse(&url).map_err(|_not_a_url| DrillError::BaseUrl { url })
}

async fn start_balancer(
    folder: &Path,
    nodes: [SocketAddr; 2],
) -> Result<(Process, SocketAddr), DrillError> {
    let path = folder.join(BALANCER_FILE);
    std::fs::write(&path, BALANCER).map_err(|source| DrillError::Write {
        path: path.clone(),
        source,
    })?;
    let program = find("haproxy", "haproxy")?;
    let [first, second] = nodes.map(|node| node.to_string());
    let mut tries = 0;
    loop {
        tries += 1;
        let (at, statistics) = (free(), free());
        let (at, statistics) = (at?, statistics?);
        let mut command = Command::new(&program);
        // In the foreground, and one process only.
        command.arg("-db").arg("-f").arg(&path).current_dir(folder);
        command.env("LB_NODE_1", &first).env("LB_NODE_2", &second);
        command.env("LB_LISTEN", at.to_string());
        command.env("LB_STATS_LISTEN", statistics.to_string());
        command.env("LB_MAXCONN", "1000");
        let mut balancer = Process::spawn("haproxy", "haproxy".to_owned(), &mut command, folder)?;
        let until = Instant::now() + BALANCER_STARTS_WITHIN;
        while !balancer.has_ended() && Instant::now() < until {
            if TcpStream::connect(at).await.is_ok() {
                return Ok((balancer, at));
            }
            sleep(LOOK_AGAIN).await;
        }
        // Another process may have taken a port first: then other ports.
        if tries >= BALANCER_TRIES {
            return balancer.said(|_| None).await;
        }
    }
}

fn free() -> Result<SocketAddr, DrillError> {
    free_port().map_err(DrillError::Gate)
}
