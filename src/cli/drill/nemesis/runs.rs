//! A process that is killed and started again, and what became of each run of it.

use std::io;

use super::super::process::{Process, Signal};

/// The runs of one part of the world. What has ended by itself is remembered: a kill that is planned
/// would hide it otherwise, since it is followed by a start.
#[derive(Debug, Default)]
pub(super) struct Runs {
    process: Option<Process>,
    starts: u32,
    /// The logs of those that have ended by themselves.
    ended: Vec<String>,
}

impl Runs {
    /// What the next run is called: each has a log of its own, since what a killed one has said is
    /// evidence.
    pub(super) fn next_name(&mut self, part: &str) -> String {
        self.starts += 1;
        format!("{part}.{}", self.starts)
    }

    /// It listens.
    pub(super) fn begin(&mut self, process: Process) {
        self.look();
        self.process = Some(process);
    }

    pub(super) fn kill(&mut self) -> io::Result<()> {
        self.look();
        self.process
            .take()
            .map_or(Ok(()), |mut process| process.kill())
    }

    /// Nothing happens to one that is not there.
    pub(super) fn signal(&mut self, signal: Signal) -> io::Result<()> {
        self.look();
        let process = self.process.as_ref();
        process.map_or(Ok(()), |process| process.signal(signal))
    }

    /// Whether it runs.
    pub(super) fn is_there(&mut self) -> bool {
        self.look();
        self.process.is_some()
    }

    /// The logs of all runs that have ended by themselves so far.
    pub(super) fn ended(&mut self) -> Vec<String> {
        self.look();
        self.ended.clone()
    }

    fn look(&mut self) {
        if let Some(process) = self.process.take_if(|process| process.has_ended()) {
            self.ended.push(process.log());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, process::Command};

    use super::*;

    async fn begin(runs: &mut Runs, script: &str, folder: &Path) {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("echo begun; {script}")]);
        let name = runs.next_name("part");
        let mut process = Process::spawn(&name, "sh".to_owned(), &mut shell, folder).unwrap();
        let said = |text: &str| text.contains("begun").then_some(());
        process.said(said).await.unwrap();
        runs.begin(process);
    }

    /// Waits until the last run has ended, without taking note of it.
    async fn see_it_end(runs: &mut Runs) {
        while !runs.process.as_mut().is_some_and(Process::has_ended) {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_ended_by_itself_is_remembered_whatever_is_done_to_it_next() {
        let folder = tempfile::tempdir().unwrap();
        let mut runs = Runs::default();
        begin(&mut runs, "exit 0", folder.path()).await;
        see_it_end(&mut runs).await;
        runs.kill().unwrap();
        begin(&mut runs, "exit 1", folder.path()).await;
        see_it_end(&mut runs).await;
        runs.signal(Signal::CONT).unwrap();
        begin(&mut runs, "exit 2", folder.path()).await;
        see_it_end(&mut runs).await;
        begin(&mut runs, "exec sleep 60", folder.path()).await;
        assert!(runs.is_there());
        assert_eq!(runs.ended(), ["part.1.log", "part.2.log", "part.3.log"]);
    }

    #[tokio::test]
    async fn what_we_kill_did_not_end_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let mut runs = Runs::default();
        begin(&mut runs, "exec sleep 60", folder.path()).await;
        runs.signal(Signal::STOP).unwrap();
        assert!(runs.is_there());
        runs.kill().unwrap();
        assert!(!runs.is_there());
        assert_eq!(runs.ended(), Vec::<String>::new());
    }
}
