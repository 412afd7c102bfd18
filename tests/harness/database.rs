//! A database of one test's own, on either store.

use tempfile::TempDir;

use super::postgres;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    Sqlite,
    Postgres,
}

pub(crate) enum Database {
    Sqlite { url: String, _folder: TempDir },
    Postgres(postgres::TestDatabase),
}

impl Database {
    pub(crate) async fn create(backend: Backend) -> Self {
        match backend {
            Backend::Sqlite => {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("oncepay.db");
                let url = format!("sqlite://{}?mode=rwc", path.display());
                Self::Sqlite { url, _folder: folder }
            }
            Backend::Postgres => Self::Postgres(postgres::TestDatabase::create().await),
        }
    }

    pub(crate) fn url(&self) -> &str {
        match self {
            Self::Sqlite { url, .. } => url,
            Self::Postgres(database) => database.url(),
        }
    }
}
