//! A PostgreSQL of our own for tests: a throw-away cluster in a temporary folder, on a free port.
//! Start reading at [`PostgresServer::start`]. A server may have a standby, which can be promoted.
//!
//! It ends with the test process, however that ends: a watchdog waits for the closing of a pipe that
//! only the test process holds open.

use std::{
    fs,
    net::SocketAddr,
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;
use tokio::time::Instant;

use super::programs::{Reserved, watchdog};

const START_MAX: Duration = Duration::from_secs(30);
const ENDING: &str = r#"
    pid=$(head -n 1 "$0/data/postmaster.pid" 2> /dev/null)
    if [ -n "$pid" ]; then
        kill -QUIT "$pid" 2> /dev/null
        tries=0
        while kill -0 "$pid" 2> /dev/null && [ $tries -lt 50 ]; do sleep 0.1; tries=$((tries + 1)); done
    fi"#;

/// Whether commits reach the disk. Without, tests are faster, and a store refuses the server unless
/// it is told that it is a throw-away one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fsync {
    On,
    Off,
}

/// A server, which runs unless it was killed. Dropping it stops the server and removes its folder.
pub(crate) struct PostgresServer {
    folder: TempDir,
    reserved: Reserved,
    /// What it is started with: `name=value`.
    settings: Vec<String>,
    server: Option<Child>,
    _watchdog: ChildStdin,
}

impl PostgresServer {
    /// Makes a cluster and starts its server.
    pub(crate) fn start(fsync: Fsync) -> Self {
        Self::start_with(fsync, &[], &[])
    }

    /// Makes a cluster with these files in its folder, and starts its server with these settings,
    /// each `name=value`.
    pub(crate) fn start_with(fsync: Fsync, settings: &[&str], files: &[(&str, &str)]) -> Self {
        let fsync = match fsync {
            Fsync::On => "fsync=on",
            Fsync::Off => "fsync=off",
        };
        let mut this = Self::unmade(&[&[fsync], settings].concat());
        let mut initdb = command("initdb");
        initdb
            .args(["-N", "-A", "trust", "-U", "postgres", "-E", "UTF8"])
            .args(["--locale", "C", "-D"])
            .arg(this.data());
        succeed(&mut initdb);
        for (name, content) in files {
            this.write(name, content);
        }
        assert!(
            this.try_start(),
            "PostgreSQL does not start; {}",
            this.log()
        );
        this
    }

    /// Makes a copy that follows this server as `name`, and starts it with these settings.
    pub(crate) fn standby(&self, name: &str, settings: &[&str]) -> Self {
        let mut this = Self::unmade(settings);
        let primary = format!(
            "host=127.0.0.1 port={} user=postgres application_name={name}",
            self.port()
        );
        let mut copy = command("pg_basebackup");
        copy.args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync"])
            .args(["--dbname", &primary, "--pgdata"])
            .arg(this.data());
        succeed(&mut copy);
        assert!(
            this.try_start(),
            "PostgreSQL does not start; {}",
            this.log()
        );
        this
    }

