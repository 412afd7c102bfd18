//! `scripts/cluster`, run as a person would.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use tokio::sync::{Mutex, MutexGuard};

use crate::harness::eventually;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/cluster");
const START_MAX: Duration = Duration::from_secs(120);

/// Two scripts at once may draw the same ports.
async fn one_at_a_time() -> MutexGuard<'static, ()> {
    static PORTS: Mutex<()> = Mutex::const_new(());
    PORTS.lock().await
}

/// The script, once it has said that all is ready.
struct Running {
    script: Child,
    lines: Receiver<String>,
    said: Vec<String>,
    folder: PathBuf,
    /// Of everything that it has started.
    pids: Vec<String>,
}

impl Running {
    fn start() -> Self {
        // Whoever runs the tests may have told them to ignore Ctrl-C.
        let mut script = Command::new("env")
            .args([
                "--default-signal=INT",
                SCRIPT,
                "--bin",
                env!("CARGO_BIN_EXE_oncepay"),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let output = BufReader::new(script.stdout.take().unwrap());
        thread::spawn(move || {
            output
                .lines()
                .map_while(Result::ok)
                .try_for_each(|l| sender.send(l))
        });
        let mut said: Vec<String> = Vec::new();
        while !said
            .last()
            .is_some_and(|line| line.contains("Ctrl-C stops everything"))
        {
            let line = lines.recv_timeout(START_MAX);
            said.push(line.unwrap_or_else(|_| panic!("it is not ready: {said:#?}")));
        }
        let logs = said
            .iter()
            .find_map(|line| line.strip_prefix("  logs "))
            .unwrap();
        let folder = PathBuf::from(logs.trim()).parent().unwrap().to_owned();
        let pids = fs::read_to_string(folder.join("pids")).unwrap();
        let pids = pids
            .lines()
            .map(|line| line.split(' ').next().unwrap().to_owned());
        Self {
            script,
            lines,
            said,
            pids: pids.collect(),
            folder,
        }
    }

    /// Runs the line that it says to try, and gives back what that prints.
    fn try_it(&self) -> String {
        let from = self
            .said
            .iter()
            .position(|line| line.starts_with("  curl -i"));
        let lines: Vec<_> = self.said[from.unwrap()..][..3].to_vec();
        let ran = Command::new("sh")
            .args(["-c", &lines.join("\n")])
            .output()
            .unwrap();
        String::from_utf8(ran.stdout).unwrap()
    }

    fn pid_of_node_1(&self) -> &str {
        let line = self
            .said
            .iter()
            .find(|line| line.starts_with("  node 1 "))
            .unwrap();
        line.rsplit(' ').next().unwrap()
    }

    async fn nothing_is_left(&self) {
        eventually("the folder is gone", || async {
            (!self.folder.exists()).then_some(())
        })
        .await;
        for pid in &self.pids {
            assert!(!runs(pid), "{pid} still runs");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already; what it has started ends with it.
        drop(self.script.kill());
        drop(self.script.wait());
    }
}

/// Whether the process is there, and not only waits for its parent to take notice of its end.
fn runs(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(") ").next().unwrap_or_default().chars().next();
    state.is_some_and(|state| state != 'Z')
}

fn signal(name: &str, pid: &str) {
    let sent = Command::new("kill")
        .args([&format!("-{name}"), pid])
        .status()
        .unwrap();
    assert!(sent.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_script_brings_up_a_cluster_and_takes_it_down_at_ctrl_c() {
    let _ports = one_at_a_time().await;
    let mut running = Running::start();
    assert!(running.pids.len() >= 6, "{:?}", running.pids);
    assert!(running.pids.iter().all(|pid| runs(pid)));
    let first = running.try_it();
    assert!(first.starts_with("HTTP/1.1 201 Created"), "{first}");

    // It starts a killed node again; the other serves meanwhile.
    signal("KILL", running.pid_of_node_1());
    let again = running.try_it();
    assert!(again.contains("idempotent-replayed: true"), "{again}");
    let line = running.lines.recv_timeout(START_MAX).unwrap();
    assert!(
        line.contains("node-1") && line.contains("is started again as pid "),
        "{line}"
    );
    running
        .pids
        .push(line.rsplit(' ').next().unwrap().to_owned());

    signal("INT", &running.script.id().to_string());
    let status = running.script.wait().unwrap();
    assert!(status.success(), "{status}");
    assert!(!running.folder.exists());
    running.nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_script_leaves_nothing_behind_either() {
    let _ports = one_at_a_time().await;
    let mut running = Running::start();
    running.script.kill().unwrap();
    running.nothing_is_left().await;
}
