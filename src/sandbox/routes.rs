//! From an HTTP request to whoever answers it, and back to an HTTP response.

use std::sync::Arc;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response};

use super::answer::{Answer, Refusal};
use super::calls::{Call, Endpoint};
use super::control;
use super::form::Form;
use super::provider::{self, Cut, Reply};
use super::world::World;

/// Larger than any request that the protocol knows.
const BODY_BYTES_MAX: usize = 256 * 1_024;
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// The main port: the provider's API, and the sandbox's own side under `/sandbox`.
pub(super) async fn main(
    world: &Arc<World>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Cut> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    if control::is_own_side(path) {
        return Ok(own_side(world, &parts, body).await);
    }
    let body = match read(body).await {
        Ok(body) => body,
        Err(refusal) => return Ok(response(&refused(world, &refusal))),
    };
    let Some(endpoint) = Endpoint::find(&parts.method, path) else {
        let refusal = Refusal::unknown_url(parts.method.as_str(), path);
        return Ok(response(&refused(world, &refusal)));
    };
    let encoded = if endpoint.moves_money() {
        &body
    } else {
        query(&parts)
    };
    let key = if endpoint.moves_money() {
        header(&parts, &IDEMPOTENCY_KEY)
    } else {
        None
    };
    let call = Call {
        form: Form::parse(encoded),
        path: path.into(),
        secret: header(&parts, &AUTHORIZATION)
            .and_then(bearer)
            .map(Into::into),
        key: key.filter(|key| !key.is_empty()).map(Into::into),
        endpoint,
    };
    provider::respond(world, call)
        .await
        .map(|reply| response(&reply))
}

/// The control port: the sandbox's own side alone.
pub(super) async fn control(
    world: &Arc<World>,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    own_side(world, &parts, body).await
}

async fn own_side(world: &Arc<World>, parts: &Parts, body: Incoming) -> Response<Full<Bytes>> {
    let answer = match read(body).await {
        Ok(body) => {
            let (method, path): (&Method, &str) = (&parts.method, parts.uri.path());
            control::respond(world, method, path, query(parts), &body).await
        }
        Err(refusal) => refusal.answer(),
    };
    response(&Reply {
        answer,
        request_id: provider::request_id(world),
    })
}

fn refused(world: &World, refusal: &Refusal) -> Reply {
    Reply {
        answer: refusal.answer(),
        request_id: provider::request_id(world),
    }
}

async fn read(body: Incoming) -> Result<Bytes, Refusal> {
    match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) => {
            tracing::debug!(%error, "the sandbox could not read a body");
            Err(Refusal::body_too_large())
        }
    }
}

fn query(parts: &Parts) -> &[u8] {
    parts.uri.query().unwrap_or_default().as_bytes()
}

fn header<'a>(parts: &'a Parts, name: &HeaderName) -> Option<&'a str> {
    parts.headers.get(name)?.to_str().ok()
}

fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, secret) = authorization.split_once(' ')?;
    let secret = secret.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !secret.is_empty()).then_some(secret)
}

fn response(reply: &Reply) -> Response<Full<Bytes>> {
    let Answer {
        status,
        body,
        replayed,
    } = &reply.answer;
    let mut response = Response::new(Full::new(body.clone()));
    *response.status_mut() = *status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(request_id) = HeaderValue::from_str(&reply.request_id) {
        headers.insert(REQUEST_ID, request_id);
    }
    if *replayed {
        headers.insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    response
}
