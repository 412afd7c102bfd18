//! `Prefer: wait=N` and `respond-async` (RFC 7240): how long the client wants to wait.

use std::time::Duration;

use actix_web::http::header::HeaderMap;

use crate::actors::Patience;

/// What the headers ask for. A preference that is not understood is ignored, as RFC 7240 says.
pub(super) fn patience(headers: &HeaderMap) -> Patience {
    let preferences: Vec<String> = headers
        .get_all("prefer")
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|preference| {
            let end = preference.find(';').unwrap_or(preference.len());
            preference
                .get(..end)
                .unwrap_or_default()
                .trim()
                .to_ascii_lowercase()
        })
        .collect();
    if preferences
        .iter()
        .any(|preference| preference == "respond-async")
    {
        return Patience::AtMost(Duration::ZERO);
    }
    let wait = preferences.iter().find_map(|preference| {
        let (name, value) = preference.split_once('=')?;
        let seconds = value.trim().trim_matches('"').parse().ok()?;
        (name.trim() == "wait").then(|| Duration::from_secs(seconds))
    });
    wait.map_or(Patience::UntilTheDeadline, Patience::AtMost)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn a_client_says_how_long_it_waits() {
        let patience = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.append(
                HeaderName::from_static("prefer"),
                HeaderValue::from_static(value),
            );
            patience(&headers)
        };
        let seconds = |n| Patience::AtMost(Duration::from_secs(n));
        assert_eq!(patience("wait=5"), seconds(5));
        assert_eq!(patience("handling=lenient, Wait = 7; foo"), seconds(7));
        assert_eq!(patience("respond-async, wait=5"), seconds(0));
        assert_eq!(patience("wait=soon"), Patience::UntilTheDeadline);
        assert_eq!(patience("return=minimal"), Patience::UntilTheDeadline);
    }
}
