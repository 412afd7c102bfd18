//! What becomes of a connection once its client has sent certain bytes.

use std::time::Duration;

use tokio::sync::watch;

const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The server never gets the bytes, and both ends are cut.
    CutBefore,
    /// The server gets the bytes; its answer is thrown away, and then both ends are cut.
    CutAfter,
    /// The server gets the bytes; nothing that it says reaches the client any more, and nothing is cut.
    Silence,
}

/// Bytes to wait for in what clients send, and what to do then.
pub(crate) struct Trap {
    needle: Vec<u8>,
    pub(super) fate: Fate,
    times: usize,
    sprung: watch::Sender<usize>,
}

impl Trap {
    pub(super) fn new(needle: &[u8], fate: Fate, times: usize) -> Self {
        assert!(!needle.is_empty());
        Self {
            needle: needle.to_owned(),
            fate,
            times,
            sprung: watch::Sender::new(0),
        }
    }

    /// How often it has struck.
    pub(crate) fn sprung(&self) -> usize {
        *self.sprung.borrow()
    }

    /// Waits until it has struck so often.
    pub(crate) async fn until_sprung(&self, times: usize) {
        let mut sprung = self.sprung.subscribe();
        let struck = sprung.wait_for(|sprung| *sprung >= times);
        let in_time = tokio::time::timeout(PATIENCE, struck).await;
        in_time
            .expect("nobody has sent what the trap waits for")
            .unwrap();
    }

    /// Whether it strikes: what was `seen` before, and then `new`, end what it waits for.
    pub(super) fn springs(&self, seen: &[u8], new: &[u8]) -> bool {
        let before = seen.len().min(self.needle.len() - 1);
        let window = [&seen[seen.len() - before..], new].concat();
        let found = window
            .windows(self.needle.len())
            .any(|part| part == self.needle);
        found
            && self.sprung.send_if_modified(|sprung| {
                let strikes = *sprung < self.times;
                *sprung += usize::from(strikes);
                strikes
            })
    }
}
