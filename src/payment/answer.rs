//! The settled answer of an operation: rendered once, committed, and replayed byte for byte.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Operation, Payment, PaymentStatus, Problem, ProblemCode, Timestamp, payment::Failure};

/// Status, `Location` and body of a settled operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub location: Option<String>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The answer to the operation's client, now that its payment stands as it does.
    pub fn of(operation: &Operation, payment: &Payment) -> Self {
        let view = PaymentView::of(payment);
        let location = Some(view.path());
        match payment.status {
            PaymentStatus::Failed | PaymentStatus::Canceled => {
                let problem = refusal(payment, view, operation.request_id.to_string());
                Self {
                    status: problem.code.status(),
                    location,
                    body: json(&problem),
                }
            }
            _ => Self {
                status: 201,
                location,
                body: json(&view),
            },
        }
    }

    /// Whether the body is a problem rather than the thing that was asked for.
    pub fn is_problem(&self) -> bool {
        self.status >= 400
    }
}

fn refusal(payment: &Payment, view: PaymentView, request_id: String) -> Problem {
    let failure = payment.failure.as_ref();
    let expired =
        failure.is_some_and(|failure| failure.code == ProblemCode::PaymentExpired.as_str());
    let code = if expired {
        ProblemCode::PaymentExpired
    } else {
        ProblemCode::PaymentDeclined
    };
    let detail = failure.map_or("The payment was not made.", |failure| {
        failure.message.as_str()
    });
    Problem::new(code, detail)
        .with_instance(request_id)
        .with_payment(view)
}

/// None of our own types can fail to be written as JSON: no map of theirs has a key but text.
fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// A payment as the contract shows it, in the contract's order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PaymentView {
    id: String,
    object: &'static str,
    status: PaymentStatus,
    amount: i64,
    currency: &'static str,
    amount_captured: i64,
    amount_refunded: i64,
    capture: &'static str,
    payment_method: String,
    reference: Option<String>,
    description: Option<String>,
    metadata: BTreeMap<String, String>,
    provider: String,
    provider_reference: Option<String>,
    failure: Option<Failure>,
    idempotency_key: String,
    in_doubt_since: Option<Timestamp>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl PaymentView {
    pub fn of(payment: &Payment) -> Self {
        Self {
            id: payment.id.to_string(),
            object: "payment",
            status: payment.status,
            amount: payment.money.minor(),
            currency: payment.money.currency().code(),
            amount_captured: payment.amount_captured,
            amount_refunded: payment.amount_refunded,
            capture: payment.capture.as_str(),
            payment_method: payment.payment_method.clone(),
            reference: payment.reference.clone(),
            description: payment.description.clone(),
            metadata: payment.metadata.clone(),
            provider: payment.provider.clone(),
            provider_reference: payment.provider_reference.clone(),
            failure: payment.failure.clone(),
            idempotency_key: payment.idempotency_key.as_str().to_owned(),
            in_doubt_since: payment.in_doubt_since,
            created_at: payment.created_at,
            updated_at: payment.updated_at,
        }
    }

    /// The name of the provider that took the payment.
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// Where the payment is found.
    pub fn path(&self) -> String {
        format!("/payments/{}", self.id)
    }
}
