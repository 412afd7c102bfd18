//! Every path and method that is served: one table.

use actix_web::{
    Route,
    web::{self, ServiceConfig},
};

use super::{
    admin, create_payment, events, follow_ups, get_payment, health, list_payments, metrics,
    problem, problem_pages, refunds,
};

/// A path, the methods it serves as the `Allow` header names them, and their handlers.
struct Path {
    pattern: &'static str,
    allow: &'static str,
    routes: fn() -> Vec<Route>,
}

const PATHS: &[Path] = &[
    Path {
        pattern: "/payments",
        allow: "GET, POST",
        routes: || {
            vec![
                web::post().to(create_payment::create_payment),
                web::get().to(list_payments::list_payments),
            ]
        },
    },
    Path {
        pattern: "/payments/{id}",
        allow: "GET",
        routes: || vec![web::get().to(get_payment::get_payment)],
    },
    Path {
        pattern: "/payments/{id}/events",
        allow: "GET",
        routes: || vec![web::get().to(events::list_events)],
    },
    Path {
        pattern: "/payments/{id}/capture",
        allow: "POST",
        routes: || vec![web::post().to(follow_ups::capture_payment)],
    },
    Path {
        pattern: "/payments/{id}/cancel",
        allow: "POST",
        routes: || vec![web::post().to(follow_ups::cancel_payment)],
    },
    Path {
        pattern: "/payments/{id}/refunds",
        allow: "GET, POST",
        routes: || {
            vec![
                web::post().to(follow_ups::refund_payment),
                web::get().to(refunds::list_refunds),
            ]
        },
    },
    Path {
        pattern: "/refunds/{id}",
        allow: "GET",
        routes: || vec![web::get().to(refunds::get_refund)],
    },
    Path {
        pattern: "/admin/payments",
        allow: "GET",
        routes: || vec![web::get().to(admin::payments::list_in_doubt)],
    },
    Path {
        pattern: "/admin/payments/{id}/resolve",
        allow: "POST",
        routes: || vec![web::post().to(admin::resolve_payment::resolve_payment)],
    },
    Path {
        pattern: "/admin/providers",
        allow: "GET",
        routes: || vec![web::get().to(admin::providers::list_providers)],
    },
    Path {
        pattern: "/admin/providers/{name}",
        allow: "GET",
        routes: || vec![web::get().to(admin::providers::get_provider)],
    },
    Path {
        pattern: "/admin/providers/{name}/breaker",
        allow: "PUT",
        routes: || vec![web::put().to(admin::set_breaker::set_breaker)],
    },
    Path {
        pattern: "/admin/events",
        allow: "GET",
        routes: || vec![web::get().to(admin::events::stream_events)],
    },
    Path {
        pattern: "/healthz",
        allow: "GET",
        routes: || vec![web::get().to(health::healthz)],
    },
    Path {
        pattern: "/readyz",
        allow: "GET",
        routes: || vec![web::get().to(health::readyz)],
    },
    Path {
        pattern: "/metrics",
        allow: "GET",
        routes: || vec![web::get().to(metrics::metrics)],
    },
    Path {
        pattern: "/problems/{code}",
        allow: "GET",
        routes: || vec![web::get().to(problem_pages::problem_page)],
    },
];

pub(super) fn configure(service: &mut ServiceConfig) {
    for path in PATHS {
        let allow = path.allow;
        let resource = (path.routes)().into_iter().fold(
            web::resource(path.pattern)
                .default_service(web::to(move || problem::method_not_allowed(allow))),
            |resource, route| resource.route(route),
        );
        service.service(resource);
    }
    service.default_service(web::to(problem::not_found));
}

/// Every path and method that is served.
pub(super) fn served() -> impl Iterator<Item = (&'static str, &'static str)> {
    PATHS.iter().flat_map(|path| {
        let methods = path.allow.split(", ");
        methods.map(|method| (path.pattern, method))
    })
}

/// The name of a matched path in logs and metrics, so that no path of a client's becomes a label.
pub(super) fn name(matched: Option<&str>) -> &'static str {
    PATHS
        .iter()
        .find(|path| Some(path.pattern) == matched)
        .map_or("unknown", |path| path.pattern)
}
