//! Form-encoded parameters, of a body or of a query, read with Stripe's strictness.

use sha2::{Digest, Sha256};

use super::answer::Refusal;
use super::metadata::Metadata;

/// Largest amount, in minor units: twelve digits, as Stripe's widest currency allows.
const AMOUNT_MAX: i64 = 999_999_999_999;
const METADATA_KEYS_MAX: usize = 50;
const METADATA_KEY_LENGTH_MAX: usize = 40;
const METADATA_VALUE_LENGTH_MAX: usize = 500;

/// What identifies a request under its idempotency key: method, path and parameters, hashed.
pub(super) type Fingerprint = [u8; 32];

/// The parameters of one request, sorted by name, so that their order means nothing.
#[derive(Debug)]
pub(super) struct Form {
    pairs: Vec<(String, String)>,
}

impl Form {
    pub(super) fn parse(encoded: &[u8]) -> Self {
        let mut pairs: Vec<_> = form_urlencoded::parse(encoded).into_owned().collect();
        pairs.sort();
        Self { pairs }
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The value of `name`, or 400 `parameter_missing`.
    pub(super) fn required(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| {
                let message = format!("Missing required param: {name}.");
                Refusal::invalid(Some("parameter_missing"), name, message)
            })
    }

    /// The value of `name` as an amount of at least 1 minor unit.
    pub(super) fn amount(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let Some(amount) = self.integer(name)? else {
            return Ok(None);
        };
        if amount < 1 {
            let message = format!("Invalid positive integer: {name} must be at least 1.");
            return Err(Refusal::invalid(
                Some("parameter_invalid_integer"),
                name,
                message,
            ));
        }
        if amount > AMOUNT_MAX {
            let message = format!("Amount must be no more than {AMOUNT_MAX}.");
            return Err(Refusal::invalid(Some("amount_too_large"), name, message));
        }
        Ok(Some(amount))
    }

    pub(super) fn integer(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|error| {
            let message = format!("Invalid integer: {text} ({error})");
            Refusal::invalid(Some("parameter_invalid_integer"), name, message)
        })
    }

    /// The value of `name` as `true` or `false`; `false` if absent.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => {
                let message = format!("Invalid boolean: {other}");
                Err(Refusal::invalid(None, name, message))
            }
        }
    }

    /// The `metadata[key]=value` pairs, within Stripe's limits; an empty value is no value.
    pub(super) fn metadata(&self) -> Result<Metadata, Refusal> {
        let mut metadata = Metadata::default();
        for (key, value) in self.nested("metadata") {
            if key.is_empty() || key.chars().count() > METADATA_KEY_LENGTH_MAX {
                let message = "Metadata keys have 1 to 40 characters.";
                return Err(Refusal::invalid(None, "metadata", message));
            }
            if value.chars().count() > METADATA_VALUE_LENGTH_MAX {
                let message = "Metadata values have at most 500 characters.";
                return Err(Refusal::invalid(None, &format!("metadata[{key}]"), message));
            }
            if !value.is_empty() {
                metadata.insert(key, value);
            }
        }
        if metadata.len() > METADATA_KEYS_MAX {
            return Err(Refusal::invalid(
                None,
                "metadata",
                "Metadata has at most 50 keys.",
            ));
        }
        Ok(metadata)
    }

    /// The pairs `name[key]=value`, as `(key, value)`.
    pub(super) fn nested<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.pairs.iter().filter_map(move |(key, value)| {
            let inner = key
                .strip_prefix(name)?
                .strip_prefix('[')?
                .strip_suffix(']')?;
            Some((inner, value.as_str()))
        })
    }

    /// Refuses every parameter that is not in `known`; `metadata` there admits `metadata[key]`.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Refusal> {
        let is_known = |name: &str| {
            let base = name.split('[').next().unwrap_or(name);
            known.contains(&name) || (base != name && known.contains(&base))
        };
        match self.pairs.iter().find(|(name, _)| !is_known(name)) {
            None => Ok(()),
            Some((name, _)) => {
                let message = format!("Received unknown parameter: {name}");
                Err(Refusal::invalid(Some("parameter_unknown"), name, message))
            }
        }
    }

    pub(super) fn fingerprint(&self, method: &str, path: &str) -> Fingerprint {
        let mut hash = Sha256::new();
        let mut absorb = |part: &str| {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        };
        absorb(method);
        absorb(path);
        for (name, value) in &self.pairs {
            absorb(name);
            absorb(value);
        }
        hash.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_parameters_is_not_part_of_the_fingerprint() {
        let print = |body: &[u8]| Form::parse(body).fingerprint("POST", "/v1/refunds");

        assert_eq!(print(b"a=1&b=2"), print(b"b=2&a=1"));
        assert_ne!(print(b"a=1&b=2"), print(b"a=1&b=3"));
        assert_ne!(print(b"a=12"), print(b"a1=2"));
    }

    #[test]
    fn metadata_is_read_from_brackets_and_an_empty_value_is_dropped() {
        let form = Form::parse(b"metadata%5Border%5D=17&metadata[note]=&amount=5");

        let metadata = form.metadata().unwrap();

        assert_eq!(metadata.len(), 1);
        assert_eq!(metadata.get("order"), Some("17"));
        assert!(form.only(&["metadata", "amount"]).is_ok());
        assert!(form.only(&["amount"]).is_err());
    }

    #[test]
    fn an_amount_is_a_positive_integer() {
        for bad in [
            "amount=",
            "amount=1.5",
            "amount=0",
            "amount=-3",
            "amount=9999999999999",
        ] {
            assert!(
                Form::parse(bad.as_bytes()).amount("amount").is_err(),
                "{bad}"
            );
        }
        assert_eq!(Form::parse(b"amount=1").amount("amount").unwrap(), Some(1));
        assert_eq!(Form::parse(b"").amount("amount").unwrap(), None);
    }
}
