//! HAProxy in front of two nodes, with the configuration that is deployed.

use std::{
    io::Write,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use tokio::time::Instant;

use super::{API_KEY, client, eventually, programs::Reserved};

const CONFIGURATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/haproxy.cfg");
const START_MAX: Duration = Duration::from_secs(30);

/// A balancer that runs. Dropping it stops it.
pub(crate) struct Haproxy {
    child: Child,
    listen: Reserved,
    stats: Reserved,
    http: reqwest::Client,
}

impl Haproxy {
    /// Starts it in front of `nodes`, and waits until it takes connections.
    pub(crate) async fn start(nodes: [SocketAddr; 2]) -> Self {
        Self::start_with(nodes, Path::new(CONFIGURATION)).await
    }

    /// As [`Self::start`], with other words in place of some that are in the configuration, such as times
    /// that a test can wait for.
    pub(crate) async fn start_changed(nodes: [SocketAddr; 2], changes: &[(&str, &str)]) -> Self {
        let mut text = std::fs::read_to_string(CONFIGURATION).unwrap();
        for (from, to) in changes {
            assert!(text.contains(from), "{from} is not in the configuration");
            text = text.replace(from, to);
        }
        let mut changed = tempfile::NamedTempFile::new().unwrap();
        changed.write_all(text.as_bytes()).unwrap();
        Self::start_with(nodes, changed.path()).await
    }

    async fn start_with(nodes: [SocketAddr; 2], configuration: &Path) -> Self {
        let (listen, stats) = (Reserved::any(), Reserved::any());
        let mut child = command()
            .args(["-db", "-q", "-f"])
            .arg(configuration)
            .env("LB_LISTEN", listen.address().to_string())
            .env("LB_STATS_LISTEN", stats.address().to_string())
            .env("LB_NODE_1", nodes[0].to_string())
            .env("LB_NODE_2", nodes[1].to_string())
            .env("LB_MAXCONN", "1000")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("HAProxy ({error}): scripts/test installs it"));
        let until = Instant::now() + START_MAX;
        while TcpStream::connect(listen.address()).is_err() {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "HAProxy does not start: {ended:?}");
            assert!(Instant::now() < until, "HAProxy does not listen");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Self {
            child,
            listen,
            stats,
            http: client(),
        }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("http://{}{path}", self.listen.address());
        self.http.request(method, url).bearer_auth(API_KEY)
    }

    /// Asks for a payment under `key`.
    pub(crate) fn paying(&self, key: &str, body: &Value) -> RequestBuilder {
        self.request(Method::POST, "/payments")
            .header("idempotency-key", key)
            .header("content-type", "application/json")
            .body(body.to_string())
    }

    /// A page of the balancer's own side.
    pub(crate) async fn own_side(&self, path: &str) -> (u16, String) {
        let url = format!("http://{}{path}", self.stats.address());
        let answer = self.http.get(url).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Waits until it counts so many nodes as ready.
    pub(crate) async fn sees_ready(&self, nodes: usize) {
        let what = format!("{nodes} nodes are ready for the balancer");
        eventually(&what, || async {
            let (_, table) = self.own_side("/;csv").await;
            let up = |line: &&str| line.starts_with("ready,node") && line.contains(",UP,");
            (table.lines().filter(up).count() == nodes).then_some(())
        })
        .await;
    }

    /// How many requests each node was sent, those that were sent to it anew included.
    pub(crate) async fn sent_to(&self, node: usize) -> u64 {
        let (_, metrics) = self.own_side("/metrics").await;
        let name =
            format!("haproxy_server_sessions_total{{proxy=\"ready\",server=\"node{node}\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&*name));
        line.unwrap().parse().unwrap()
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What HAProxy thinks of the deployed configuration under these variables.
pub(crate) fn check_configuration(variables: &[(&str, &str)]) -> Output {
    command()
        .args(["-c", "-f", CONFIGURATION])
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

/// HAProxy, with nothing in its environment. Debian's folder is not in everybody's PATH.
fn command() -> Command {
    let installed = PathBuf::from("/usr/sbin/haproxy");
    let program = if installed.exists() {
        &*installed
    } else {
        Path::new("haproxy")
    };
    let mut command = Command::new(program);
    command.env_clear();
    command
}
