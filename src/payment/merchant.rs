//! Who calls: merchants, the modes their payments live in, and the keys that prove it.

use std::{fmt, str::FromStr};

use super::{ApiKeyId, MerchantId, Timestamp};

/// Whether real money moves. Test and live payments never see each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mode {
    Live,
    Test,
}

impl Mode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Mode {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "live" => Ok(Self::Live),
            "test" => Ok(Self::Test),
            _ => Err(()),
        }
    }
}

/// A tenant. Disabled, never deleted: its keys name payments for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merchant {
    pub id: MerchantId,
    pub name: String,
    pub created_at: Timestamp,
    pub disabled_at: Option<Timestamp>,
}

/// What a key opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ApiKeyRole {
    /// The payments of one merchant in one mode.
    Merchant { merchant_id: MerchantId, mode: Mode },
    /// The admin paths, and nothing of a merchant's.
    Admin,
}

/// An API key as it is kept: its digest, never itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    pub id: ApiKeyId,
    pub role: ApiKeyRole,
    /// SHA-256 of the whole key. Keys carry at least 160 random bits, so no slower hash is needed.
    pub digest: [u8; 32],
    /// The first characters of the key, for a person to tell one from another.
    pub hint: String,
    pub created_at: Timestamp,
    pub revoked_at: Option<Timestamp>,
}
