//! `PUT /admin/providers/{name}/breaker`.

use actix_web::{HttpRequest, HttpResponse, http::header::CACHE_CONTROL, web};
use tracing::warn;

use super::{
    super::{
        auth::Admin, body::json_body, fields::Fields, problem::Refused,
        request_context::request_id, server::HttpState,
    },
    view::ProviderView,
};
use crate::resilience::OperatorSwitch;

/// Longer than any name of a state.
const STATE_MAX: usize = 32;

/// Sets a provider's breaker, and shows the provider as it stands then. Setting what is set already
/// changes nothing.
pub(in crate::http) async fn set_breaker(
    _: Admin,
    http: HttpRequest,
    name: web::Path<String>,
    payload: web::Payload,
    state: web::Data<HttpState>,
) -> Result<HttpResponse, Refused> {
    let body = json_body(&http, payload, &state.settings).await?;
    let switch = switch(&body)?;
    let snapshot = state.payments.providers().set_breaker(&name, switch);
    let snapshot = snapshot.ok_or_else(Refused::not_found)?;
    let request = request_id(&http).map(|id| id.to_string());
    let (provider, breaker) = (snapshot.name.as_str(), snapshot.state.as_str());
    warn!(provider, breaker, request, "an operator set the breaker");
    Ok(HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(ProviderView::of(&snapshot)))
}

fn switch(body: &[u8]) -> Result<OperatorSwitch, Refused> {
    let mut fields = Fields::of_body(body)?;
    let state = fields.required_text("state", STATE_MAX);
    let switch = state.and_then(|state| match state.as_str() {
        "forced_open" => Some(OperatorSwitch::ForceOpen),
        "disabled" => Some(OperatorSwitch::Disable),
        "metrics_only" => Some(OperatorSwitch::MetricsOnly),
        "auto" => Some(OperatorSwitch::Auto),
        _ => {
            fields.error(
                "state",
                "must be `forced_open`, `disabled`, `metrics_only` or `auto`",
            );
            None
        }
    });
    fields.finish(switch)
}
