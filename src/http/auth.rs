//! Who calls: what the API key of a request opens.

use std::{future::Future, pin::Pin};

use actix_web::{FromRequest, HttpRequest, dev::Payload, http::header::AUTHORIZATION, web::Data};

use super::{problem::Refused, server::HttpState};
use crate::payment::{ApiKeyRole, MerchantId, Mode, ProblemCode};

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
