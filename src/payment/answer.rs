//! The settled answer of an operation: rendered once, committed, and replayed byte for byte.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    Currency, Failure, Operation, OperationKind, OperationState, Payment, PaymentStatus, Problem,
    ProblemCode, Timestamp,
};

/// Status, `Location` and body of a settled operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub location: Option<String>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The answer to the operation's client, now that the operation is settled and its payment
    /// stands as it does.
    pub fn of(operation: &Operation, payment: &Payment) -> Self {
        match operation.kind {
            OperationKind::Create => Self::of_creation(operation, payment),
            OperationKind::Capture | OperationKind::Cancel => match &operation.failure {
                Some(failure) => Self::refused(operation, payment, failure, None),
                None => Self {
                    status: 200,
                    location: None,
                    body: json(&PaymentView::of(payment)),
                },
            },
            OperationKind::Refund => {
                let refund = RefundView::of(operation);
                match &operation.failure {
                    Some(failure) => {
                        Self::refused(operation, payment, failure, Some(refund.path()))
                    }
                    None => Self {
                        status: 201,
                        location: Some(refund.path()),
                        body: json(&refund),
                    },
                }
            }
        }
    }

    fn of_creation(operation: &Operation, payment: &Payment) -> Self {
        let view = PaymentView::of(payment);
        let location = Some(view.path());
        match payment.status {
            PaymentStatus::Failed | PaymentStatus::Canceled => {
                let canceled = || Failure {
                    code: "canceled".into(),
                    message: "The payment was canceled before it was sent.".into(),
                };
                let failure = payment.failure.clone().unwrap_or_else(canceled);
                Self::refused(operation, payment, &failure, location)
            }
            _ => Self {
                status: 201,
                location,
                body: json(&view),
            },
        }
    }

    fn refused(
        operation: &Operation,
        payment: &Payment,
        failure: &Failure,
        location: Option<String>,
    ) -> Self {
        let code = if failure.code == ProblemCode::PaymentExpired.as_str() {
            ProblemCode::PaymentExpired
        } else {
            ProblemCode::PaymentDeclined
        };
        let problem = Problem::new(code, failure.message.as_str())
            .with_instance(operation.request_id.to_string())
            .with_payment(PaymentView::of(payment));
        Self {
            status: code.status(),
            location,
            body: json(&problem),
        }
    }

    /// Whether the body is a problem rather than the thing that was asked for.
    pub fn is_problem(&self) -> bool {
        self.status >= 400
    }
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
    currency: Currency,
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
            currency: payment.money.currency(),
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

/// A refund as the contract shows it, in the contract's order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefundView {
    id: String,
    object: &'static str,
    payment: String,
    amount: i64,
    status: &'static str,
    failure: Option<Failure>,
    created_at: Timestamp,
}

impl RefundView {
    /// The refund that `operation`, which is one, stands for.
    pub fn of(operation: &Operation) -> Self {
        let status = match (operation.state, &operation.failure) {
            (OperationState::Open, _) => "processing",
            (OperationState::Released, _) => "pending",
            (OperationState::Settled, None) => "succeeded",
            (OperationState::Settled, Some(_)) => "failed",
        };
        Self {
            id: operation.refund_id().to_string(),
            object: "refund",
            payment: operation.payment_id.to_string(),
            amount: operation.amount,
            status,
            failure: operation.failure.clone(),
            created_at: operation.created_at,
        }
    }

    /// Where the refund is found.
    pub fn path(&self) -> String {
        format!("/refunds/{}", self.id)
    }
}

/// What an operation is about, as its client sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Resource {
    Payment(Box<PaymentView>),
    Refund(RefundView),
}

impl Resource {
    pub fn of(operation: &Operation, payment: &Payment) -> Self {
        match operation.kind {
            OperationKind::Refund => Self::Refund(RefundView::of(operation)),
            _ => Self::Payment(Box::new(PaymentView::of(payment))),
        }
    }

    /// Where it is found.
    pub fn path(&self) -> String {
        match self {
            Self::Payment(payment) => payment.path(),
            Self::Refund(refund) => refund.path(),
        }
    }
}
