//! A process of our own executable, that ends with the drill.

use std::{
    fs::File,
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::error::DrillError;

/// Patience for a start: migrations may run, and the machine may be slow.
const START_WITHIN: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// How much of a log is shown when a process does not start.
const SHOWN_LINES: usize = 12;

/// A running `oncepay`; dropping it kills it.
#[derive(Debug)]
pub(super) struct Process {
    command: &'static str,
    child: Child,
    log: PathBuf,
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
        let spawn = |source| DrillError::Spawn { command, source };
        let log = folder.join(format!("{command}.log"));
        let output = File::create(&log).map_err(|source| DrillError::Write {
            path: log.clone(),
            source,
        })?;
        let mut child = Command::new(std::env::current_exe().map_err(spawn)?);
        for (name, _) in std::env::vars_os() {
            let is_ours = name.to_str().is_some_and(|name| {
                name.starts_with("ONCEPAY_") || ["DATABASE_URL", "REDIS_URL"].contains(&name)
            });
            if is_ours {
                child.env_remove(name);
            }
        }
        let child = child
            .arg(command)
            .args(arguments)
            .envs(settings.iter().copied())
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(output.try_clone().map_err(spawn)?)
            .stderr(output)
            .process_group(0) // Ctrl-C is ours alone: we take the world down in order.
            .spawn()
            .map_err(spawn)?;
        Ok(Self {
            command,
            child,
            log,
        })
    }

    /// Waits until `read` finds in the output what it looks for.
    pub(super) async fn said<T>(
        &mut self,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<T, DrillError> {
        let until = Instant::now() + START_WITHIN;
        loop {
            let has_ended = !matches!(self.child.try_wait(), Ok(None));
            let text = std::fs::read_to_string(&self.log).unwrap_or_default();
            if let Some(found) = read(&text) {
                return Ok(found);
            }
            if has_ended || Instant::now() >= until {
                let lines: Vec<_> = text.lines().collect();
                let shown = lines.get(lines.len().saturating_sub(SHOWN_LINES)..);
                return Err(DrillError::NotListening {
                    command: self.command,
                    said: shown.unwrap_or_default().join("\n"),
                });
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Ends it as a loss of power would.
    pub(super) fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already, which is as well.
        drop(self.kill());
    }
}
