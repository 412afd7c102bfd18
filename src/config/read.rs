//! How a value is read from text, where its type alone does not say it.

use std::str::FromStr;

use secrecy::SecretString;
use serde::{Deserialize, Deserializer, de::Error};

use crate::payment::Mode;

/// A secret, whose text survives as it was given: `1e5` is no number.
pub(super) fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<SecretString, D::Error> {
    String::deserialize(from).map(SecretString::from)
}

pub(super) fn optional_secret<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<SecretString>, D::Error> {
    secret(from).map(Some)
}

pub(super) fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    String::deserialize(from).map(Some)
}

pub(super) fn mode<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Mode>, D::Error> {
    let text = String::deserialize(from)?;
    Mode::from_str(&text)
        .map(Some)
        .map_err(|()| D::Error::custom(format!("{text:?} is not a mode; say `live` or `test`")))
}

/// A list, or one text with commas between the items.
pub(super) fn list<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a list of names")]
    enum List {
        Items(Vec<String>),
        Text(String),
    }
    Ok(match List::deserialize(from)? {
        List::Items(items) => items,
        List::Text(text) => text
            .split(',')
            .map(|item| item.trim().to_owned())
            .filter(|item| !item.is_empty())
            .collect(),
    })
}
