//! Stripe's idempotency rules: one stored answer per key, scoped by the account of the secret it came
//! with.
//!
//! A key is *running* from the arrival of a request until its answer is final, and *done* from then
//! on. What was refused before execution began leaves no trace.
//!
//! **Invariant:** while a key is running, nothing else executes under it.

use std::collections::HashMap;
use std::sync::Arc;

use super::answer::Answer;
use super::form::Fingerprint;

/// An idempotency key within the account of the secret that it was sent with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ScopedKey {
    scoped: Arc<str>,
    scope_length: usize,
}

impl ScopedKey {
    pub(super) fn new(secret: &str, key: &str) -> Self {
        let account = account_of(secret);
        Self {
            scoped: format!("{account}{key}").into(),
            scope_length: account.len(),
        }
    }
}

/// What the secrets of one account have in common: `sandbox_<account>_` of those that begin so. Every
/// other secret is the only one of its account.
fn account_of(secret: &str) -> &str {
    let rest = secret.strip_prefix("sandbox_").unwrap_or_default();
    match rest.split_once('_') {
        Some((account, own)) if !account.is_empty() => secret.strip_suffix(own).unwrap_or(secret),
        _ => secret,
    }
}

/// What the store says about a request that has just arrived.
#[derive(Debug)]
pub(super) enum Standing {
    /// The first of its key: it may execute.
    Fresh,
    /// Answered before; here is that answer.
    Done(Answer),
    /// The same key is executing at this moment.
    Running,
    /// The key was first used with other parameters. Said of running keys too, so that a caller
    /// that mixes up its keys is told at once.
    Mismatch,
}

#[derive(Debug)]
struct Entry {
    fingerprint: Fingerprint,
    done: Option<Done>,
}

#[derive(Debug)]
struct Done {
    answer: Answer,
    since_us: i64,
}

/// The keys that the provider remembers.
#[derive(Debug)]
pub(super) struct Keys {
    entries: HashMap<ScopedKey, Entry>,
    retention_us: i64,
}

impl Keys {
    pub(super) fn new(retention_us: i64) -> Self {
        Self {
            entries: HashMap::new(),
            retention_us,
        }
    }

    pub(super) fn standing(&self, key: &ScopedKey, print: &Fingerprint, now_us: i64) -> Standing {
        let Some(entry) = self.entries.get(key) else {
            return Standing::Fresh;
        };
        match &entry.done {
            Some(done) if now_us.saturating_sub(done.since_us) >= self.retention_us => {
                Standing::Fresh
            }
            _ if entry.fingerprint != *print => Standing::Mismatch,
            Some(done) => Standing::Done(done.answer.as_replay()),
            None => Standing::Running,
        }
    }

    /// Marks a fresh key as running.
    pub(super) fn begin(&mut self, key: ScopedKey, fingerprint: Fingerprint) {
        self.entries.insert(
            key,
            Entry {
                fingerprint,
                done: None,
            },
        );
    }

    /// Ends a running key: with an answer it is done, without one it was never used.
    pub(super) fn end(&mut self, key: &ScopedKey, answer: Option<Answer>, now_us: i64) {
        match (self.entries.get_mut(key), answer) {
            (Some(entry), Some(answer)) => {
                let since_us = now_us;
                entry.done = Some(Done { answer, since_us });
            }
            (Some(_), None) => drop(self.entries.remove(key)),
            (None, _) => {}
        }
    }

    /// Drops every stored answer. Running keys stay: their requests are not over.
    pub(super) fn forget(&mut self) {
        self.entries.retain(|_, entry| entry.done.is_none());
    }
}

#[cfg(test)]
mod tests {
    use hyper::StatusCode;

    use super::*;

    const PRINT: Fingerprint = [1; 32];

    fn store_with(key: &ScopedKey) -> Keys {
        let mut keys = Keys::new(100);
        keys.begin(key.clone(), PRINT);
        keys
    }

    #[test]
    fn a_key_runs_is_done_and_expires() {
        let key = ScopedKey::new("sk", "k");
        let mut keys = store_with(&key);
        assert!(matches!(keys.standing(&key, &PRINT, 0), Standing::Running));
        assert!(matches!(
            keys.standing(&key, &[2; 32], 0),
            Standing::Mismatch
        ));

        keys.end(&key, Some(Answer::json(StatusCode::OK, &1)), 10);

        assert!(matches!(keys.standing(&key, &PRINT, 109), Standing::Done(a) if a.replayed));
        assert!(matches!(
            keys.standing(&key, &[2; 32], 109),
            Standing::Mismatch
        ));
        assert!(matches!(keys.standing(&key, &PRINT, 110), Standing::Fresh));
        assert!(matches!(
            keys.standing(&ScopedKey::new("other", "k"), &PRINT, 10),
            Standing::Fresh
        ));
    }

    #[test]
    fn secrets_of_one_account_share_their_keys() {
        let scoped = |secret| ScopedKey::new(secret, "k");
        assert_eq!(scoped("sandbox_shop_1"), scoped("sandbox_shop_2"));
        assert_ne!(scoped("sandbox_shop_1"), scoped("sandbox_other_1"));
        let alone = ["sandbox_shop", "sandbox__1", "sk_shop_1", "sk_shop_2"];
        for (place, one) in alone.iter().enumerate() {
            for other in alone.iter().skip(place + 1) {
                assert_ne!(scoped(one), scoped(other));
            }
            assert_ne!(scoped(one), scoped("sandbox_shop_1"));
        }
    }

    #[test]
    fn a_key_without_an_answer_was_never_used() {
        let key = ScopedKey::new("sk", "k");
        let mut keys = store_with(&key);

        keys.end(&key, None, 0);

        assert!(matches!(keys.standing(&key, &[2; 32], 0), Standing::Fresh));
    }

    #[test]
    fn forgetting_spares_what_is_running() {
        let (running, done) = (
            ScopedKey::new("sk", "running"),
            ScopedKey::new("sk", "done"),
        );
        let mut keys = store_with(&running);
        keys.begin(done.clone(), PRINT);
        keys.end(&done, Some(Answer::json(StatusCode::OK, &1)), 0);

        keys.forget();

        assert!(matches!(
            keys.standing(&running, &PRINT, 0),
            Standing::Running
        ));
        assert!(matches!(keys.standing(&done, &PRINT, 0), Standing::Fresh));
    }
}
