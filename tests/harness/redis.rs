//! A Redis of one test's own: a process on a free port, with nothing on disk but its pid. Start
//! reading at [`RedisServer::start`].
//!
//! It ends with the test process, however that ends, as the PostgreSQL of the tests does.

use std::{
    fs,
    net::TcpStream,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    thread,
    time::Duration,
};

use redis::{AsyncConnectionConfig, aio::MultiplexedConnection};
use tempfile::TempDir;
use tokio::time::Instant;

use super::programs::{Reserved, watchdog};

const START_MAX: Duration = Duration::from_secs(30);
const ENDING: &str = r#"
    pid=$(cat "$0/pid" 2> /dev/null)
    if [ -n "$pid" ]; then kill -KILL "$pid" 2> /dev/null; fi"#;

/// A running server. Dropping it stops the server and removes its folder.
pub(crate) struct RedisServer {
    folder: TempDir,
    reserved: Reserved,
    options: Vec<String>,
    server: Option<Child>,
    _watchdog: ChildStdin,
}

impl RedisServer {
    pub(crate) fn start() -> Self {
        Self::start_with(|_, _| Vec::new())
    }

    /// With the options that `options` makes of the server's folder and port, after `--port`.
    pub(crate) fn start_with(options: impl Fn(&Path, u16) -> Vec<String>) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("oncepay-redis-")
            .tempdir()
            .unwrap();
        let watchdog = watchdog(folder.path(), ENDING);
        let reserved = Reserved::any();
        let mut this = Self {
            options: options(folder.path(), reserved.port()),
            folder,
            reserved,
            server: None,
            _watchdog: watchdog,
        };
        this.start_again();
        this
    }

    pub(crate) fn port(&self) -> u16 {
        self.reserved.port()
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.reserved.address())
    }

    /// A client of the test's own.
    pub(crate) async fn client(&self) -> MultiplexedConnection {
        let client = redis::Client::open(self.url()).unwrap();
        // A machine that has much else to do makes no error of a slow answer.
        let patient = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(START_MAX))
            .set_response_timeout(Some(START_MAX));
        let connection = client.get_multiplexed_async_connection_with_config(&patient);
        connection.await.unwrap()
    }

    /// Forgets everything.
    pub(crate) async fn flush(&self) {
        let mut client = self.client().await;
        let flushed = redis::cmd("FLUSHALL").query_async::<()>(&mut client).await;
        flushed.unwrap();
    }

    /// The names of all that it holds.
    pub(crate) async fn keys(&self) -> Vec<String> {
        let mut client = self.client().await;
        let keys = redis::cmd("KEYS").arg("*").query_async(&mut client).await;
        keys.unwrap()
    }

    pub(crate) fn kill(&mut self) {
        let Some(mut server) = self.server.take() else {
            return;
        };
        server.kill().unwrap();
        server.wait().unwrap();
    }

    /// Starts the server again, empty, on the same port.
    pub(crate) fn start_again(&mut self) {
        assert!(self.try_start(), "Redis does not start; {}", self.log());
    }

    /// The process stands still: connections are taken, and nothing is answered.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let pid = self.server.as_ref().unwrap().id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status();
        assert!(sent.unwrap().success());
    }

    fn try_start(&mut self) -> bool {
        let folder = self.folder.path();
        let log = fs::File::create(folder.join("log")).unwrap();
        let mut server = Command::new("redis-server")
            .args(["--port", &self.port().to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
            .arg("--dir")
            .arg(folder)
            .arg("--pidfile")
            .arg(folder.join("pid"))
            .args(&self.options)
            .stdout(log)
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("redis-server is not in the PATH");
        let until = Instant::now() + START_MAX;
        while Instant::now() < until {
            if server.try_wait().unwrap().is_some() {
                return false;
            }
            if TcpStream::connect(self.reserved.address()).is_ok() {
                self.server = Some(server);
                return true;
            }
            thread::yield_now();
        }
        server.kill().unwrap();
        server.wait().unwrap();
        false
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}