    fn unmade(settings: &[&str]) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("oncepay-postgres-")
            .tempdir()
            .unwrap();
        if let Some((uid, gid)) = unprivileged() {
            chown(folder.path(), Some(uid), Some(gid)).unwrap();
        }
        Self {
            _watchdog: watchdog(folder.path(), ENDING),
            folder,
            reserved: Reserved::any(),
            settings: settings.iter().map(ToString::to_string).collect(),
            server: None,
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Writes a file into the cluster's folder that nobody but the server may read.
    fn write(&self, name: &str, content: &str) {
        let path = self.data().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        if let Some((uid, gid)) = unprivileged() {
            chown(&path, Some(uid), Some(gid)).unwrap();
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.reserved.address()
    }

    fn port(&self) -> String {
        self.reserved.port().to_string()
    }

    /// The URL of a database of this server.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@{}/{database}", self.address())
    }

    /// Makes a standby a server of its own.
    pub(crate) fn promote(&self) {
        succeed(
            command("pg_ctl")
                .args(["promote", "--wait", "--pgdata"])
                .arg(self.data()),
        );
    }

    /// Sends a signal to every process of the server, such as STOP and CONT. Each is the leader of a
    /// group of its own, so that no group has them all.
    pub(crate) fn signal_all(&self, name: &str) {
        let postmaster = self.server.as_ref().expect("it runs").id();
        let mut signal = Command::new("kill");
        signal.arg(format!("-{name}")).arg(postmaster.to_string());
        // The postmaster is stopped by then, or starts nothing that this could miss.
        succeed(&mut signal);
        for child in children_of(postmaster) {
            // It may have ended meanwhile.
            drop(
                Command::new("kill")
                    .args([&format!("-{name}"), &child])
                    .output(),
            );
        }
    }

    /// Stops the server as an operator does who waits for nobody, and starts it again.
    pub(crate) fn restart(&mut self) {
        let mut stop = command("pg_ctl");
        stop.args(["stop", "--mode", "fast", "--wait", "--pgdata"])
            .arg(self.data());
        succeed(&mut stop);
        if let Some(mut server) = self.server.take() {
            server.wait().unwrap();
        }
        self.start_again();
    }

    /// Ends the server as a loss of power would, but for the disk's cache.
    pub(crate) fn kill(&mut self) {
        let Some(mut server) = self.server.take() else {
            return;
        };
        // The postmaster first, so that it starts nothing anew; its children then end by themselves.
        server.kill().unwrap();
        server.wait().unwrap();
    }

    /// Starts the server again, on the same port.
    pub(crate) fn start_again(&mut self) {
        let until = Instant::now() + START_MAX;
        // The children of a killed postmaster hold the shared memory until they have noticed.
        while !self.try_start() {
            assert!(Instant::now() < until, "no restart; {}", self.log());
        }
    }

    fn try_start(&mut self) -> bool {
        let log = fs::File::create(self.folder.path().join("log")).unwrap();
        let mut server = command("postgres")
            .arg("-D")
            .arg(self.data())
            .args(["-h", "127.0.0.1", "-p", &self.port(), "-k", ""])
            .args(["-c", "max_connections=1000", "-c", "shared_buffers=64MB"])
            .args(self.settings.iter().flat_map(|setting| ["-c", setting]))
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap();
        let until = Instant::now() + START_MAX;
        while Instant::now() < until {
            if server.try_wait().unwrap().is_some() {
                return false;
            }
            let ready = command("pg_isready")
                .args(["-q", "-h", "127.0.0.1", "-p", &self.port()])
                .status();
            if ready.unwrap().success() {
                self.server = Some(server);
                return true;
            }
        }
        server.kill().unwrap();
        server.wait().unwrap();
        false
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A program of PostgreSQL, run as a user that it accepts.
fn command(program: &str) -> Command {
    let mut command = Command::new(installed(program));
    command.current_dir("/").env("LC_ALL", "C");
    if let Some((uid, gid)) = unprivileged() {
        command.uid(uid).gid(gid);
    }
    command
}

fn children_of(parent: u32) -> Vec<String> {
    let parent = format!("PPid:\t{parent}");
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let is_child = |process: &fs::DirEntry| {
        let status = fs::read_to_string(process.path().join("status"));
        status.is_ok_and(|status| status.lines().any(|line| line == parent))
    };
    processes
        .filter(is_child)
        .filter_map(|process| process.file_name().into_string().ok())
        .collect()
}

fn succeed(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
}

/// Debian's folder of the newest version, or else whatever the PATH has.
fn installed(program: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let found = versions
        .flatten()
        .filter_map(|version| Some((version.file_name().to_str()?.parse::<u32>().ok()?, version)))
        .max_by_key(|(number, _)| *number)
        .map(|(_, version)| version.path().join("bin").join(program));
    found
        .filter(|path| path.exists())
        .unwrap_or_else(|| program.into())
}

/// PostgreSQL refuses to run as root: then the user and group to run it as.
fn unprivileged() -> Option<(u32, u32)> {
    if id(&["-u"])? != 0 {
        return None;
    }
    let of = |user: &str| Some((id(&["-u", user])?, id(&["-g", user])?));
    of("postgres").or_else(|| of("nobody"))
}

fn id(arguments: &[&str]) -> Option<u32> {
    let output = Command::new("id")
        .args(arguments)
        .stderr(Stdio::null())
        .output();
    String::from_utf8(output.ok()?.stdout)
        .ok()?
        .trim()
        .parse()
        .ok()
}
