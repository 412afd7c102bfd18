//! What every request gets: an id, a log line, a metric, and an answer even if its handler panics.

use std::panic::AssertUnwindSafe;

use actix_web::{
    HttpMessage, HttpRequest,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{HeaderName, HeaderValue},
    middleware::Next,
    web::Data,
};
use futures_util::FutureExt;
use tokio::time::Instant;
use tracing::{Instrument, error, info, info_span};

use super::{problem::Refused, routes, server::HttpState};
use crate::payment::{ProblemCode, RequestId};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of this request, as the middleware gave it.
pub(super) fn request_id(request: &HttpRequest) -> Option<RequestId> {
    request.extensions().get::<RequestId>().copied()
}

pub(super) async fn with_context(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let Some(state) = request.app_data::<Data<HttpState>>().cloned() else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    let id: RequestId = state.environment.new_id();
    request.extensions_mut().insert(id);
    let (method, started) = (request.method().clone(), Instant::now());
    let route = routes::name(request.match_pattern().as_deref());
    let http_request = request.request().clone();
    let span = info_span!("request", id = %id);

    let answered = AssertUnwindSafe(next.call(request))
        .catch_unwind()
        .instrument(span.clone());
    let response = match answered.await {
        Ok(Ok(response)) if response.response().error().is_none() => response.map_into_boxed_body(),
        Ok(Ok(response)) => {
            let (request, response) = response.into_parts();
            let refused = response.error().map(refused);
            match refused {
                Some(refused) => ServiceResponse::new(request, refused.response(id.to_string())),
                None => ServiceResponse::new(request, response).map_into_boxed_body(),
            }
        }
        Ok(Err(error)) => {
            ServiceResponse::new(http_request, refused(&error).response(id.to_string()))
        }
        Err(_panic) => {
            span.in_scope(|| error!("a handler panicked"));
            let refused = Refused::new(ProblemCode::Internal, ProblemCode::Internal.help());
            ServiceResponse::new(http_request, refused.response(id.to_string()))
        }
    };
    let mut response = response;
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let (status, took) = (response.status().as_u16(), started.elapsed());
    state
        .metrics
        .http
        .answered(route, method.as_str(), status, took);
    span.in_scope(|| {
        let ms = took.as_millis();
        info!(method = method.as_str(), route, status, ms, "answered");
    });
    Ok(response)
}

/// Our own refusal as it is, and anything that the framework refuses as the nearest of ours.
fn refused(error: &actix_web::Error) -> Refused {
    if let Some(refused) = error.as_error::<Refused>() {
        return refused.clone();
    }
    match error.as_response_error().status_code().as_u16() {
        404 => Refused::not_found(),
        400..=499 => Refused::new(ProblemCode::MalformedRequest, error.to_string()),
        _ => {
            error!(%error, "a request failed");
            Refused::new(ProblemCode::Internal, ProblemCode::Internal.help())
        }
    }
}
