//! Reading a request's body: JSON, bounded in size and time.

use actix_web::{
    HttpRequest,
    http::header::CONTENT_TYPE,
    web::{self, Bytes, BytesMut},
};
use futures_util::StreamExt;
use tokio::time::timeout;

use super::{HttpSettings, problem::Refused};
use crate::payment::ProblemCode;

/// The whole body of a request that says it is JSON. How long a client takes to send it is bounded
/// here, because actix-web does not.
pub(super) async fn json_body(
    request: &HttpRequest,
    payload: web::Payload,
    settings: &HttpSettings,
) -> Result<Bytes, Refused> {
    must_say_json(request)?;
    whole_body(request, payload, settings).await
}

/// The same of a request that may go without a body, whatever it then says of its type.
pub(super) async fn optional_json_body(
    request: &HttpRequest,
    payload: web::Payload,
    settings: &HttpSettings,
) -> Result<Option<Bytes>, Refused> {
    let body = whole_body(request, payload, settings).await?;
    if body.is_empty() {
        return Ok(None);
    }
    must_say_json(request)?;
    Ok(Some(body))
}

fn must_say_json(request: &HttpRequest) -> Result<(), Refused> {
    let content_type = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let media_type = content_type
        .and_then(|value| value.split(';').next())
        .unwrap_or_default();
    if media_type.trim().eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Refused::new(
        ProblemCode::UnsupportedMediaType,
        "The body must be sent as Content-Type: application/json.",
    ))
}

async fn whole_body(
    request: &HttpRequest,
    payload: web::Payload,
    settings: &HttpSettings,
) -> Result<Bytes, Refused> {
    let (bytes_max, arrives_within) = (settings.body_bytes_max, settings.body_timeout);
    let announced = request
        .headers()
        .get("content-length")
        .and_then(|value| value.to_str().ok());
    if announced
        .and_then(|length| length.parse().ok())
        .is_some_and(|bytes: u64| bytes > bytes_max as u64)
    {
        return Err(too_large(bytes_max));
    }
    match timeout(arrives_within, read(payload, bytes_max)).await {
        Ok(body) => body,
        Err(_elapsed) => Err(Refused::new(
            ProblemCode::MalformedRequest,
            format!(
                "The body did not arrive within {} ms.",
                arrives_within.as_millis()
            ),
        )),
    }
}

async fn read(mut payload: web::Payload, bytes_max: usize) -> Result<Bytes, Refused> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| {
            Refused::new(
                ProblemCode::MalformedRequest,
                format!("The body broke off: {error}."),
            )
        })?;
        if body.len() + chunk.len() > bytes_max {
            return Err(too_large(bytes_max));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

fn too_large(bytes_max: usize) -> Refused {
    Refused::new(
        ProblemCode::BodyTooLarge,
        format!("The body is limited to {bytes_max} bytes."),
    )
}
