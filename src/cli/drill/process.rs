//! A process that ends with the drill: of our own executable, or another program.

use std::{
    fs::File,
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

pub(super) use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use tokio::time::{Instant, sleep};

use super::error::DrillError;

/// Patience for a start: migrations may run, and the machine may be slow.
const START_WITHIN: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// The ending of a file that holds the id of a running process.
pub(super) const PID: &str = "pid";
/// How much of a log is shown when a process does not start.
const SHOWN_LINES: usize = 12;

/// A running program; dropping it kills it.
#[derive(Debug)]
pub(super) struct Process {
    /// As an error names it.
    program: String,
    child: Child,
    log: PathBuf,
    /// Where its id stands while it runs, for whoever ends it if we are killed.
    pid: PathBuf,
}

impl Process {
    /// Starts `oncepay <command> <arguments>` with its output in `folder`, and none of the settings
    /// of our own environment but those given.
    pub(super) fn start(
        command: &'static str,
        arguments: &[&str],
        settings: &[(&str, &str)],
        folder: &Path,
    ) -> Result<Self, DrillError> {
        Self::of_ourselves(command, command, arguments, settings, folder)
    }

    /// As [`Process::start`], with its files named `name`.
    pub(super) fn of_ourselves(
        name: &str,
        command: &str,
        arguments: &[&str],
        settings: &[(&str, &str)],
        folder: &Path,
    ) -> Result<Self, DrillError> {
        let program = format!("oncepay {command}");
        let executable = std::env::current_exe();
        let mut child = Command::new(executable.map_err(|source| DrillError::Spawn {
            program: program.clone(),
            source,
        })?);
        for (name, _) in std::env::vars_os() {
            let is_ours = name.to_str().is_some_and(|name| {
                name.starts_with("ONCEPAY_") || ["DATABASE_URL", "REDIS_URL"].contains(&name)
            });
            if is_ours {
                child.env_remove(name);
            }
        }
        child.arg(command).args(arguments).current_dir(folder);
        Self::spawn(name, program, child.envs(settings.iter().copied()), folder)
    }

    /// Starts any program, with its output in the file `<name>.log` of `folder`.
    pub(super) fn spawn(
        name: &str,
        program: String,
        command: &mut Command,
        folder: &Path,
    ) -> Result<Self, DrillError> {
        let write = |path: &Path| {
            let path = path.to_owned();
            |source| DrillError::Write { path, source }
        };
        let log = folder.join(format!("{name}.log"));
        let output = File::create(&log).map_err(write(&log))?;
        let errors = output.try_clone().map_err(write(&log))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0) // Ctrl-C is ours alone: we take the world down in order.
            .spawn();
        let child = child.map_err(|source| DrillError::Spawn {
            program: program.clone(),
            source,
        })?;
        let pid = folder.join(format!("{name}.{PID}"));
        let this = Self {
            program,
            child,
            log,
            pid,
        };
        std::fs::write(&this.pid, this.child.id().to_string()).map_err(write(&this.pid))?;
        Ok(this)
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The name of the file with its output.
    pub(super) fn log(&self) -> String {
        let name = self.log.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Whether it has ended by itself.
    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        send(self.child.id(), signal)
    }

    /// Waits until `read` finds in the output what it looks for.
    pub(super) async fn said<T>(
        &mut self,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<T, DrillError> {
        let until = Instant::now() + START_WITHIN;
        loop {
            let has_ended = self.has_ended();
            let text = std::fs::read_to_string(&self.log).unwrap_or_default();
            if let Some(found) = read(&text) {
                return Ok(found);
            }
            if has_ended || Instant::now() >= until {
                let lines: Vec<_> = text.lines().collect();
                let shown = lines.get(lines.len().saturating_sub(SHOWN_LINES)..);
                return Err(DrillError::NotListening {
                    program: self.program.clone(),
                    said: shown.unwrap_or_default().join("\n"),
                });
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Ends it as a loss of power would.
    pub(super) fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        let ended = self.child.wait().map(drop);
        // What is not there is as good as removed.
        drop(std::fs::remove_file(&self.pid));
        ended
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already, which is as well.
        drop(self.kill());
    }
}

/// Sends a signal to any process.
pub(super) fn send(id: u32, signal: Signal) -> io::Result<()> {
    let id = i32::try_from(id).ok().and_then(Pid::from_raw);
    let id = id.ok_or(io::ErrorKind::InvalidInput)?;
    Ok(kill_process(id, signal)?)
}
