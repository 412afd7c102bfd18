//! `GET /metrics`.

use actix_web::{HttpResponse, web};

use super::server::HttpState;

pub(super) async fn metrics(state: web::Data<HttpState>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/openmetrics-text; version=1.0.0; charset=utf-8")
        .body(state.metrics.encode())
}
