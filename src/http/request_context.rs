//! What every request gets: an id, a log line, a metric, and an answer even if its handler panics.

use std::panic::AssertUnwindSafe;

use actix_web::{
    HttpMessage, HttpRequest, HttpResponse,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    error::InternalError,
    http::header::{HeaderName, HeaderValue},
    middleware::Next,
    web::Data,
};
use futures_util::FutureExt;
use tokio::time::Instant;
use tracing::{Instrument, error, info, info_span};

use super::{connection::Requests, problem::Refused, routes, server::HttpState};
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
    let _running = request.conn_data().map(Requests::begin);
    let (method, started) = (request.method().clone(), Instant::now());
    let route = routes::name(request.match_pattern().as_deref());
    let span = info_span!("request", id = %id);

    // The request itself must go on unshared: the framework routes only what it holds alone.
    let answered = AssertUnwindSafe(next.call(request))
        .catch_unwind()
        .instrument(span.clone());
    let answered = answered.await.unwrap_or_else(|_panic| {
        span.in_scope(|| error!("a handler panicked"));
        Err(Refused::new(ProblemCode::Internal, ProblemCode::Internal.help()).into())
    });
    let answered = match answered {
        Ok(response) => {
            let refusal = response.response().error().map(refused);
            let response = response.map_into_boxed_body();
            Ok(match refusal {
                Some(refused) => {
                    response.into_response(identified(rendered(refused, id, &state), id))
                }
                None => response.map_body(|head, body| {
                    head.headers_mut().insert(REQUEST_ID, header_value(id));
                    body
                }),
            })
        }
        Err(error) => Err(identified(rendered(refused(&error), id, &state), id)),
    };
    let status = match &answered {
        Ok(response) => response.status().as_u16(),
        Err(response) => response.status().as_u16(),
    };
    let took = started.elapsed();
    state
        .metrics
        .http
        .answered(route, method.as_str(), status, took);
    span.in_scope(|| {
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        info!(method = method.as_str(), route, status, ms, "answered");
    });
    answered.map_err(|response| InternalError::from_response("refused", response).into())
}

fn rendered(refused: Refused, id: RequestId, state: &HttpState) -> HttpResponse {
    let seconds = refused
        .comes_again()
        .map(|comes_again| state.retry_after_s(comes_again));
    refused.response(id, seconds)
}

fn identified(mut response: HttpResponse, id: RequestId) -> HttpResponse {
    response.headers_mut().insert(REQUEST_ID, header_value(id));
    response
}

/// An id consists of letters, digits and an underscore.
fn header_value(id: RequestId) -> HeaderValue {
    HeaderValue::from_str(&id.to_string()).unwrap_or(HeaderValue::from_static("req_unknown"))
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
