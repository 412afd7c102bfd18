//! JSON in which no member is named twice: two readers of one body must not see two requests.

use std::{collections::BTreeMap, fmt};

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

/// A JSON value whose objects name every member once.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum StrictJson {
    Null,
    Bool,
    Number(Number),
    Text(String),
    Array(Vec<StrictJson>),
    Object(BTreeMap<String, StrictJson>),
}

impl StrictJson {
    /// What it is, for a person who sent something else.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

impl<'de> Deserialize<'de> for StrictJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = StrictJson;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<StrictJson, E> {
        Ok(StrictJson::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<StrictJson, E> {
        Ok(StrictJson::Bool)
    }

    fn visit_i64<E>(self, number: i64) -> Result<StrictJson, E> {
        Ok(StrictJson::Number(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<StrictJson, E> {
        Ok(StrictJson::Number(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<StrictJson, E> {
        Number::from_f64(number)
            .map(StrictJson::Number)
            .ok_or_else(|| E::custom("not a number"))
    }

    fn visit_str<E>(self, text: &str) -> Result<StrictJson, E> {
        Ok(StrictJson::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<StrictJson, E> {
        Ok(StrictJson::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<StrictJson, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element()? {
            array.push(item);
        }
        Ok(StrictJson::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<StrictJson, A::Error> {
        let mut object = BTreeMap::new();
        while let Some((name, value)) = members.next_entry::<String, StrictJson>()? {
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("an object names a member twice"));
            }
        }
        Ok(StrictJson::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<StrictJson, String> {
        serde_json::from_str(text).map_err(|error: serde_json::Error| error.to_string())
    }

    /// Rule 20.
    #[test]
    fn rule_20_a_member_that_is_named_twice_is_refused_at_any_depth() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"m":{"k":"v","k":"v"}}"#,
            r#"{"a":1,"\u0061":2}"#,
        ] {
            let refused = read(text).unwrap_err();
            assert!(refused.contains("twice"), "{text}: {refused}");
        }
        assert!(read(r#"{"a":{"k":1},"b":{"k":1}}"#).is_ok());
    }

    #[test]
    fn broken_json_is_refused() {
        for text in [
            "",
            "{",
            "{} {}",
            r#"{"a":"\ud800"}"#,
            "nul",
            &"[".repeat(200),
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
