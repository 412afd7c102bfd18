//! What we write into Stripe's metadata, and read there again should our row be lost.
//!
//! Stripe admits 50 entries of 500 characters each. Those of ours begin with `oncepay_`; what the
//! client sent and Stripe's own fields do not tell goes into numbered entries of one JSON text, unless
//! it is too long: then the merchant's own metadata stays with us alone.

use std::collections::BTreeMap;

use form_urlencoded::Serializer;
use uuid::Uuid;

use crate::{
    payment::{Fingerprint, IdempotencyKey, MerchantId, Mode, OperationId, Payment},
    provider::{Draft, Expected, Identity, KeptRequest, MadeBy, RecordOrigin},
};

/// The metadata that ties Stripe's object to our operation.
const OPERATION_METADATA: &str = "oncepay_operation";
/// The metadata that ties Stripe's payment intent to our payment.
pub(super) const PAYMENT_METADATA: &str = "oncepay_payment";
/// The metadata that tells whose of an account's installations an object is.
const INSTALLATION: &str = "oncepay_installation";
const KEY: &str = "oncepay_key";
const FINGERPRINT: &str = "oncepay_fingerprint";
const MERCHANT: &str = "oncepay_merchant";
const MODE: &str = "oncepay_mode";
const REQUEST: &str = "oncepay_request_";
const CAPTURE: [&str; 3] = [
    "oncepay_capture",
    "oncepay_capture_key",
    "oncepay_capture_fingerprint",
];
/// The most characters of one entry.
const ENTRY_CHARS_MAX: usize = 500;
/// The most entries of one request, so that half of Stripe's stay free.
const REQUEST_ENTRIES_MAX: usize = 20;

type Form<'a> = Serializer<'a, String>;

fn put(form: &mut Form<'_>, name: &str, value: &str) {
    form.append_pair(&format!("metadata[{name}]"), value);
}

/// Marks what an operation makes.
pub(super) fn of(
    form: &mut Form<'_>,
    payment: &Payment,
    draft: Draft<'_>,
    installation: Option<Uuid>,
) {
    if let Some(id) = installation {
        put(form, INSTALLATION, &id.to_string());
    }
    put(form, PAYMENT_METADATA, &payment.id.to_string());
    let names = [OPERATION_METADATA, KEY, FINGERPRINT];
    operation(form, names, draft);
}

/// Marks an intent with the operation that captures it.
pub(super) fn capture(form: &mut Form<'_>, draft: Draft<'_>) {
    operation(form, CAPTURE, draft);
}

fn operation(form: &mut Form<'_>, [id, key, fingerprint]: [&str; 3], draft: Draft<'_>) {
    put(form, id, &draft.operation_id.to_string());
    put(form, key, draft.idempotency_key.as_str());
    put(form, fingerprint, &draft.fingerprint.to_text());
}

/// Marks an intent with where its payment came from.
pub(super) fn origin(form: &mut Form<'_>, payment: &Payment) {
    put(form, MERCHANT, &payment.merchant_id.to_string());
    put(form, MODE, payment.mode.as_str());
    let whole = KeptRequest {
        payment_method: Some(payment.payment_method.clone()),
        reference: payment.reference.clone(),
        metadata: payment.metadata.clone(),
    };
    let without_metadata = KeptRequest {
        metadata: BTreeMap::new(),
        ..whole.clone()
    };
    let entries = entries(&whole).or_else(|| entries(&without_metadata));
    for (number, entry) in entries.into_iter().flatten().enumerate() {
        put(form, &format!("{REQUEST}{number}"), &entry);
    }
}

fn entries(request: &KeptRequest) -> Option<Vec<String>> {
    // Texts under fixed names are always JSON.
    let json = serde_json::to_string(request).unwrap_or_default();
    let letters: Vec<char> = json.chars().collect();
    let entries = letters.chunks(ENTRY_CHARS_MAX);
    (entries.len() <= REQUEST_ENTRIES_MAX)
        .then(|| entries.map(|entry| entry.iter().collect()).collect())
}

/// What stands in an object's metadata.
pub(super) struct Marks<'a>(pub(super) &'a BTreeMap<String, String>);

impl<'a> Marks<'a> {
    pub(super) fn parsed<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.0.get(name)?.parse().ok()
    }

    pub(super) fn installation(&self) -> Option<Uuid> {
        self.parsed(INSTALLATION)
    }

    /// The operation that made the object.
    pub(super) fn made_by(&self) -> Option<MadeBy> {
        self.operation([OPERATION_METADATA, KEY, FINGERPRINT])
    }

    pub(super) fn operation_id(&self) -> Option<OperationId> {
        self.parsed(OPERATION_METADATA)
    }

    /// The key that the payment intent was made under, and whose it is.
    pub(super) fn key(&self) -> Option<(MerchantId, Mode, &'a str)> {
        Some((self.parsed(MERCHANT)?, self.parsed(MODE)?, self.0.get(KEY)?))
    }

    /// Whether the payment intent was made under the payment's key, by whatever request.
    pub(super) fn are_of_key(&self, identity: &Identity) -> bool {
        let key = identity.payment_key.as_str();
        self.key() == Some((identity.merchant_id, identity.mode, key))
    }

    /// Whether the object is the operation's: of its row, or of one that was lost and had the same
    /// request under the same key.
    pub(super) fn are_of_operation(&self, expected: &Expected) -> bool {
        let identity = &expected.identity;
        self.operation_id() == Some(expected.operation_id)
            || self.made_by().is_some_and(|made| {
                made.idempotency_key == identity.key && made.fingerprint == identity.fingerprint
            })
    }

    /// The operation that captured the intent.
    pub(super) fn captured_by(&self) -> Option<MadeBy> {
        self.operation(CAPTURE)
    }

    fn operation(&self, [id, key, fingerprint]: [&str; 3]) -> Option<MadeBy> {
        Some(MadeBy {
            operation_id: self.parsed::<OperationId>(id)?,
            idempotency_key: IdempotencyKey::new(self.0.get(key)?).ok()?,
            fingerprint: Fingerprint::from_text(self.0.get(fingerprint)?)?,
        })
    }

    pub(super) fn origin(&self) -> Option<RecordOrigin> {
        let entries = (0..REQUEST_ENTRIES_MAX).map_while(|number| {
            self.0
                .get(&format!("{REQUEST}{number}"))
                .map(String::as_str)
        });
        let json: String = entries.collect();
        Some(RecordOrigin {
            merchant_id: self.parsed(MERCHANT)?,
            mode: self.parsed(MODE)?,
            made_by: self.made_by()?,
            request: serde_json::from_str(&json).unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(values: usize) -> KeptRequest {
        let metadata = (0..values).map(|n| (format!("k{n}"), "é".repeat(400)));
        KeptRequest {
            payment_method: Some("pm_1".into()),
            reference: None,
            metadata: metadata.collect(),
        }
    }

    #[test]
    fn rule_19_what_fits_goes_along_in_entries_that_stripe_admits() {
        let request = kept(20);
        let entries = entries(&request).unwrap();
        assert!((10..=REQUEST_ENTRIES_MAX).contains(&entries.len()));
        assert!(
            entries
                .iter()
                .all(|entry| entry.chars().count() <= ENTRY_CHARS_MAX)
        );
        let read: KeptRequest = serde_json::from_str(&entries.concat()).unwrap();
        assert_eq!(read, request);
    }

    #[test]
    fn rule_19_what_is_too_long_stays_with_us() {
        assert_eq!(entries(&kept(30)), None);
        assert_eq!(entries(&kept(0)).unwrap().len(), 1);
    }
}
