//! The fingerprint of a request: equal for the same request, different for every other.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::OperationKind;

/// A request in the one form that its fingerprint is taken of: the kind of operation, the ids in
/// the path, and the fields that were given and differ from their default, with sorted names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canonical(String);

impl Canonical {
    pub fn new(
        kind: OperationKind,
        path_ids: &[String],
        fields: &BTreeMap<&'static str, Value>,
    ) -> Self {
        // An array keeps its order, and a map's names come sorted: one text for one request.
        Self(json!([kind.as_str(), path_ids, fields]).to_string())
    }
}

/// SHA-256 over a [`Canonical`] request, with the version of the form it was taken of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    pub version: i16,
    pub digest: [u8; 32],
}

/// A row carries a fingerprint of a form that this program does not know: a newer one wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("fingerprint version {0} is newer than this program")]
pub struct UnknownFingerprintVersion(i16);

impl Fingerprint {
    /// The version that new rows get. A new version never turns an old retry into another request,
    /// because [`Fingerprint::matches`] compares by the row's.
    const CURRENT: i16 = 1;

    pub fn of(canonical: &Canonical) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"oncepay-request-1\0");
        hash.update(canonical.0.as_bytes());
        Self {
            version: Self::CURRENT,
            digest: hash.finalize().into(),
        }
    }

    /// `version:digest`, the digest in hexadecimal.
    pub fn to_text(self) -> String {
        let start = format!("{}:", self.version);
        self.digest
            .iter()
            .fold(start, |text, byte| text + &format!("{byte:02x}"))
    }

    /// Reads what [`Fingerprint::to_text`] wrote.
    pub fn from_text(text: &str) -> Option<Self> {
        let (version, hex) = text.split_once(':')?;
        let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
        let byte = |[high, low]: &[u8; 2]| {
            let digit = |at: u8| {
                char::from(at)
                    .to_digit(16)
                    .and_then(|it| u8::try_from(it).ok())
            };
            Some(digit(*high)? << 4 | digit(*low)?)
        };
        let digest: Option<Vec<u8>> = pairs.iter().map(byte).collect();
        Some(Self {
            version: version.parse().ok()?,
            digest: digest.filter(|_| rest.is_empty())?.try_into().ok()?,
        })
    }

    /// Whether `canonical` is the request that this fingerprint was taken of.
    ///
    /// # Errors
    /// When this fingerprint is of a version that only a newer program can compute.
    pub fn matches(&self, canonical: &Canonical) -> Result<bool, UnknownFingerprintVersion> {
        match self.version {
            Self::CURRENT => Ok(*self == Self::of(canonical)),
            unknown => Err(UnknownFingerprintVersion(unknown)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Capture, CreatePayment, Money};
    use super::*;

    fn request() -> CreatePayment {
        CreatePayment {
            money: Money::new(4_200, "EUR".parse().unwrap()).unwrap(),
            payment_method: "pm_card_visa".into(),
            capture: Capture::Automatic,
            reference: Some("order-17".into()),
            description: None,
            metadata: BTreeMap::from([("a".into(), "1".into()), ("b".into(), "2".into())]),
        }
    }

    fn changed(change: impl FnOnce(&mut CreatePayment)) -> CreatePayment {
        let mut request = request();
        change(&mut request);
        request
    }

    /// Rule 20.
    #[test]
    fn rule_20_every_field_counts() {
        let original = Fingerprint::of(&request().canonical());
        let usd = "USD".parse().unwrap();
        let others = [
            changed(|r| r.money = Money::new(4_201, r.money.currency()).unwrap()),
            changed(|r| r.money = Money::new(4_200, usd).unwrap()),
            changed(|r| r.payment_method.push('x')),
            changed(|r| r.capture = Capture::Manual),
            changed(|r| r.reference = None),
            changed(|r| r.reference = Some("order-17 ".into())),
            changed(|r| r.description = Some(String::new())),
            changed(|r| drop(r.metadata.remove("a"))),
            changed(|r| drop(r.metadata.insert("a".into(), "2".into()))),
        ];
        for other in others {
            assert_eq!(original.matches(&other.canonical()), Ok(false), "{other:?}");
        }
        assert_eq!(original.matches(&request().canonical()), Ok(true));
    }

    #[test]
    fn rule_20_a_default_that_is_spelled_out_is_the_same_request() {
        let plain = changed(|r| r.metadata.clear());
        let canonical = plain.canonical();
        assert!(!canonical.0.contains("capture") && !canonical.0.contains("metadata"));
    }

    #[test]
    fn rule_20_one_key_on_two_kinds_of_operation_differs() {
        let fields = BTreeMap::new();
        let capture = Canonical::new(OperationKind::Capture, &["pay_1".into()], &fields);
        let cancel = Canonical::new(OperationKind::Cancel, &["pay_1".into()], &fields);
        assert_eq!(Fingerprint::of(&capture).matches(&cancel), Ok(false));
    }

    #[test]
    fn rule_20_a_row_is_compared_by_its_own_version() {
        let newer = Fingerprint {
            version: 2,
            ..Fingerprint::of(&request().canonical())
        };
        assert_eq!(
            newer.matches(&request().canonical()),
            Err(UnknownFingerprintVersion(2))
        );
    }

    #[test]
    fn a_fingerprint_survives_its_text() {
        let fingerprint = Fingerprint::of(&request().canonical());
        let text = fingerprint.to_text();
        assert_eq!(Fingerprint::from_text(&text), Some(fingerprint));
        for bad in [
            "",
            "1",
            "1:",
            "x:00",
            &text[..text.len() - 1],
            &format!("{text}00"),
        ] {
            assert_eq!(Fingerprint::from_text(bad), None, "{bad}");
        }
    }

    /// The golden value: a change of the form without a new version would break every old retry.
    #[test]
    fn the_first_version_never_changes() {
        let digest = Fingerprint::of(&request().canonical()).digest;
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "94a1e9121be6edae245afd320d9e929078663b8c472abec9ed53f91c348cb880"
        );
    }
}
