//! Reads the members of a JSON object one by one, and gathers everything that is wrong with them.

use std::collections::BTreeMap;

use super::{problem::Refused, strict_json::StrictJson};
use crate::payment::{FieldError, ProblemCode, contains_card_number};

/// The members that were not read yet, and the errors so far.
pub(super) struct Fields {
    members: BTreeMap<String, StrictJson>,
    errors: Vec<FieldError>,
}

impl Fields {
    /// The object of a body, free of card numbers.
    pub(super) fn of_body(body: &[u8]) -> Result<Self, Refused> {
        let json: StrictJson = serde_json::from_slice(body).map_err(|error| {
            let detail = format!("The body is not one valid JSON value: {error}.");
            Refused::new(ProblemCode::MalformedRequest, detail)
        })?;
        refuse_card_numbers(&json, "")?;
        match json {
            StrictJson::Object(members) => Ok(Self {
                members,
                errors: Vec::new(),
            }),
            other => Err(Refused::new(
                ProblemCode::MalformedRequest,
                format!("The body must be a JSON object, not {}.", other.kind()),
            )),
        }
    }

    /// A member; one that is null counts as absent.
    fn take(&mut self, name: &str) -> Option<StrictJson> {
        self.members
            .remove(name)
            .filter(|value| *value != StrictJson::Null)
    }

    pub(super) fn error(&mut self, name: &str, detail: impl Into<String>) {
        self.errors.push(FieldError {
            pointer: pointer("", name),
            detail: detail.into(),
        });
    }

    fn missing(&mut self, name: &str) {
        self.error(name, "is required");
    }

    pub(super) fn required_integer(&mut self, name: &str) -> Option<i64> {
        match self.take(name) {
            None => self.missing(name),
            Some(value) => return self.integer(name, value),
        }
        None
    }

    pub(super) fn optional_integer(&mut self, name: &str) -> Option<i64> {
        let value = self.take(name)?;
        self.integer(name, value)
    }

    fn integer(&mut self, name: &str, value: StrictJson) -> Option<i64> {
        match value {
            StrictJson::Number(number) if number.is_i64() => return number.as_i64(),
            StrictJson::Number(_) => {
                self.error(name, "must be an integer, without a fraction or exponent");
            }
            other => self.error(name, format!("must be an integer, not {}", other.kind())),
        }
        None
    }

    /// A string of 1 to `characters_max` characters.
    pub(super) fn required_text(&mut self, name: &str, characters_max: usize) -> Option<String> {
        match self.take(name).map(|value| text(value, characters_max)) {
            None => self.missing(name),
            Some(Ok(text)) if text.is_empty() => self.error(name, "must not be empty"),
            Some(Ok(text)) => return Some(text),
            Some(Err(detail)) => self.error(name, detail),
        }
        None
    }

    pub(super) fn optional_text(&mut self, name: &str, characters_max: usize) -> Option<String> {
        let value = self.take(name)?;
        match text(value, characters_max) {
            Ok(text) => Some(text),
            Err(detail) => {
                self.error(name, detail);
                None
            }
        }
    }

    /// An object of strings, with bounds on how many and how long.
    pub(super) fn optional_texts(
        &mut self,
        name: &str,
        bounds: TextsBounds,
    ) -> BTreeMap<String, String> {
        let members = match self.take(name) {
            None => return BTreeMap::new(),
            Some(StrictJson::Object(members)) => members,
            Some(other) => {
                self.error(
                    name,
                    format!("must be an object of strings, not {}", other.kind()),
                );
                return BTreeMap::new();
            }
        };
        if members.len() > bounds.members_max {
            self.error(
                name,
                format!("must have at most {} members", bounds.members_max),
            );
        }
        let mut texts = BTreeMap::new();
        for (key, value) in members {
            let at = pointer(&pointer("", name), &key);
            match checked(&key, bounds.name_characters_max) {
                Ok(()) if key.is_empty() => self.errors.push(FieldError {
                    pointer: at.clone(),
                    detail: "must have a name that is not empty".into(),
                }),
                Ok(()) => {}
                Err(detail) => self.errors.push(FieldError {
                    pointer: at.clone(),
                    detail: format!("has a name that {detail}"),
                }),
            }
            match text(value, bounds.value_characters_max) {
                Ok(text) => drop(texts.insert(key, text)),
                Err(detail) => self.errors.push(FieldError {
                    pointer: at,
                    detail,
                }),
            }
        }
        // A map of texts is always JSON.
        let json = serde_json::to_string(&texts).unwrap_or_default();
        if json.len() > bounds.json_bytes_max {
            self.error(
                name,
                format!(
                    "must have at most {} bytes as JSON, and has {}",
                    bounds.json_bytes_max,
                    json.len()
                ),
            );
        }
        texts
    }

    /// What was read, unless something was wrong with it or with a member that nobody asked for.
    pub(super) fn finish<T>(mut self, read: Option<T>) -> Result<T, Refused> {
        for name in std::mem::take(&mut self.members).into_keys() {
            self.error(&name, "is not a known field");
        }
        match read {
            Some(read) if self.errors.is_empty() => Ok(read),
            _ => Err(Refused::fields(self.errors)),
        }
    }
}

/// The bounds of an object of strings.
#[derive(Clone, Copy)]
pub(super) struct TextsBounds {
    pub(super) members_max: usize,
    pub(super) name_characters_max: usize,
    pub(super) value_characters_max: usize,
    /// The whole object, written as JSON without spaces.
    pub(super) json_bytes_max: usize,
}

fn text(value: StrictJson, characters_max: usize) -> Result<String, String> {
    match value {
        StrictJson::Text(text) => checked(&text, characters_max).map(|()| text),
        other => Err(format!("must be a string, not {}", other.kind())),
    }
}

fn checked(text: &str, characters_max: usize) -> Result<(), String> {
    if text.chars().count() > characters_max {
        return Err(format!("must have at most {characters_max} characters"));
    }
    // No database column holds it.
    if text.contains('\0') {
        return Err("must not contain the character U+0000".to_owned());
    }
    Ok(())
}

fn refuse_card_numbers(json: &StrictJson, at: &str) -> Result<(), Refused> {
    let refused = |at: &str| {
        let detail =
            format!("{at} holds what looks like a card number. Send the provider's token.");
        Err(Refused::new(ProblemCode::CardNumberRefused, detail))
    };
    match json {
        StrictJson::Text(text) if contains_card_number(text) => refused(at),
        StrictJson::Number(number) if contains_card_number(&number.to_string()) => refused(at),
        StrictJson::Array(items) => items.iter().enumerate().try_for_each(|(index, item)| {
            refuse_card_numbers(item, &pointer(at, &index.to_string()))
        }),
        StrictJson::Object(members) => members.iter().try_for_each(|(name, value)| {
            if contains_card_number(name) {
                // Its name must not be repeated in the answer, either.
                return refused(if at.is_empty() { "/" } else { at });
            }
            refuse_card_numbers(value, &pointer(at, name))
        }),
        _ => Ok(()),
    }
}

/// A JSON pointer to a member of what `parent` points to (RFC 6901, section 3).
fn pointer(parent: &str, name: &str) -> String {
    format!("{parent}/{}", name.replace('~', "~0").replace('/', "~1"))
}
