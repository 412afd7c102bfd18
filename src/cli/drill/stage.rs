//! How far the drill is, for the bar that shows it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::traffic::Ended;

/// What goes on in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Waiting,
    Paying,
    Settling,
    Replaying,
    Counting,
}

/// Shared by who drills and who shows it.
#[derive(Debug)]
pub(super) struct Stage(Mutex<Scene>);

#[derive(Debug)]
struct Scene {
    rows: usize,
    /// Rows that are done.
    done: usize,
    failure: &'static str,
    phase: Phase,
    since: Instant,
    asked: usize,
    ended: Arc<Ended>,
}

const BAR_WIDTH: usize = 24;

impl Stage {
    pub(super) fn of(rows: usize) -> Self {
        Self(Mutex::new(Scene {
            rows,
            done: 0,
            failure: "",
            phase: Phase::Waiting,
            since: Instant::now(),
            asked: 0,
            ended: Arc::new(Ended::default()),
        }))
    }

    pub(super) fn row(&self, done: usize, failure: &'static str) {
        let mut scene = self.scene();
        scene.done = done;
        scene.failure = failure;
        scene.since = Instant::now();
    }

    pub(super) fn enters(&self, phase: Phase) {
        self.scene().phase = phase;
    }

    pub(super) fn begins_paying(&self, asked: usize, ended: Arc<Ended>) {
        let mut scene = self.scene();
        scene.phase = Phase::Paying;
        scene.asked = asked;
        scene.ended = ended;
    }

    /// The line that shows it.
    pub(super) fn line(&self) -> String {
        let scene = self.scene();
        let filled = BAR_WIDTH * scene.done / scene.rows.max(1);
        let bar = "#".repeat(filled) + &"-".repeat(BAR_WIDTH - filled);
        let doing = match scene.phase {
            Phase::Waiting => "waits until the server is well".to_owned(),
            Phase::Paying => format!("{} of {} payments", scene.ended.count(), scene.asked),
            Phase::Settling => "waits until all is settled".to_owned(),
            Phase::Replaying => "asks everything again".to_owned(),
            Phase::Counting => "counts at the provider".to_owned(),
        };
        format!(
            "[{bar}] {}/{} {}: {doing}, {} s",
            scene.done,
            scene.rows,
            scene.failure,
            scene.since.elapsed().as_secs()
        )
    }

    fn scene(&self) -> MutexGuard<'_, Scene> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills_as_rows_are_done() {
        let stage = Stage::of(4);
        stage.row(0, "nothing fails");
        let empty = "[------------------------] 0/4 nothing fails: ";
        assert!(stage.line().starts_with(empty), "{}", stage.line());
        stage.row(3, "x");
        stage.begins_paying(200, Arc::new(Ended::default()));
        let line = "[##################------] 3/4 x: 0 of 200 payments, 0 s";
        assert_eq!(stage.line(), line);
    }
}
