//! The load balancer: HAProxy, with a gate before it.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tokio::{
    net::TcpStream,
    sync::Mutex,
    time::{Instant, sleep},
};

use super::{
    super::{
        error::DrillError,
        gate::Gate,
        process::{Process, Signal},
        programs::{find, free_port},
    },
    node::NOWHERE,
    runs::Runs,
};

#[derive(Debug)]
pub(super) struct Balancer {
    runs: Mutex<Runs>,
    folder: PathBuf,
    program: PathBuf,
    nodes: [SocketAddr; 2],
    /// Before it.
    pub(super) front: Gate,
}

pub(super) const PROGRAM: &str = "haproxy";
const CONFIG_FILE: &str = "balancer.cfg";
const CONFIG: &str = include_str!("../../../../deploy/haproxy.cfg");
const TRIES: u32 = 5;
const STARTS_WITHIN: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

impl Balancer {
    pub(super) async fn start(folder: &Path, nodes: [SocketAddr; 2]) -> Result<Self, DrillError> {
        let path = folder.join(CONFIG_FILE);
        std::fs::write(&path, CONFIG).map_err(|source| DrillError::Write { path, source })?;
        let this = Self {
            runs: Mutex::default(),
            folder: folder.to_owned(),
            program: find(PROGRAM, PROGRAM)?,
            nodes,
            front: Gate::to((NOWHERE.ip().to_string(), NOWHERE.port())).await?,
        };
        this.start_again().await?;
        Ok(this)
    }

    /// Where clients reach it, whichever port it has after a start.
    pub(super) fn address(&self) -> SocketAddr {
        self.front.at()
    }

    pub(super) async fn start_again(&self) -> Result<(), DrillError> {
        let mut runs = self.runs.lock().await;
        let mut tries = 0;
        loop {
            tries += 1;
            let (at, statistics) = (free_port(), free_port());
            let at = at.map_err(DrillError::Gate)?;
            let statistics = statistics.map_err(DrillError::Gate)?;
            let name = runs.next_name(PROGRAM);
            let mut balancer = self.spawn(&name, at, statistics)?;
            let until = Instant::now() + STARTS_WITHIN;
            while !balancer.has_ended() && Instant::now() < until {
                if TcpStream::connect(at).await.is_ok() {
                    self.front.leads_to(at);
                    runs.begin(balancer);
                    return Ok(());
                }
                sleep(LOOK_AGAIN).await;
            }
            // Another process may have taken a port first: then other ports.
            if tries >= TRIES {
                return balancer.said(|_| None).await;
            }
        }
    }

    fn spawn(
        &self,
        name: &str,
        at: SocketAddr,
        statistics: SocketAddr,
    ) -> Result<Process, DrillError> {
        let mut command = Command::new(&self.program);
        // In the foreground, and one process only.
        command.arg("-db").arg("-f").arg(CONFIG_FILE);
        let [first, second] = self.nodes.map(|node| node.to_string());
        command.env("LB_NODE_1", first).env("LB_NODE_2", second);
        command.env("LB_LISTEN", at.to_string());
        command.env("LB_STATS_LISTEN", statistics.to_string());
        command.env("LB_MAXCONN", "1000").current_dir(&self.folder);
        Process::spawn(name, PROGRAM.to_owned(), &mut command, &self.folder)
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
        self.start_again().await
    }

    /// The logs of the runs that have ended by themselves.
    pub(super) async fn ended(&self) -> Vec<String> {
        self.runs.lock().await.ended()
    }
}
