//! A server process: started as a user would, killed as a power cut would.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use tokio::time::Instant;

pub(crate) struct ServerProcess {
    child: Child,
    address: SocketAddr,
    output: Output,
}

/// What the process has written so far, both streams together.
#[derive(Clone, Default)]
struct Output(Arc<Mutex<String>>);

impl Output {
    fn text(&self) -> String {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn follow(&self, stream: impl Read + Send + 'static) {
        let output = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let mut text = output.0.lock().unwrap_or_else(PoisonError::into_inner);
                text.push_str(&line);
                text.push('\n');
            }
        });
    }
}

impl ServerProcess {
    /// Starts `oncepay` with nothing in its environment but `settings`, on a free port, and waits
    /// until it listens.
    pub(super) async fn start(
        settings: impl Iterator<Item = (&'static str, String)>,
        patience: Duration,
    ) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_oncepay"))
            .env_clear()
            .env("ONCEPAY_LISTEN", "127.0.0.1:0")
            .env("ONCEPAY_LOG__FORMAT", "json")
            .envs(settings)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = Output::default();
        output.follow(child.stdout.take().unwrap());
        output.follow(child.stderr.take().unwrap());
        let deadline = Instant::now() + patience;
        let address = loop {
            let text = output.text();
            if let Some(address) = listening_at(&text) {
                break address;
            }
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the server ended with {status}:\n{}", output.text());
            }
            assert!(
                Instant::now() < deadline,
                "the server does not listen:\n{text}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        Self {
            child,
            address,
            output,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything it has printed and logged.
    pub(crate) fn output(&self) -> String {
        self.output.text()
    }

    /// SIGKILL, and the wait for its end.
    pub(crate) fn kill(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Waits until the process has ended by itself.
    pub(crate) async fn ended(&mut self, patience: Duration) -> ExitStatus {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "it does not end:\n{}",
                self.output()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The address in the line that a server prints once it takes requests.
fn listening_at(output: &str) -> Option<SocketAddr> {
    let line = output
        .lines()
        .find(|line| line.contains("oncepay listens on http://"))?;
    let rest = line.split("oncepay listens on http://").nth(1)?;
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':');
    rest.get(..end.unwrap_or(rest.len()))?.parse().ok()
}
