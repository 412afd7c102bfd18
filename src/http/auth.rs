//! Who calls: API keys, looked up by their digest.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use actix_web::{FromRequest, HttpRequest, dev::Payload, http::header::AUTHORIZATION, web::Data};
use quick_cache::sync::Cache;
use tokio::time::Instant;

use super::{problem::Refused, server::HttpState};
use crate::{
    api_key::{self, PlainKey},
    payment::{ApiKeyRole, MerchantId, Mode, ProblemCode},
    store::{ReadError, Store},
};

/// How long a key that was found is believed without asking the store: so long does a revoked key
/// go on working at most.
const BELIEVED_FOR: Duration = Duration::from_secs(5);
const KEYS_KEPT: usize = 10_000;

/// The API keys of the store, with those in use kept close at hand.
pub struct ApiKeys {
    store: Arc<dyn Store>,
    found: Cache<[u8; 32], (ApiKeyRole, Instant)>,
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeys").finish_non_exhaustive()
    }
}

impl ApiKeys {
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            found: Cache::new(KEYS_KEPT),
        }
    }

    async fn role(&self, key: &str) -> Result<Option<ApiKeyRole>, ReadError> {
        if PlainKey::parse(key).is_none() {
            return Ok(None);
        }
        let digest = api_key::digest(key);
        if let Some((role, until)) = self.found.get(&digest)
            && Instant::now() < until
        {
            return Ok(Some(role));
        }
        // Only keys that exist are kept: guesses cannot crowd them out.
        let Some(key) = self.store.find_api_key(digest).await? else {
            self.found.remove(&digest);
            return Ok(None);
        };
        self.found
            .insert(digest, (key.role, Instant::now() + BELIEVED_FOR));
        Ok(Some(key.role))
    }
}

/// The merchant and mode that a request speaks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    pub(super) merchant_id: MerchantId,
    pub(super) mode: Mode,
}

impl FromRequest for Caller {
    type Error = Refused;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Refused>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            match role(&request).await? {
                ApiKeyRole::Merchant { merchant_id, mode } => Ok(Self { merchant_id, mode }),
                ApiKeyRole::Admin => Err(Refused::new(
                    ProblemCode::Forbidden,
                    "An admin key opens the admin paths; payments need a merchant's key.",
                )),
            }
        })
    }
}

/// An operator, by an admin key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Admin;

impl FromRequest for Admin {
    type Error = Refused;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Refused>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            match role(&request).await? {
                ApiKeyRole::Admin => Ok(Self),
                ApiKeyRole::Merchant { .. } => Err(Refused::new(
                    ProblemCode::Forbidden,
                    "The admin paths need an admin key.",
                )),
            }
        })
    }
}

async fn role(request: &HttpRequest) -> Result<ApiKeyRole, Refused> {
    let unauthenticated = |detail: &str| Refused::new(ProblemCode::Unauthenticated, detail);
    let Some(state) = request.app_data::<Data<HttpState>>() else {
        return Err(Refused::new(
            ProblemCode::Internal,
            ProblemCode::Internal.help(),
        ));
    };
    let mut headers = request.headers().get_all(AUTHORIZATION);
    let (Some(header), None) = (headers.next(), headers.next()) else {
        return Err(unauthenticated(
            "Send one header `Authorization: Bearer <API key>`.",
        ));
    };
    let bearer = header.to_str().ok().and_then(|header| {
        let (scheme, key) = header.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    let Some(key) = bearer else {
        return Err(unauthenticated(
            "The Authorization header must read `Bearer <API key>`.",
        ));
    };
    let role = state.api_keys.role(key).await?;
    role.ok_or_else(|| unauthenticated("The API key is unknown, revoked or disabled."))
}
