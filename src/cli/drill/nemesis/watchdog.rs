//! Ends everything of a campaign even if the campaign itself is killed: a shell that waits for the
//! closing of a pipe that only we hold open.

use std::{
    io::Write,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
};

use super::super::error::DrillError;

/// Kills what has its id in a `.pid` file of the folder, and removes the folder unless it was told to
/// keep it. What a file no longer names has ended already.
const SCRIPT: &str = r#"
    keep=
    while read -r word; do [ "$word" = keep ] && keep=1; done
    for file in "$0"/*.pid; do
        [ -f "$file" ] && kill -KILL $(cat "$file") 2> /dev/null
    done
    [ -n "$keep" ] || rm -rf "$0"
"#;

/// Dropping it lets it do its work, and waits for it.
#[derive(Debug)]
pub(super) struct Watchdog(Child);

impl Watchdog {
    pub(super) fn over(folder: &Path) -> Result<Self, DrillError> {
        let shell = Command::new("sh")
            .arg("-c")
            .arg(SCRIPT)
            .arg(folder)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        let shell = shell.map_err(|source| DrillError::Spawn {
            program: "sh".to_owned(),
            source,
        })?;
        Ok(Self(shell))
    }

    /// The folder is left where it is.
    pub(super) fn keep(&mut self) {
        if let Some(pipe) = &mut self.0.stdin {
            // It has gone only if somebody killed it, and then it removes nothing.
            drop(pipe.write_all(b"keep\n"));
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        drop(self.0.wait());
    }
}
