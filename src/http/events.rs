//! `GET /payments/{id}/events`.

use actix_web::{HttpResponse, http::header::CACHE_CONTROL, web};
use serde::Serialize;

use super::{auth::Caller, problem::Refused, server::HttpState};
use crate::payment::RecordedEvent;

/// A payment's whole history: it has a handful of events in all its life.
#[derive(Serialize)]
struct Events {
    data: Vec<RecordedEvent>,
    has_more: bool,
}

pub(super) async fn list_events(
    caller: Caller,
    id: web::Path<String>,
    state: web::Data<HttpState>,
) -> Result<HttpResponse, Refused> {
    let id = id.parse().map_err(|_not_an_id| Refused::not_found())?;
    let events = state
        .store
        .events(caller.merchant_id, caller.mode, id)
        .await?;
    let data = events.ok_or_else(Refused::not_found)?;
    let events = Events {
        data,
        has_more: false,
    };
    Ok(HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(events))
}
