//! `GET /metrics`.

use actix_web::{HttpResponse, web};

use super::server::HttpState;
use crate::telemetry::Metrics;

pub(super) async fn metrics(state: web::Data<HttpState>) -> HttpResponse {
    state.payments.observe();
    HttpResponse::Ok()
        .content_type(Metrics::CONTENT_TYPE)
        .body(state.metrics.encode())
}
