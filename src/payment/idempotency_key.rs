//! The client's idempotency key: what makes two requests the same one.

use std::fmt;

/// The longest key, in characters: what Stripe and its SDKs allow.
const LENGTH_MAX: usize = 255;

/// 1 to 255 visible ASCII characters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdempotencyKey(String);

/// What is wrong with a key, in words for the one who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdempotencyKeyError {
    #[error("must have 1 to {LENGTH_MAX} characters")]
    Length,
    #[error("must consist of visible ASCII characters (0x21 to 0x7e)")]
    Character,
}

impl IdempotencyKey {
    /// # Errors
    /// When the key is empty, longer than 255 characters, or not of visible ASCII.
    pub fn new(key: &str) -> Result<Self, IdempotencyKeyError> {
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(IdempotencyKeyError::Character);
        }
        if key.is_empty() || key.len() > LENGTH_MAX {
            return Err(IdempotencyKeyError::Length);
        }
        Ok(Self(key.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Keys may hold anything a client puts there, so none is printed by accident.
impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdempotencyKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_and_alphabet_are_bounded() {
        assert!(IdempotencyKey::new(&"k".repeat(255)).is_ok());
        assert_eq!(
            IdempotencyKey::new(&"k".repeat(256)),
            Err(IdempotencyKeyError::Length)
        );
        assert_eq!(IdempotencyKey::new(""), Err(IdempotencyKeyError::Length));
        assert_eq!(
            IdempotencyKey::new("a b"),
            Err(IdempotencyKeyError::Character)
        );
        assert_eq!(
            IdempotencyKey::new("schlüssel"),
            Err(IdempotencyKeyError::Character)
        );
    }

    #[test]
    fn a_key_is_never_printed() {
        let key = IdempotencyKey::new("order-17").unwrap();
        assert!(!format!("{key:?}").contains("order-17"));
    }
}
