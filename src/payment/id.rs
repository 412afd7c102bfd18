//! Typed ids in TypeID form: a prefix, an underscore, and a UUIDv7 in Crockford's base 32.

use std::{fmt, hash::Hash, marker::PhantomData, str::FromStr};

use uuid::Uuid;

use super::Timestamp;

/// TypeID's alphabet: Crockford's base 32 in lower case.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// 128 bits in groups of five, the first group holding three.
const SUFFIX_LEN: usize = 26;

/// What an [`Id`] names; its prefix keeps a payment's id from passing for a merchant's.
pub trait Prefix {
    const PREFIX: &'static str;
}

/// A UUID that knows what it names, printed as a TypeID (`pay_01jd…`).
///
/// Ids of one kind sort as text in the order of the millisecond they were made in.
pub struct Id<P>(Uuid, PhantomData<fn() -> P>);

/// A text is not an id of the kind asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be `{prefix}_` followed by {SUFFIX_LEN} characters of 0-9a-z without i, l, o, u")]
pub struct IdError {
    prefix: &'static str,
}

macro_rules! id_kind {
    ($kind:ident, $alias:ident, $prefix:literal, $doc:literal) => {
        #[derive(Debug)]
        #[doc = concat!("Marks the id of ", $doc, ".")]
        pub struct $kind;
        impl Prefix for $kind {
            const PREFIX: &'static str = $prefix;
        }
        #[doc = concat!("The id of ", $doc, ", `", $prefix, "_…`.")]
        pub type $alias = Id<$kind>;
    };
}

id_kind!(PaymentKind, PaymentId, "pay", "a payment");
id_kind!(OperationKindMark, OperationId, "opn", "an operation");
id_kind!(RefundKind, RefundId, "ref", "a refund");
id_kind!(MerchantKind, MerchantId, "mer", "a merchant");
id_kind!(
    ApiKeyKind,
    ApiKeyId,
    "key",
    "an API key (the key itself is never stored)"
);
id_kind!(RequestKind, RequestId, "req", "one HTTP request");

impl<P> Id<P> {
    pub fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid, PhantomData)
    }

    /// When it was made, to the millisecond; `None` for an id that carries no time.
    pub fn made_at(&self) -> Option<Timestamp> {
        let (seconds, nanos) = self.0.get_timestamp()?.to_unix();
        let micros = i64::try_from(seconds).ok()?.checked_mul(1_000_000)?;
        Some(Timestamp::from_micros(micros + i64::from(nanos / 1_000)))
    }

    pub fn as_uuid(&self) -> Uuid {
        self.0
    }
}

impl<P: Prefix> fmt::Display for Id<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        let bits = self.0.as_u128();
        write!(f, "{}_", P::PREFIX)?;
        for group in (0..SUFFIX_LEN).rev() {
            let digit = usize::from((bits >> (5 * group)) as u8 & 31);
            f.write_char(char::from(ALPHABET.get(digit).copied().unwrap_or(b'0')))?;
        }
        Ok(())
    }
}

impl<P: Prefix> FromStr for Id<P> {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let refused = IdError { prefix: P::PREFIX };
        let suffix = text
            .strip_prefix(P::PREFIX)
            .and_then(|rest| rest.strip_prefix('_'));
        let Some(suffix) = suffix.filter(|suffix| suffix.len() == SUFFIX_LEN) else {
            return Err(refused);
        };
        let mut bits: u128 = 0;
        for (place, byte) in suffix.bytes().enumerate() {
            let digit = ALPHABET.iter().position(|letter| *letter == byte);
            match digit {
                Some(digit) if place > 0 || digit < 8 => bits = (bits << 5) | digit as u128,
                _ => return Err(refused),
            }
        }
        Ok(Self::from_uuid(Uuid::from_u128(bits)))
    }
}

impl<P: Prefix> fmt::Debug for Id<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<P: Prefix> serde::Serialize for Id<P> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

// Derives would ask the same of `P`, which is never a value.
impl<P> Clone for Id<P> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<P> Copy for Id<P> {}
impl<P> PartialEq for Id<P> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<P> Eq for Id<P> {}
impl<P> PartialOrd for Id<P> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<P> Ord for Id<P> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
impl<P> Hash for Id<P> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_typeid_specification_s_example_is_ours() {
        let uuid = Uuid::parse_str("01890a5d-ac96-774b-bcce-b302099a8057").unwrap();
        assert_eq!(
            PaymentId::from_uuid(uuid).to_string(),
            "pay_01h455vb4pex5vsknk084sn02q"
        );
    }

    #[test]
    fn another_kind_of_id_is_refused() {
        assert!(
            "mer_01h455vb4pex5vsknk084sn02q"
                .parse::<PaymentId>()
                .is_err()
        );
        assert!(
            "pay_81h455vb4pex5vsknk084sn02q"
                .parse::<PaymentId>()
                .is_err(),
            "over 128 bits"
        );
        assert!(
            "pay_01H455VB4PEX5VSKNK084SN02Q"
                .parse::<PaymentId>()
                .is_err(),
            "one form only"
        );
    }

    proptest! {
        #[test]
        fn an_id_survives_its_text_and_sorts_like_it(one: u128, two: u128) {
            let (one, two) = (PaymentId::from_uuid(Uuid::from_u128(one)), PaymentId::from_uuid(Uuid::from_u128(two)));
            prop_assert_eq!(one.to_string().parse::<PaymentId>(), Ok(one));
            prop_assert_eq!(one.cmp(&two), one.to_string().cmp(&two.to_string()));
        }
    }
}
