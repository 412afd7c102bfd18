//! What is counted of HTTP.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};

use crate::payment::ProblemCode;

/// What a request to move money may be answered with, beside a problem of some code.
const ANSWERS: [&str; 7] = [
    "created",
    "captured",
    "canceled",
    "refunded",
    "declined",
    "processing",
    "pending",
];

/// Requests and what they were answered.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    requests: Family<AnswerLabels, Counter>,
    duration: Family<RequestLabels, Histogram>,
    payment_answers: Family<CodeLabels, Counter>,
    connections_cut: Family<ReasonLabels, Counter>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct AnswerLabels {
    route: &'static str,
    method: &'static str,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    method: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CodeLabels {
    code: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

/// From what a hello takes to beyond the deadline of a payment.
fn request_buckets() -> Histogram {
    Histogram::new([
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0,
    ])
}

impl HttpMetrics {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            duration: Family::new_with_constructor(request_buckets),
            payment_answers: Family::default(),
            connections_cut: Family::default(),
        };
        let problems = ProblemCode::ALL.iter().map(|code| code.as_str());
        for code in ANSWERS.into_iter().chain(problems) {
            drop(metrics.payment_answers.get_or_create(&CodeLabels { code }));
        }
        registry.register(
            "http_requests",
            "HTTP requests answered",
            metrics.requests.clone(),
        );
        registry.register_with_unit(
            "http_request_duration",
            "Time from a request's head to its answer",
            Unit::Seconds,
            metrics.duration.clone(),
        );
        registry.register(
            "payment_answers",
            "Answers to requests that move money: created, captured, canceled, refunded, declined, \
             processing, pending, or the code of a problem",
            metrics.payment_answers.clone(),
        );
        registry.register(
            "http_connections_cut",
            "Connections ended because of their client, by reason: head (a request's head was too \
             slow), silent, unread (answers were not read), ahead (too many requests at once)",
            metrics.connections_cut.clone(),
        );
        metrics
    }

    /// Requests of `method` to `route` can come: their times are counted from 0 on.
    pub fn serves(&self, route: &'static str, method: &'static str) {
        drop(
            self.duration
                .get_or_create(&RequestLabels { route, method }),
        );
    }

    /// A request was answered (`oncepay_http_requests_total`,
    /// `oncepay_http_request_duration_seconds`). `route` is the pattern, never the path; a method that
    /// no route knows counts as `other`, so that a caller cannot make labels.
    pub fn answered(&self, route: &'static str, method: &str, status: u16, took: Duration) {
        const METHODS: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"];
        let method = METHODS
            .into_iter()
            .find(|known| *known == method)
            .unwrap_or("other");
        let answer = AnswerLabels {
            route,
            method,
            status,
        };
        self.requests.get_or_create(&answer).inc();
        self.duration
            .get_or_create(&RequestLabels { route, method })
            .observe(took.as_secs_f64());
    }

    /// A connection was cut (`oncepay_http_connections_cut_total`).
    pub fn connection_cut(&self, reason: &'static str) {
        self.connections_cut
            .get_or_create(&ReasonLabels { reason })
            .inc();
    }

    /// A request to move money was answered (`oncepay_payment_answers_total`): `created`, `captured`,
    /// `canceled`, `refunded`, `declined`, `processing`, `pending`, or with a problem of that code.
    pub fn payment_answered(&self, code: &'static str) {
        self.payment_answers
            .get_or_create(&CodeLabels { code })
            .inc();
    }
}
