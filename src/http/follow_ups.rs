//! `POST /payments/{id}/capture`, `/cancel` and `/refunds`.

use actix_web::{HttpRequest, HttpResponse, web};

use super::{
    auth::Caller, body::optional_json_body, fields::Fields, operate::operate, problem::Refused,
    server::HttpState,
};
use crate::{
    actors::Request,
    payment::{FollowUp, Money, OperationKind},
};

pub(super) async fn capture_payment(
    http: HttpRequest,
    caller: Caller,
    id: web::Path<String>,
    payload: web::Payload,
    state: web::Data<HttpState>,
) -> Result<HttpResponse, Refused> {
    let request = request(&http, payload, &state, OperationKind::Capture, &id);
    operate(&http, caller, &state, "captured", request).await
}

pub(super) async fn cancel_payment(
    http: HttpRequest,
    caller: Caller,
    id: web::Path<String>,
    payload: web::Payload,
    state: web::Data<HttpState>,
) -> Result<HttpResponse, Refused> {
    let request = request(&http, payload, &state, OperationKind::Cancel, &id);
    operate(&http, caller, &state, "canceled", request).await
}

pub(super) async fn refund_payment(
    http: HttpRequest,
    caller: Caller,
    id: web::Path<String>,
    payload: web::Payload,
    state: web::Data<HttpState>,
) -> Result<HttpResponse, Refused> {
    let request = request(&http, payload, &state, OperationKind::Refund, &id);
    operate(&http, caller, &state, "refunded", request).await
}

async fn request(
    http: &HttpRequest,
    payload: web::Payload,
    state: &HttpState,
    kind: OperationKind,
    id: &str,
) -> Result<Request, Refused> {
    // What cannot be an id names nothing.
    let payment_id = id.parse().map_err(|_not_an_id| Refused::not_found())?;
    let body = optional_json_body(http, payload, &state.settings).await?;
    let amount = match body {
        Some(body) => amount(Fields::of_body(&body)?, kind)?,
        None => None,
    };
    Ok(Request::FollowUp(FollowUp {
        kind,
        payment_id,
        amount,
    }))
}

/// The amount that a body asks for, or everything that is wrong with it.
fn amount(mut fields: Fields, kind: OperationKind) -> Result<Option<i64>, Refused> {
    // A cancel is of the whole: an amount is as unknown to it as any other field.
    if kind == OperationKind::Cancel {
        return fields.finish(Some(None));
    }
    let amount = fields.optional_integer("amount");
    if let Some(Err(error)) = amount.map(Money::check_minor) {
        fields.error("amount", error.to_string());
    }
    fields.finish(Some(amount))
}
