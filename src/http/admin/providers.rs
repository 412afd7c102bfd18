//! `GET /admin/providers` and `GET /admin/providers/{name}`.

use actix_web::{HttpResponse, http::header::CACHE_CONTROL, web};
use serde::Serialize;

use super::{
    super::{auth::Admin, problem::Refused, server::HttpState},
    view::ProviderView,
};

#[derive(Serialize)]
struct Providers {
    data: Vec<ProviderView>,
}

pub(in crate::http) async fn list_providers(
    _: Admin,
    state: web::Data<HttpState>,
) -> Result<HttpResponse, Refused> {
    let snapshots = state.payments.providers().snapshots();
    let data = snapshots.iter().map(ProviderView::of).collect();
    Ok(HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(Providers { data }))
}

pub(in crate::http) async fn get_provider(
    _: Admin,
    name: web::Path<String>,
    state: web::Data<HttpState>,
) -> Result<HttpResponse, Refused> {
    let snapshot = state.payments.providers().snapshot(&name);
    let snapshot = snapshot.ok_or_else(Refused::not_found)?;
    Ok(HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(ProviderView::of(&snapshot)))
}
