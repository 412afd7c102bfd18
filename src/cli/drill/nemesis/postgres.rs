//! A PostgreSQL of the campaign's own: a throw-away cluster that syncs to disk, and that can be killed,
//! stopped and started again.

use std::{
    io,
    net::SocketAddr,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::super::{
    error::DrillError,
    process::{PID, Process, Signal, send},
    programs::{command_as, find, free_port, unprivileged},
};

#[derive(Debug)]
pub(super) struct Postgres {
    server: Option<Process>,
    address: SocketAddr,
    folder: PathBuf,
    programs: Programs,
    user: Option<(u32, u32)>,
    /// Those that were made.
    databases: Vec<&'static str>,
}

#[derive(Debug)]
struct Programs {
    initdb: PathBuf,
    postgres: PathBuf,
    pg_isready: PathBuf,
    createdb: PathBuf,
    psql: PathBuf,
}

const PACKAGE: &str = "postgresql";
const NAME: &str = "postgres";
/// Processes of a server that is stopped, for the watchdog.
const PARTS: &str = "postgres-parts";
const START_WITHIN: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How often a start is tried: what a killed server leaves behind goes within moments.
const TRY_AGAIN: Duration = Duration::from_millis(200);

impl Postgres {
    /// Makes a cluster in `folder` and starts its server.
    pub(super) async fn start(folder: &Path) -> Result<Self, DrillError> {
        let programs = Programs {
            initdb: find("initdb", PACKAGE)?,
            postgres: find("postgres", PACKAGE)?,
            pg_isready: find("pg_isready", PACKAGE)?,
            createdb: find("createdb", PACKAGE)?,
            psql: find("psql", PACKAGE)?,
        };
        let user = unprivileged();
        let data = folder.join(NAME);
        std::fs::create_dir(&data).map_err(DrillError::Folder)?;
        if let Some((uid, gid)) = user {
            chown(&data, Some(uid), Some(gid)).map_err(DrillError::Folder)?;
        }
        let mut initdb = command_as(&programs.initdb, user);
        initdb.args(["-N", "-A", "trust", "-U", "postgres", "-E", "UTF8"]);
        initdb.args(["--locale", "C", "-D"]).arg(&data);
        make(&mut initdb, "initdb")?;
        let mut this = Self {
            server: None,
            address: free_port().map_err(DrillError::Gate)?,
            folder: folder.to_owned(),
            programs,
            user,
            databases: Vec::new(),
        };
        this.start_again().await?;
        Ok(this)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes a database, which no other server on this machine has: whoever gets our port while it is
    /// free gets none of our work.
    pub(super) fn create(&mut self, database: &'static str) -> Result<&'static str, DrillError> {
        let port = self.address.port().to_string();
        let mut command = command_as(&self.programs.createdb, self.user);
        command.args(["-h", "127.0.0.1", "-p", &port, "-U", "postgres", database]);
        make(&mut command, "createdb")?;
        self.databases.push(database);
        Ok(database)
    }

    pub(super) fn databases(&self) -> &[&'static str] {
        &self.databases
    }

    /// A question to one of the databases, without any of its own; the answer is nothing but values.
    pub(super) fn psql(&self, database: &str) -> Command {
        let port = self.address.port().to_string();
        let mut command = command_as(&self.programs.psql, self.user);
        command.args([
            "-h",
            "127.0.0.1",
            "-p",
            &port,
            "-U",
            "postgres",
            "-d",
            database,
        ]);
        // No file of whoever runs us, no question for a password, unaligned, tuples only.
        command.args(["-X", "-w", "-A", "-t", "-q"]);
        command
    }

    /// Ends all of it as a loss of power would, but for the disk's cache.
    pub(super) fn kill(&mut self) -> io::Result<()> {
        let parts = self.parts()?;
        if let Some(mut server) = self.server.take() {
            server.kill()?;
        }
        // They would end by themselves, unless they are stopped.
        for part in parts {
            drop(send(part, Signal::KILL));
        }
        // There is none unless it was stopped.
        drop(std::fs::remove_file(self.stopped()));
        Ok(())
    }

    /// Stops or continues every process of the server.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        let Some(server) = &self.server else {
            return Ok(());
        };
        server.signal(signal)?;
        // After the first, which would start more of them otherwise.
        let parts = self.parts()?;
        if signal == Signal::STOP {
            let named = parts.iter().map(ToString::to_string);
            std::fs::write(self.stopped(), named.collect::<Vec<_>>().join(" "))?;
        }
        for part in parts {
            // It may have ended meanwhile.
            drop(send(part, signal));
        }
        if signal != Signal::STOP {
            std::fs::remove_file(self.stopped())?;
        }
        Ok(())
    }

    /// Where the processes are named that do not end with the first one, since they are stopped.
    fn stopped(&self) -> PathBuf {
        self.folder.join(format!("{PARTS}.{PID}"))
    }

    /// Starts it on the same port, or on another if that was taken meanwhile.
    pub(super) async fn start_again(&mut self) -> Result<(), DrillError> {
        let until = Instant::now() + START_WITHIN;
        let mut tries: u32 = 0;
        loop {
            let mut server = self.spawn()?;
            while !server.has_ended() && Instant::now() < until {
                if self.is_ready() {
                    self.server = Some(server);
                    return Ok(());
                }
                sleep(LOOK_AGAIN).await;
            }
            tries += 1;
            if Instant::now() >= until {
                // What it has said tells why.
                return server.said(|_| None::<()>).await;
            }
            if tries.is_multiple_of(10) {
                self.address = free_port().map_err(DrillError::Gate)?;
            }
            sleep(TRY_AGAIN).await;
        }
    }

    fn spawn(&self) -> Result<Process, DrillError> {
        let port = self.address.port().to_string();
        let mut command = command_as(&self.programs.postgres, self.user);
        command.arg("-D").arg(self.folder.join(NAME));
        command.args(["-h", "127.0.0.1", "-p", &port, "-k", ""]);
        let settings = [
            "fsync=on",
            "synchronous_commit=on",
            "full_page_writes=on",
            "max_connections=100",
            "shared_buffers=64MB",
        ];
        for setting in settings {
            command.args(["-c", setting]);
        }
        Process::spawn(NAME, NAME.to_owned(), &mut command, &self.folder)
    }

    fn is_ready(&self) -> bool {
        let port = self.address.port().to_string();
        let mut command = command_as(&self.programs.pg_isready, self.user);
        let ready = command
            .args(["-q", "-h", "127.0.0.1", "-p", &port])
            .status();
        ready.is_ok_and(|ready| ready.success())
    }

    /// The server's children, each of which leads a session of its own.
    fn parts(&self) -> io::Result<Vec<u32>> {
        let Some(server) = &self.server else {
            return Ok(Vec::new());
        };
        let parent = server.id().to_string();
        let mut parts = Vec::new();
        for entry in std::fs::read_dir("/proc")?.flatten() {
            let Some(id) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            // One that has just ended has no such file.
            let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            // "id (name) state parent ..", and the name may hold anything.
            let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
            if rest.split_whitespace().nth(1) == Some(parent.as_str()) {
                parts.push(id);
            }
        }
        Ok(parts)
    }
}

fn make(command: &mut Command, program: &str) -> Result<(), DrillError> {
    let made = command.stdin(Stdio::null()).output();
    let made = made.map_err(|source| DrillError::Spawn {
        program: program.to_owned(),
        source,
    })?;
    if made.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&made.stderr).trim().to_owned();
    Err(DrillError::Cluster { said })
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.kill());
    }
}
