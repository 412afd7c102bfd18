//! Problems as HTTP answers, and what each refusal of the floors below means to a client.

use std::fmt;

use actix_web::{
    HttpResponse, ResponseError,
    http::{
        StatusCode,
        header::{ALLOW, CACHE_CONTROL, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE},
    },
};
use tracing::error;

use crate::{
    actors::Refusal,
    payment::{
        FieldError, Inadmissible, OperationKind, Payment, PaymentStatus, PaymentView, Problem,
        ProblemCode, RequestId,
    },
    store::ReadError,
};

/// An answer that is a problem. Handlers give it back as their error.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    problem: Box<Problem>,
    comes_again: Option<ComesAgain>,
    allow: Option<&'static str>,
}

impl Refused {
    pub(super) fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self {
            problem: Box::new(Problem::new(code, detail)),
            comes_again: None,
            allow: None,
        }
    }

    /// One or more fields are not as they should be.
    pub(super) fn fields(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [one] => format!("{} {}", one.pointer, one.detail),
            several => format!("{} fields are not as they should be.", several.len()),
        };
        let problem = Problem::new(ProblemCode::ValidationFailed, detail).with_errors(errors);
        Self {
            problem: Box::new(problem),
            comes_again: None,
            allow: None,
        }
    }

    pub(super) fn not_found() -> Self {
        Self::new(ProblemCode::NotFound, ProblemCode::NotFound.help())
    }

    /// Certainly nothing was done at the provider, and the key waits for the client.
    pub(super) fn pending(payment: PaymentView) -> Self {
        let detail = "The provider was not reached, and nothing was done there. Repeat with the \
                      same key.";
        let refused = Self::new(ProblemCode::ProviderUnavailable, detail);
        Self {
            problem: Box::new(refused.problem.with_payment(payment)),
            ..refused
        }
    }

    /// The payment does not allow what was asked for; nothing was recorded.
    fn inadmissible(inadmissible: Inadmissible) -> Self {
        let (code, detail, payment) = match inadmissible {
            Inadmissible::NoSuchPayment => return Self::not_found(),
            Inadmissible::InProgress { open, payment } => {
                let detail = format!(
                    "Another operation of the payment, {}, is in progress. Wait for it, then \
                     repeat with the same key.",
                    with_article(open)
                );
                (ProblemCode::OperationInProgress, detail, payment)
            }
            Inadmissible::IllegalState { kind, payment } => {
                let detail = format!("The payment is {}; {}.", payment.status, needed(kind));
                (ProblemCode::IllegalState, detail, payment)
            }
            Inadmissible::AmountExceeds {
                asked,
                available,
                payment,
            } => return Self::exceeds(asked, available, &payment),
        };
        let refused = Self::new(code, detail);
        let refused = Self {
            problem: Box::new(refused.problem.with_payment(PaymentView::of(&payment))),
            ..refused
        };
        match code {
            ProblemCode::OperationInProgress => refused.retry_after(1),
            _ => refused,
        }
    }

    fn exceeds(asked: i64, available: i64, payment: &Payment) -> Self {
        // Only what is authorized is captured, and only what is captured is refunded.
        let done = match payment.status {
            PaymentStatus::Authorized => "captured",
            _ => "refunded",
        };
        let (detail, limit) = match available {
            ..=0 => (
                format!("Nothing is left to be {done}."),
                format!("exceeds what is left to be {done}, which is nothing"),
            ),
            _ => (
                format!("{asked} was asked for, and {available} can still be {done}."),
                format!("must be at most {available}, which can still be {done}"),
            ),
        };
        let error = FieldError {
            pointer: "/amount".to_owned(),
            detail: limit,
        };
        let refused = Self::new(ProblemCode::AmountExceedsAvailable, detail);
        let problem = refused.problem.with_errors(vec![error]);
        Self {
            problem: Box::new(problem.with_payment(PaymentView::of(payment))),
            ..refused
        }
    }

    /// The client may come again after so many seconds; each is told a time between that and its
    /// double, so that they do not come all at once.
    #[must_use]
    pub(super) fn retry_after(self, seconds: u32) -> Self {
        Self {
            comes_again: Some(ComesAgain::After(seconds)),
            ..self
        }
    }

    /// The client may come again when the load is less.
    #[must_use]
    fn retry_by_the_load(self) -> Self {
        Self {
            comes_again: Some(ComesAgain::ByTheLoad),
            ..self
        }
    }

    pub(super) fn comes_again(&self) -> Option<ComesAgain> {
        self.comes_again
    }

    pub(super) fn code(&self) -> ProblemCode {
        self.problem.code
    }

    /// The answer, with the request's id as the problem's instance.
    pub(super) fn response(
        self,
        request_id: RequestId,
        retry_after_s: Option<u32>,
    ) -> HttpResponse {
        let location = self.problem.payment.as_ref().map(PaymentView::path);
        let problem = self.problem.with_instance(request_id.to_string());
        let mut response = HttpResponse::build(status(problem.code.status()));
        response
            .content_type(PROBLEM_JSON)
            .insert_header((CACHE_CONTROL, "no-store"));
        if problem.code == ProblemCode::Unauthenticated {
            response.insert_header((WWW_AUTHENTICATE, "Bearer realm=\"oncepay\""));
        }
        if let Some(allow) = self.allow {
            response.insert_header((ALLOW, allow));
        }
        if let Some(seconds) = retry_after_s {
            response.insert_header((RETRY_AFTER, seconds));
        }
        if let Some(location) = location {
            response.insert_header((LOCATION, location));
        }
        // A problem consists of texts, which can always be written as JSON.
        response.body(serde_json::to_vec(&problem).unwrap_or_default())
    }
}

