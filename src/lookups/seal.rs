//! How an answer looks in Redis, and how we know that we put it there. Start reading at
//! [`Seal::close`] and [`Seal::open`].
//!
//! ```text
//! version (1 byte) | store incarnation (16) | HMAC-SHA256 (32) | fingerprint | status | location | body
//! ```
//! The HMAC, under a secret that only the database holds, covers the incarnation, the merchant, the
//! mode, the key, and all that is replayed, each part with its length in front. So what was cut, made
//! up, copied from another key, or left from before the database was put back is not taken for ours.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use uuid::Uuid;

use super::SettledAnswer;
use crate::{
    payment::{Answer, Fingerprint, Scope},
    store::Installation,
};

/// The form of a value that this program writes, and the only one that it reads.
const VERSION: u8 = 1;
/// What separates the two uses of the secret.
const ANSWER: &[u8] = b"oncepay-lookup-answer-1";
const ADDRESS: &[u8] = b"oncepay-lookup-address-1";

/// No value is longer, in bytes: an answer is about a kilobyte, and the request that it repeats at
/// most some tens of them.
pub(super) const VALUE_BYTES_MAX: usize = 128 * 1024;

/// Where an answer is in Redis: keys of customers cannot be read or guessed from it.
pub(super) type Address = [u8; 32];

/// Why a value is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Longer than any that we write.
    TooLong,
    /// No text at all, but a list or something else.
    WrongType,
    /// Of another version of this form.
    Version,
    /// Shorter than any that we write.
    Truncated,
    /// Of an earlier life of the database.
    Stale,
    /// Made up, changed, cut, or copied from another key.
    Forged,
    /// Sealed by us, and not understood.
    Unreadable,
}

impl Refused {
    pub const ALL: [Self; 7] = [
        Self::TooLong,
        Self::WrongType,
        Self::Version,
        Self::Truncated,
        Self::Stale,
        Self::Forged,
        Self::Unreadable,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::WrongType => "wrong_type",
            Self::Version => "version",
            Self::Truncated => "truncated",
            Self::Stale => "stale",
            Self::Forged => "forged",
            Self::Unreadable => "unreadable",
        }
    }
}

/// Seals and opens the values of one life of one database.
#[derive(Clone)]
pub(super) struct Seal {
    incarnation: Uuid,
    keyed: Hmac<Sha256>,
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seal")
            .field("incarnation", &self.incarnation)
            .finish_non_exhaustive()
    }
}

impl Seal {
    pub(super) fn of(installation: &Installation) -> Self {
        // HMAC fills a short key up with zeros to the length of a block.
        let secret = &installation.lookup_secret;
        let block: [u8; 64] = std::array::from_fn(|at| secret.get(at).copied().unwrap_or(0));
        Self {
            incarnation: installation.store_incarnation,
            keyed: Hmac::new(&block.into()),
        }
    }

    pub(super) fn incarnation(&self) -> Uuid {
        self.incarnation
    }

    /// The same in every life of the database: a value from before is found, refused and replaced.
    pub(super) fn address(&self, scope: &Scope) -> Address {
        let mac = self.begin(ADDRESS, scope);
        mac.finalize().into_bytes().into()
    }

    /// `settled` as it goes into Redis.
    pub(super) fn close(&self, scope: &Scope, settled: &SettledAnswer) -> Vec<u8> {
        let payload = encode(settled);
        let seal = self.over(scope, &payload).finalize().into_bytes();
        let mut value = Vec::with_capacity(HEAD_BYTES + payload.len());
        value.push(VERSION);
        value.extend_from_slice(self.incarnation.as_bytes());
        value.extend_from_slice(&seal);
        value.extend_from_slice(&payload);
        value
    }

    /// The answer in `value`, if it was put there by us, for this scope, in this life.
    pub(super) fn open(&self, scope: &Scope, value: &[u8]) -> Result<SettledAnswer, Refused> {
        if value.len() > VALUE_BYTES_MAX {
            return Err(Refused::TooLong);
        }
        let mut rest = value;
        let [version] = take::<1>(&mut rest).ok_or(Refused::Truncated)?;
        if version != VERSION {
            return Err(Refused::Version);
        }
        let incarnation = take::<16>(&mut rest).ok_or(Refused::Truncated)?;
        let seal = take::<32>(&mut rest).ok_or(Refused::Truncated)?;
        if incarnation != *self.incarnation.as_bytes() {
            return Err(Refused::Stale);
        }
        let is_ours = self.over(scope, rest).verify_slice(&seal).is_ok();
        if !is_ours {
            return Err(Refused::Forged);
        }
        decode(rest).ok_or(Refused::Unreadable)
    }

    fn over(&self, scope: &Scope, payload: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.begin(ANSWER, scope);
        part(&mut mac, self.incarnation.as_bytes());
        part(&mut mac, payload);
        mac
    }

    fn begin(&self, purpose: &[u8], scope: &Scope) -> Hmac<Sha256> {
        let mut mac = self.keyed.clone();
        part(&mut mac, purpose);
        part(&mut mac, scope.merchant_id.to_string().as_bytes());
        part(&mut mac, scope.mode.as_str().as_bytes());
        part(&mut mac, scope.key.as_str().as_bytes());
        mac
    }
}

const HEAD_BYTES: usize = 1 + 16 + 32;

/// Its length in front, so that no two sequences of parts are the same bytes.
fn part(mac: &mut Hmac<Sha256>, part: &[u8]) {
    mac.update(&(part.len() as u64).to_be_bytes());
    mac.update(part);
}

fn encode(settled: &SettledAnswer) -> Vec<u8> {
    let SettledAnswer {
        fingerprint,
        answer,
    } = settled;
    let mut payload = Vec::with_capacity(64 + answer.body.len());
    payload.extend_from_slice(&fingerprint.version.to_be_bytes());
    payload.extend_from_slice(&fingerprint.digest);
    payload.extend_from_slice(&answer.status.to_be_bytes());
    match &answer.location {
        None => payload.push(0),
        Some(location) => {
            payload.push(1);
            payload.extend_from_slice(&(location.len() as u64).to_be_bytes());
            payload.extend_from_slice(location.as_bytes());
        }
    }
    payload.extend_from_slice(&answer.body);
    payload
}

fn decode(mut payload: &[u8]) -> Option<SettledAnswer> {
    let rest = &mut payload;
    let fingerprint = Fingerprint {
        version: i16::from_be_bytes(take(rest)?),
        digest: take(rest)?,
    };
    let status = u16::from_be_bytes(take(rest)?);
    let location = match take::<1>(rest)? {
        [0] => None,
        [1] => {
            let length = usize::try_from(u64::from_be_bytes(take(rest)?)).ok()?;
            let (location, after) = rest.split_at_checked(length)?;
            *rest = after;
            Some(std::str::from_utf8(location).ok()?.to_owned())
        }
        _ => return None,
    };
    let answer = Answer {
        status,
        location,
        body: rest.to_vec(),
    };
    Some(SettledAnswer {
        fingerprint,
        answer,
    })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*taken)
}

#[cfg(test)]
mod tests;
