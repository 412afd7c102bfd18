//! `GET /payments/{id}`.

use actix_web::{HttpResponse, http::header::CACHE_CONTROL, web};

use super::{auth::Caller, problem::Refused, server::HttpState};
use crate::payment::PaymentView;

pub(super) async fn get_payment(
    caller: Caller,
    id: web::Path<String>,
    state: web::Data<HttpState>,
) -> Result<HttpResponse, Refused> {
    // What cannot be an id names nothing.
    let id = id.parse().map_err(|_not_an_id| Refused::not_found())?;
    let payment = state
        .store
        .payment(caller.merchant_id, caller.mode, id)
        .await?;
    let payment = payment.ok_or_else(Refused::not_found)?;
    let view = PaymentView::of(&payment);
    Ok(HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(view))
}