fn with_article(open: OperationKind) -> &'static str {
    match open {
        OperationKind::Create => "its creation",
        OperationKind::Capture => "a capture",
        OperationKind::Cancel => "a cancel",
        OperationKind::Refund => "a refund",
    }
}

/// Which payments such an operation takes.
fn needed(kind: OperationKind) -> &'static str {
    match kind {
        OperationKind::Create => "it is created already",
        OperationKind::Capture => "only one that is authorized can be captured",
        OperationKind::Cancel => "only one that is authorized or pending can be canceled",
        OperationKind::Refund => "only one that is succeeded can be refunded",
    }
}

/// When a client that is refused may come again, before chance has its say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ComesAgain {
    After(u32),
    ByTheLoad,
}

pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// A status code that our own tables name; they hold none that HTTP does not know.
pub(super) fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.problem.code.as_str())
    }
}

/// The request's id is added by the middleware, which alone knows it.
impl ResponseError for Refused {
    fn status_code(&self) -> StatusCode {
        status(self.problem.code.status())
    }
}

impl From<ReadError> for Refused {
    fn from(error: ReadError) -> Self {
        tracing::warn!(%error, "a read failed");
        Self::new(
            ProblemCode::StoreUnavailable,
            ProblemCode::StoreUnavailable.help(),
        )
        .retry_after(1)
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::KeyReused => Self::new(
                ProblemCode::IdempotencyKeyReused,
                ProblemCode::IdempotencyKeyReused.help(),
            ),
            Refusal::Inadmissible(inadmissible) => Self::inadmissible(*inadmissible),
            Refusal::Overloaded => {
                Self::new(ProblemCode::Overloaded, ProblemCode::Overloaded.help())
                    .retry_by_the_load()
            }
            Refusal::NoProvider(mode) => Self::new(
                ProblemCode::Forbidden,
                format!("No provider of this installation takes {mode} payments."),
            ),
            Refusal::StoreUnavailable => Self::new(
                ProblemCode::StoreUnavailable,
                ProblemCode::StoreUnavailable.help(),
            )
            .retry_after(1),
            Refusal::OutcomeUnknown => Self::new(
                ProblemCode::OutcomeUnknown,
                ProblemCode::OutcomeUnknown.help(),
            )
            .retry_after(1),
            Refusal::Internal => {
                error!("a request met a defect");
                Self::new(ProblemCode::Internal, ProblemCode::Internal.help())
            }
        }
    }
}

pub(super) async fn method_not_allowed(allow: &'static str) -> Result<HttpResponse, Refused> {
    let detail = format!("This path serves {allow}.");
    let refused = Refused::new(ProblemCode::MethodNotAllowed, detail);
    Err(Refused {
        allow: Some(allow),
        ..refused
    })
}

pub(super) async fn not_found() -> Result<HttpResponse, Refused> {
    Err(Refused::new(ProblemCode::NotFound, "No such path."))
}
