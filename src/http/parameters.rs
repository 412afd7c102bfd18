//! Reads the parameters of a query string one by one, and gathers everything that is wrong with them.

use std::collections::BTreeMap;

use super::problem::Refused;
use crate::payment::FieldError;

const LIMIT_DEFAULT: u32 = 20;
const LIMIT_MAX: u32 = 100;

/// The parameters that were not read yet, and the errors so far.
pub(super) struct Parameters {
    given: BTreeMap<String, String>,
    errors: Vec<FieldError>,
}

impl Parameters {
    pub(super) fn read(text: &str) -> Self {
        let mut parameters = Self {
            given: BTreeMap::new(),
            errors: Vec::new(),
        };
        for (name, value) in form_urlencoded::parse(text.as_bytes()).into_owned() {
            if value.contains('\0') {
                parameters.error(&name, "must not contain the character U+0000");
            }
            if parameters.given.insert(name.clone(), value).is_some() {
                parameters.error(&name, "is given twice");
            }
        }
        parameters
    }

    pub(super) fn error(&mut self, name: &str, detail: impl Into<String>) {
        self.errors.push(FieldError {
            pointer: format!("/{name}"),
            detail: detail.into(),
        });
    }

    pub(super) fn take<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.given.remove(name)?;
        read(&text).map_err(|detail| self.error(name, detail)).ok()
    }

    pub(super) fn required<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        if !self.given.contains_key(name) {
            self.error(name, "is required");
            return None;
        }
        self.take(name, read)
    }

    /// How long a page is to be.
    pub(super) fn limit(&mut self) -> u32 {
        let limit = self.take("limit", |text| match text.parse() {
            Ok(limit @ 1..=LIMIT_MAX) => Ok(limit),
            _ => Err(format!("must be an integer from 1 to {LIMIT_MAX}")),
        });
        limit.unwrap_or(LIMIT_DEFAULT)
    }

    /// What was read, unless something was wrong with it or with a parameter that nobody asked for.
    pub(super) fn finish<T>(mut self, read: Option<T>) -> Result<T, Refused> {
        for name in std::mem::take(&mut self.given).into_keys() {
            self.error(&name, "is not a known parameter");
        }
        match read {
            Some(read) if self.errors.is_empty() => Ok(read),
            _ => Err(Refused::fields(self.errors)),
        }
    }
}
