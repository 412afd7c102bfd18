//! The `Idempotency-Key` header in both its forms: bare, and as a string of RFC 8941.

use actix_web::http::header::HeaderMap;

use super::problem::Refused;
use crate::payment::{IdempotencyKey, ProblemCode};

const NAME: &str = "idempotency-key";

/// The key of a request that moves money.
pub(super) fn from_headers(headers: &HeaderMap) -> Result<IdempotencyKey, Refused> {
    let invalid = |detail: &str| {
        Refused::new(
            ProblemCode::IdempotencyKeyInvalid,
            format!("The Idempotency-Key {detail}."),
        )
    };
    let mut values = headers.get_all(NAME);
    let Some(value) = values.next() else {
        return Err(Refused::new(
            ProblemCode::IdempotencyKeyMissing,
            ProblemCode::IdempotencyKeyMissing.help(),
        ));
    };
    if values.next().is_some() {
        return Err(invalid("must be sent exactly once"));
    }
    let Ok(text) = value.to_str() else {
        return Err(invalid("must consist of visible ASCII characters"));
    };
    let key = match text.starts_with('"') {
        true => quoted(text).ok_or_else(|| {
            invalid("starts with a quotation mark, but is not a string of RFC 8941")
        })?,
        false => text.to_owned(),
    };
    IdempotencyKey::new(&key).map_err(|error| invalid(&error.to_string()))
}

/// The text of an RFC 8941 string without parameters.
fn quoted(text: &str) -> Option<String> {
    let item: sfv::Item = sfv::Parser::new(text).parse().ok()?;
    match item.bare_item {
        sfv::BareItem::String(key) if item.params.is_empty() => Some(key.as_str().to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    fn parse(values: &[&str]) -> Result<String, ProblemCode> {
        let mut headers = HeaderMap::new();
        for value in values {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            headers.append(HeaderName::from_static(NAME), value);
        }
        from_headers(&headers)
            .map(|key| key.as_str().to_owned())
            .map_err(|refused| refused.code())
    }

    /// Rule 24.
    #[test]
    fn rule_24_both_forms_name_the_same_key() {
        assert_eq!(parse(&["abc123"]), Ok("abc123".into()));
        assert_eq!(parse(&["\"abc123\""]), Ok("abc123".into()));
        assert_eq!(parse(&[r#""a\"b\\c""#]), Ok(r#"a"b\c"#.into()));
        assert_eq!(
            parse(&["abc\"123"]),
            Ok("abc\"123".into()),
            "a quote inside is a character"
        );
    }

    #[test]
    fn rule_24_exactly_one_key_that_parses() {
        assert_eq!(parse(&[]), Err(ProblemCode::IdempotencyKeyMissing));
        for values in [
            &["a", "b"][..],
            &["a", "a"],
            &[""],
            &["\"abc"],
            &["\"abc\"def"],
            &["\"abc\";p=1"],
            &["\"\""],
            &["\"a b\""],
            &["a b"],
            &["schlüssel"],
            &[&"k".repeat(256)],
        ] {
            assert_eq!(
                parse(values),
                Err(ProblemCode::IdempotencyKeyInvalid),
                "{values:?}"
            );
        }
    }
}
