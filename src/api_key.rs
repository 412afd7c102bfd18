//! API keys: how one is made, and what its text tells. Start reading at [`PlainKey`].
//!
//! A minted key is a prefix that says what it opens, 27 base-62 characters that hold 160 random bits,
//! and 6 that hold the CRC-32 of all before, by which a scanner can tell a leaked key from noise. A key
//! that an operator brings needs the prefix and at least 32 letters or digits, no checksum.
//!
//! **Invariant:** a key's text is in no `Debug`; the store gets its digest.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::{
    environment::Environment,
    payment::{ApiKey, ApiKeyRole, MerchantId, Mode},
};

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const RANDOM_BYTES: usize = 20;
/// 62^27 is a little more than 2^160.
const RANDOM_LEN: usize = 27;
/// 62^6 is more than 2^32.
const CHECKSUM_LEN: usize = 6;
/// Letters and digits after the prefix, at least.
pub const BODY_LEN_MIN: usize = 32;
/// Length of a whole key, at most.
pub const KEY_LEN_MAX: usize = 128;
/// How much of a key is kept readable after its prefix.
const HINT_LEN: usize = 4;

/// What a key opens, as its prefix says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    Merchant(Mode),
    Admin,
}

impl KeyKind {
    pub const ALL: [Self; 3] = [
        Self::Merchant(Mode::Live),
        Self::Merchant(Mode::Test),
        Self::Admin,
    ];

    pub fn prefix(self) -> &'static str {
        match self {
            Self::Merchant(Mode::Live) => "op_live_",
            Self::Merchant(Mode::Test) => "op_test_",
            Self::Admin => "op_admin_",
        }
    }

    /// What a key of this kind opens once it belongs to that merchant; an admin key belongs to none.
    pub fn role(self, merchant_id: MerchantId) -> ApiKeyRole {
        match self {
            Self::Merchant(mode) => ApiKeyRole::Merchant { merchant_id, mode },
            Self::Admin => ApiKeyRole::Admin,
        }
    }

    /// The kind of the key that has this text, if the text has a key's shape. It says nothing about
    /// whether there is such a key.
    pub fn of(text: &str) -> Option<Self> {
        let kinds = Self::ALL.into_iter();
        let mut with_bodies =
            kinds.filter_map(|kind| Some((kind, text.strip_prefix(kind.prefix())?)));
        let (kind, body) = with_bodies.next()?;
        let fits = body.len() >= BODY_LEN_MIN && text.len() <= KEY_LEN_MAX;
        (fits && body.bytes().all(|c| c.is_ascii_alphanumeric())).then_some(kind)
    }
}

/// SHA-256 of a whole key: what is kept of it, and what it is found by.
pub fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// A key as its owner holds it.
#[derive(Clone)]
pub struct PlainKey {
    kind: KeyKind,
    text: SecretString, // Invariant: `KeyKind::of` gives `kind`.
}

impl PlainKey {
    /// Makes a new key.
    pub fn mint(kind: KeyKind, environment: &Environment) -> Self {
        let mut text = kind.prefix().to_owned();
        push_base62::<RANDOM_LEN>(&mut text, environment.random_bytes::<RANDOM_BYTES>());
        let checksum = crc32(text.as_bytes());
        push_base62::<CHECKSUM_LEN>(&mut text, checksum.to_be_bytes());
        Self {
            kind,
            text: SecretString::from(text),
        }
    }

    /// Takes a key that somebody brings, if it has a key's shape.
    pub fn parse(text: &str) -> Option<Self> {
        let kind = KeyKind::of(text)?;
        Some(Self {
            kind,
            text: SecretString::from(text),
        })
    }

    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The key itself, to be shown once to its owner.
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }

    /// The prefix and the next four characters.
    pub fn hint(&self) -> String {
        let len = self.kind.prefix().len() + HINT_LEN;
        self.expose().chars().take(len).collect()
    }

    /// What the store keeps of this key.
    pub fn record(&self, merchant_id: MerchantId, environment: &Environment) -> ApiKey {
        ApiKey {
            id: environment.new_id(),
            role: self.kind.role(merchant_id),
            digest: digest(self.expose()),
            hint: self.hint(),
            created_at: environment.now(),
            revoked_at: None,
        }
    }
}

impl fmt::Debug for PlainKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlainKey({}..)", self.kind.prefix())
    }
}

