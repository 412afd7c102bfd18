//! `GET /payments`.

use actix_web::{HttpRequest, HttpResponse, http::header::CACHE_CONTROL, web};
use serde::Serialize;

use super::{auth::Caller, parameters::Parameters, problem::Refused, server::HttpState};
use crate::{
    payment::{Currency, IdempotencyKey, PaymentStatus, PaymentView, Timestamp},
    store::{Cursor, PaymentQuery},
};

#[derive(Serialize)]
struct Page {
    data: Vec<PaymentView>,
    has_more: bool,
}

pub(super) async fn list_payments(
    http: HttpRequest,
    caller: Caller,
    state: web::Data<HttpState>,
) -> Result<HttpResponse, Refused> {
    let query = query(http.query_string(), caller)?;
    let page = state.store.payments(&query).await?;
    let data = page.payments.iter().map(PaymentView::of).collect();
    let page = Page {
        data,
        has_more: page.has_more,
    };
    Ok(HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(page))
}

/// The query that a query string asks for, or everything that is wrong with it.
fn query(text: &str, caller: Caller) -> Result<PaymentQuery, Refused> {
    let mut given = Parameters::read(text);
    let limit = given.limit();
    let after = given.take("starting_after", |id| {
        id.parse().map_err(|error| format!("{error}"))
    });
    let before = given.take("ending_before", |id| {
        id.parse().map_err(|error| format!("{error}"))
    });
    if after.is_some() && before.is_some() {
        given.error(
            "ending_before",
            "cannot be used together with starting_after",
        );
    }
    let cursor = after
        .map(Cursor::StartingAfter)
        .or(before.map(Cursor::EndingBefore));
    let query = PaymentQuery {
        merchant_id: caller.merchant_id,
        mode: caller.mode,
        limit,
        cursor,
        status: given.take("status", |text| {
            let names = PaymentStatus::ALL.map(PaymentStatus::as_str).join(", ");
            text.parse().map_err(|()| format!("must be one of {names}"))
        }),
        currency: given.take("currency", |code| {
            Currency::from_record(code).map_err(|error| error.to_string())
        }),
        reference: given.take("reference", |text| Ok(text.to_owned())),
        idempotency_key: given.take("idempotency_key", |key| {
            IdempotencyKey::new(key).map_err(|error| error.to_string())
        }),
        created_from: given.take("created_from", time),
        created_to: given.take("created_to", time),
    };
    given.finish(Some(query))
}

fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse_rfc3339(text)
        .ok_or_else(|| "must be an RFC 3339 time, such as 2026-01-31T12:00:00Z".to_owned())
}
