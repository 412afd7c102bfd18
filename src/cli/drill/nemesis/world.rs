//! The world of a campaign: PostgreSQL, Redis, a provider, two nodes and a load balancer, all of them
//! processes of their own, with a gate in every way between them.
//!
//! **Invariant:** however a campaign ends, no process of it is left, and no file unless it is evidence.

use std::{net::SocketAddr, path::Path};

use reqwest::Url;
use secrecy::SecretString;
use tempfile::TempDir;
use tokio::sync::Mutex;

use super::{
    super::{
        error::DrillError,
        gate::{Gate, Way},
        process::Process,
        programs::find,
        provider::Provider,
        redis_server::Redis,
        throw_away::url_after,
    },
    Careless,
    balancer::{self, Balancer},
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
    pub(super) balancer: Balancer,
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
/// Only the owner reads what is in it; PostgreSQL, which runs as another user, passes through.
const FOLDER_MODE: u32 = 0o711;

impl World {
    pub(super) async fn start(
        clients: u32,
        careless: Option<Careless>,
        environment: &Environment,
    ) -> Result<Self, DrillError> {
        // What is missing is told before anything is started.
        find(balancer::PROGRAM, balancer::PROGRAM)?;
        let folder = tempfile::Builder::new()
            .prefix("oncepay-campaign-")
            .tempdir()
            .map_err(DrillError::Folder)?;
        open_for_postgres(folder.path())?;
        let watchdog = Watchdog::over(folder.path())?;
        let mut database = Postgres::start(folder.path()).await?;
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
        let balancer = Balancer::start(folder.path(), addresses).await?;
        let [first, second] = addresses;
        Ok(Self {
            reach: Reach {
                balancer: url_of(balancer.address())?,
                nodes: [url_of(first)?, url_of(second)?],
                key: SecretString::from(key.expose()),
                admin_key: SecretString::from(admin_key.expose()),
            },
            balancer,
            nodes,
            _sandbox: sandbox,
            redis: redis.map(Mutex::new),
            database: Mutex::new(database),
            to_provider,
            provider: Provider::new(control)?,
            watchdog,
            folder,
        })
    }

    pub(super) fn describe(&self) -> String {
        let redis = if self.redis.is_some() { ", Redis" } else { "" };
        format!("HAProxy, two nodes, PostgreSQL{redis}, a sandbox")
    }

    pub(super) fn set(&self, link: Link, way: Way) {
        let node = |number: usize| self.nodes.get(number);
        let gate = match link {
            Link::Provider => Some(&self.to_provider),
            Link::Balancer => Some(&self.balancer.front),
            Link::ToNode(number) => node(number).map(|node| &node.front),
            Link::Database(number) => node(number).map(|node| &node.database),
            Link::Redis(number) => node(number).and_then(|node| node.redis.as_ref()),
        };
        if let Some(gate) = gate {
            gate.set(way);
        }
    }

    /// Starts again what has ended by itself.
    pub(super) async fn revive(&self) -> Result<(), DrillError> {
        for node in &self.nodes {
            node.revive().await?;
        }
        self.balancer.revive().await
    }

    /// The logs of servers and balancers that have ended without being killed by us.
    pub(super) async fn ended(&self) -> Vec<String> {
        let mut ended = self.balancer.ended().await;
        for node in &self.nodes {
            ended.extend(node.ended().await);
        }
        ended
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
