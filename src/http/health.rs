//! `GET /healthz` and `GET /readyz`.

use actix_web::{HttpResponse, web};
use serde_json::json;

use super::server::HttpState;

/// Alive: this process answers.
pub(super) async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "alive"}))
}

/// Ready to take traffic: the store answers, and the server is not stopping.
pub(super) async fn readyz(state: web::Data<HttpState>) -> HttpResponse {
    let reason = if state.stopping.is_cancelled() {
        "the server is stopping"
    } else if let Err(error) = state.store.ping().await {
        tracing::warn!(%error, "not ready");
        "the store does not answer"
    } else {
        return HttpResponse::Ok().json(json!({"status": "ready"}));
    };
    HttpResponse::ServiceUnavailable().json(json!({"status": "not_ready", "reason": reason}))
}
