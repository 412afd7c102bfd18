//! Keys that the environment brings, for containers and scripts.

use super::{ConfigError, layers::Environment};
use crate::api_key::{BODY_LEN_MIN, KeyKind, PlainKey};

const API_KEY: &str = "ONCEPAY_BOOTSTRAP_API_KEY";
const ADMIN_KEY: &str = "ONCEPAY_BOOTSTRAP_ADMIN_KEY";

/// Keys to install at start, if the store does not have them yet.
#[derive(Clone, Debug, Default)]
pub struct BootstrapKeys {
    /// `ONCEPAY_BOOTSTRAP_API_KEY`: `op_test_` or `op_live_` and at least 32 letters or digits.
    pub api_key: Option<PlainKey>,
    /// `ONCEPAY_BOOTSTRAP_ADMIN_KEY`: `op_admin_` and at least 32 letters or digits.
    pub admin_key: Option<PlainKey>,
}

impl BootstrapKeys {
    pub fn is_empty(&self) -> bool {
        self.api_key.is_none() && self.admin_key.is_none()
    }

    pub(super) fn read(env: &Environment) -> Result<Self, ConfigError> {
        let mut keys = Self::default();
        for (name, text) in env.bootstrap() {
            let key = PlainKey::parse(text);
            let is_admin = key.as_ref().is_some_and(|key| key.kind() == KeyKind::Admin);
            let prefixes = match name {
                API_KEY if key.is_some() && !is_admin => {
                    keys.api_key = key;
                    continue;
                }
                ADMIN_KEY if is_admin => {
                    keys.admin_key = key;
                    continue;
                }
                API_KEY => "op_test_ or op_live_",
                ADMIN_KEY => "op_admin_",
                _ => {
                    let problem = format!("is unknown; there are {API_KEY} and {ADMIN_KEY}");
                    return Err(ConfigError::refused(name, problem));
                }
            };
            let problem =
                format!("must be {prefixes} followed by at least {BODY_LEN_MIN} letters or digits");
            return Err(ConfigError::refused(name, problem));
        }
        Ok(keys)
    }
}
