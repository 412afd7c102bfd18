//! How a database is named to a person.

use secrecy::{ExposeSecret, SecretString};

/// Says which database a URL names, without user, password or parameters.
pub fn describe_database(database_url: &SecretString) -> String {
    let text = database_url.expose_secret();
    let without_parameters = |text: &str| text.split('?').next().unwrap_or_default().to_owned();
    if let Some((scheme, rest)) = text.split_once("://")
        && matches!(scheme, "postgres" | "postgresql")
    {
        return describe_postgres(rest);
    }
    let path = text.strip_prefix("sqlite:").unwrap_or(text);
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.contains("://") || path.contains('@') {
        return "a database of an unknown kind".to_owned(); // It may hold a password.
    }
    format!("SQLite file {}", without_parameters(path))
}

/// `rest` is a URL without its scheme; it may name several hosts, each with a port.
fn describe_postgres(rest: &str) -> String {
    let place = rest.split_once('@').map_or(rest, |(_, place)| place);
    if place.contains('@') {
        return "PostgreSQL".to_owned(); // A part of it may be of a password.
    }
    let place = place.split('?').next().unwrap_or_default();
    let (hosts, name) = place.split_at(place.find('/').unwrap_or(place.len()));
    match hosts.is_empty() || hosts.starts_with('%') {
        true => format!("PostgreSQL at a local socket{name}"),
        false => format!("PostgreSQL at {hosts}{name}"),
    }
}