/// Appends the big-endian number in `LEN` digits, zeros in front; what does not fit is lost.
fn push_base62<const LEN: usize>(text: &mut String, mut number: impl AsMut<[u8]>) {
    let mut digits = ['0'; LEN];
    for digit in digits.iter_mut().rev() {
        let mut rest: u16 = 0;
        for byte in number.as_mut() {
            let part = (rest << 8) | u16::from(*byte); // Less than 62 * 256.
            *byte = (part / 62) as u8;
            rest = part % 62;
        }
        let letter = ALPHABET.get(usize::from(rest)).copied().unwrap_or(b'0');
        *digit = char::from(letter);
    }
    text.extend(digits);
}

/// CRC-32 as in zip and PNG. Keys are short and seldom made: no table.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 };
    !bytes
        .iter()
        .fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::environment::Randomness;

    struct Given([u8; RANDOM_BYTES]);

    impl Randomness for Given {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.copy_from_slice(&self.0[..bytes.len()]);
        }
    }

    fn mint(kind: KeyKind, random: [u8; RANDOM_BYTES]) -> PlainKey {
        let environment = Environment {
            randomness: Arc::new(Given(random)),
            ..Environment::of_the_machine()
        };
        PlainKey::mint(kind, &environment)
    }

    fn number(text: &str) -> Vec<u8> {
        let mut bytes = vec![0_u8; RANDOM_BYTES + 1];
        for letter in text.bytes() {
            let mut carry = ALPHABET.iter().position(|a| *a == letter).unwrap();
            for byte in bytes.iter_mut().rev() {
                carry += usize::from(*byte) * 62;
                *byte = (carry & 255) as u8;
                carry >>= 8;
            }
        }
        bytes
    }

    fn any_kind() -> impl Strategy<Value = KeyKind> {
        proptest::sample::select(KeyKind::ALL.to_vec())
    }

    #[test]
    fn the_checksum_is_the_crc_32_of_zip() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(crc32(b""), 0);
    }

    #[test]
    fn the_greatest_and_the_smallest_random_number_fit() {
        let (zeros, ones) = (
            mint(KeyKind::Admin, [0; 20]),
            mint(KeyKind::Admin, [255; 20]),
        );
        assert_eq!(&zeros.expose()[9..36], "0".repeat(27));
        assert_eq!(number(&ones.expose()[9..36])[1..], [255; 20]);
    }

    #[test]
    fn a_key_is_not_in_its_debug_text() {
        let key = mint(KeyKind::Merchant(Mode::Live), [7; 20]);
        assert_eq!(format!("{key:?}"), "PlainKey(op_live_..)");
    }

    #[test]
    fn what_is_too_short_too_long_or_not_alphanumeric_is_no_key() {
        let body = |len| format!("op_test_{}", "a".repeat(len));
        assert_eq!(KeyKind::of(&body(31)), None);
        assert_eq!(KeyKind::of(&body(32)), Some(KeyKind::Merchant(Mode::Test)));
        assert!(KeyKind::of(&body(120)).is_some());
        assert_eq!(KeyKind::of(&body(121)), None);
        assert_eq!(KeyKind::of(&format!("{}-", body(32))), None);
        assert_eq!(KeyKind::of(&"a".repeat(40)), None);
        assert_eq!(KeyKind::of(&format!("OP_TEST_{}", "a".repeat(32))), None);
    }

    proptest! {
        #[test]
        fn a_minted_key_holds_its_random_bits_and_its_checksum(kind in any_kind(), random: [u8; 20]) {
            let key = mint(kind, random);
            let body = key.expose().strip_prefix(kind.prefix()).unwrap();
            prop_assert_eq!(body.len(), RANDOM_LEN + CHECKSUM_LEN);
            prop_assert_eq!(&number(&body[..RANDOM_LEN])[1..], &random[..]);
            let sum = crc32(&key.expose().as_bytes()[..key.expose().len() - CHECKSUM_LEN]);
            prop_assert_eq!(&number(&body[RANDOM_LEN..])[17..], &sum.to_be_bytes()[..]);
        }

        #[test]
        fn a_minted_key_is_read_back_as_what_it_is(kind in any_kind(), random: [u8; 20]) {
            let key = mint(kind, random);
            let read = PlainKey::parse(key.expose()).unwrap();
            prop_assert_eq!(read.kind(), kind);
            let merchant_id = Environment::of_the_machine().new_id();
            let record = read.record(merchant_id, &Environment::of_the_machine());
            prop_assert_eq!(record.digest, digest(key.expose()));
            prop_assert_eq!(record.role, kind.role(merchant_id));
            prop_assert!(key.expose().starts_with(&record.hint));
            prop_assert_eq!(record.hint.len(), kind.prefix().len() + HINT_LEN);
        }

        #[test]
        fn no_text_makes_the_shape_check_fail_over(text in "(op_(live|test|admin)_)?.{0,140}") {
            let _ = KeyKind::of(&text);
        }
    }
}
