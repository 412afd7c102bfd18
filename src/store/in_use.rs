//! Whether a database is somebody's at this moment.

use super::{StoreStartError, StoreUrl, postgres, sqlite};

/// Whether another program has the database open. What comes after the question it does not see, nor
/// who is connected to a pooler in front of PostgreSQL.
///
/// # Errors
/// When the database cannot be reached.
pub async fn is_in_use(url: &StoreUrl) -> Result<bool, StoreStartError> {
    match url {
        StoreUrl::Postgres(url) => postgres::is_in_use(url).await,
        StoreUrl::Sqlite { path, .. } => {
            let path = path.clone();
            let asked = tokio::task::spawn_blocking(move || sqlite::is_in_use(&path));
            asked
                .await
                .unwrap_or_else(|error| Err(StoreStartError::Unreachable(error.to_string())))
        }
    }
}
