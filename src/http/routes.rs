//! Every path and method that is served.

use actix_web::web::{self, ServiceConfig};

use super::{
    create_payment, events, get_payment, health, list_payments, metrics, problem, problem_pages,
};

pub(super) fn configure(service: &mut ServiceConfig) {
    service
        .service(
            web::resource("/payments")
                .route(web::post().to(create_payment::create_payment))
                .route(web::get().to(list_payments::list_payments))
                .default_service(web::to(|| problem::method_not_allowed("GET, POST"))),
        )
        .service(
            web::resource("/payments/{id}")
                .route(web::get().to(get_payment::get_payment))
                .default_service(web::to(|| problem::method_not_allowed("GET"))),
        )
        .service(
            web::resource("/payments/{id}/events")
                .route(web::get().to(events::list_events))
                .default_service(web::to(|| problem::method_not_allowed("GET"))),
        )
        .service(
            web::resource("/healthz")
                .route(web::get().to(health::healthz))
                .default_service(web::to(|| problem::method_not_allowed("GET"))),
        )
        .service(
            web::resource("/readyz")
                .route(web::get().to(health::readyz))
                .default_service(web::to(|| problem::method_not_allowed("GET"))),
        )
        .service(
            web::resource("/metrics")
                .route(web::get().to(metrics::metrics))
                .default_service(web::to(|| problem::method_not_allowed("GET"))),
        )
        .service(
            web::resource("/problems/{code}")
                .route(web::get().to(problem_pages::problem_page))
                .default_service(web::to(|| problem::method_not_allowed("GET"))),
        )
        .default_service(web::to(problem::not_found));
}
