//! How a database is named to a person.

use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// Says which database a URL names, without user, password or parameters.
pub fn describe_database(database_url: &SecretString) -> String {
    let text = database_url.expose_secret();
    let without_parameters = |text: &str| text.split('?').next().unwrap_or_default().to_owned();
    if let Some((scheme, _)) = text.split_once("://")
        && matches!(scheme, "postgres" | "postgresql")
    {
        return match Url::parse(text) {
            Ok(url) => {
                let host = url.host_str().filter(|host| !host.is_empty());
                let host = host.unwrap_or("a local socket");
                let port = url
                    .port()
                    .map(|port| format!(":{port}"))
                    .unwrap_or_default();
                format!("PostgreSQL at {host}{port}{}", url.path())
            }
            Err(_) => "PostgreSQL".to_owned(),
        };
    }
    let path = text.strip_prefix("sqlite:").unwrap_or(text);
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.contains("://") || path.contains('@') {
        return "a database of an unknown kind".to_owned(); // It may hold a password.
    }
    format!("SQLite file {}", without_parameters(path))
}
