//! What a client asks for, once it is known to be valid.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde_json::{Value, json};

use super::{Canonical, Money, OperationKind};

/// When the money moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Capture {
    /// With the authorization.
    #[default]
    Automatic,
    /// Later, by a capture of its own.
    Manual,
}

impl Capture {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Automatic => "automatic",
            Self::Manual => "manual",
        }
    }
}

impl fmt::Display for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Capture {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "automatic" => Ok(Self::Automatic),
            "manual" => Ok(Self::Manual),
            _ => Err(()),
        }
    }
}

impl serde::Serialize for Capture {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A request for a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatePayment {
    pub money: Money,
    /// The provider's token of a card or account; never a card number.
    pub payment_method: String,
    pub capture: Capture,
    pub reference: Option<String>,
    pub description: Option<String>,
    pub metadata: BTreeMap<String, String>,
}

impl CreatePayment {
    /// The fields that were given and differ from their default, for the fingerprint.
    pub fn canonical(&self) -> Canonical {
        let mut fields: BTreeMap<&'static str, Value> = BTreeMap::new();
        fields.insert("amount", json!(self.money.minor()));
        fields.insert("currency", json!(self.money.currency().code()));
        fields.insert("payment_method", json!(self.payment_method));
        if self.capture != Capture::default() {
            fields.insert("capture", json!(self.capture.as_str()));
        }
        if let Some(reference) = &self.reference {
            fields.insert("reference", json!(reference));
        }
        if let Some(description) = &self.description {
            fields.insert("description", json!(description));
        }
        if !self.metadata.is_empty() {
            fields.insert("metadata", json!(self.metadata));
        }
        Canonical::new(OperationKind::Create, &[], &fields)
    }
}
