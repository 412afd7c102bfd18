//! What all nodes over one database have in common.

use std::fmt;

use uuid::Uuid;

use super::{Store, WriteError};
use crate::environment::Environment;

/// The one row of the table `installation`, made by the first node that starts.
#[derive(Clone, PartialEq, Eq)]
pub struct Installation {
    /// Which of the programs at one provider's account this is: what it makes there carries it. It never
    /// changes, and a restored database has that of its backup.
    pub id: Uuid,
    /// Which life of the database this is. It changes when the database was put back to an earlier
    /// state, and what was said of the life before is not believed any more.
    pub store_incarnation: Uuid,
    /// What finished answers outside the store are sealed with.
    pub lookup_secret: [u8; 32],
}

impl Installation {
    /// The one that stands, made now when there is none: whoever starts at the same time gets the
    /// same.
    ///
    /// # Errors
    /// When the store can neither be read nor written.
    pub async fn ensure(store: &dyn Store, environment: &Environment) -> Result<Self, WriteError> {
        match store.installation().await {
            Ok(Some(standing)) => Ok(standing),
            Ok(None) => store.keep_installation(Self::new(environment)).await,
            Err(error) => Err(WriteError::NotWritten(error.to_string())),
        }
    }

    /// A new one, of random parts.
    pub fn new(environment: &Environment) -> Self {
        let random = || uuid::Builder::from_random_bytes(environment.random_bytes()).into_uuid();
        Self {
            id: random(),
            store_incarnation: random(),
            lookup_secret: environment.random_bytes(),
        }
    }
}

/// Without the secret.
impl fmt::Debug for Installation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Installation")
            .field("id", &self.id)
            .field("store_incarnation", &self.store_incarnation)
            .finish_non_exhaustive()
    }
}
