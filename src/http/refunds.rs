//! `GET /payments/{id}/refunds` and `GET /refunds/{id}`.

use actix_web::{HttpResponse, http::header::CACHE_CONTROL, web};
use serde::Serialize;

use super::{auth::Caller, problem::Refused, server::HttpState};
use crate::payment::{OperationId, OperationKind, RefundId, RefundView};

/// The refunds of one payment, newest first.
#[derive(Serialize)]
struct Refunds {
    data: Vec<RefundView>,
    has_more: bool,
}

/// So many refunds of a payment are listed, the newest ones. With as many, there may be more.
const LISTED_MAX: usize = 100;

pub(super) async fn list_refunds(
    caller: Caller,
    id: web::Path<String>,
    state: web::Data<HttpState>,
) -> Result<HttpResponse, Refused> {
    let id = id.parse().map_err(|_not_an_id| Refused::not_found())?;
    let refunds = state
        .store
        .refunds(caller.merchant_id, caller.mode, id)
        .await?;
    let refunds = refunds.ok_or_else(Refused::not_found)?;
    let refunds = Refunds {
        has_more: refunds.len() >= LISTED_MAX,
        data: refunds.iter().map(RefundView::of).collect(),
    };
    Ok(HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(refunds))
}

pub(super) async fn get_refund(
    caller: Caller,
    id: web::Path<String>,
    state: web::Data<HttpState>,
) -> Result<HttpResponse, Refused> {
    let id: RefundId = id.parse().map_err(|_not_an_id| Refused::not_found())?;
    let id = OperationId::from_uuid(id.as_uuid());
    let found = state.store.operation_by_id(id).await?;
    let operation = found.map(|standing| standing.operation);
    let refund = operation.filter(|operation| {
        let owner = (operation.merchant_id, operation.mode);
        operation.kind == OperationKind::Refund && owner == (caller.merchant_id, caller.mode)
    });
    let refund = RefundView::of(&refund.ok_or_else(Refused::not_found)?);
    Ok(HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(refund))
}
