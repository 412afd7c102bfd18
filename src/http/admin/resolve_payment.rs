//! `POST /admin/payments/{id}/resolve`: an operator's verdict on what is in doubt.

use actix_web::{HttpRequest, HttpResponse, http::header::CACHE_CONTROL, web};

use super::super::{
    auth::Admin, body::json_body, fields::Fields, problem::Refused, server::HttpState,
};
use crate::{
    actors::{Resolution, ResolveRefusal, Resolver},
    payment::{FieldError, OperationId, PaymentView, ProblemCode},
};

/// Bounds of the texts, in characters.
const REFERENCE_MAX: usize = 255;
const BY_MAX: usize = 255;
const WHY_MAX: usize = 1_000;
const ID_MAX: usize = 64;

/// Answers after the time that one attempt may take, when none can be under way any more.
pub(in crate::http) async fn resolve_payment(
    http: HttpRequest,
    _: Admin,
    id: web::Path<String>,
    payload: web::Payload,
    state: web::Data<HttpState>,
) -> Result<HttpResponse, Refused> {
    let id = id.parse().map_err(|_not_an_id| Refused::not_found())?;
    let body = json_body(&http, payload, &state.settings).await?;
    let request = request(&body)?;
    let resolved =
        (state.payments).resolve(id, request.operation, request.resolution, request.resolver);
    let view = PaymentView::of(&resolved.await?);
    Ok(HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(view))
}

struct ResolveRequest {
    resolution: Resolution,
    resolver: Resolver,
    operation: Option<OperationId>,
}

/// The verdict that a body holds, or everything that is wrong with it.
fn request(body: &[u8]) -> Result<ResolveRequest, Refused> {
    let mut fields = Fields::of_body(body)?;
    let resolution = resolution(&mut fields);
    let by = fields.required_text("by", BY_MAX);
    let why = fields.required_text("why", WHY_MAX);
    let operation = fields.optional_text("operation", ID_MAX).and_then(|id| {
        id.parse()
            .map_err(|error| fields.error("operation", format!("{error}")))
            .ok()
    });
    let resolver = by.zip(why).map(|(by, why)| Resolver { by, why });
    let request = resolution
        .zip(resolver)
        .map(|(resolution, resolver)| ResolveRequest {
            resolution,
            resolver,
            operation,
        });
    fields.finish(request)
}

fn resolution(fields: &mut Fields) -> Option<Resolution> {
    match fields.required_text("verdict", 32)?.as_str() {
        "succeeded" => {
            let reference = fields.required_text("provider_reference", REFERENCE_MAX)?;
            Some(Resolution::Succeeded { reference })
        }
        "failed" => {
            let reference = fields.optional_text("provider_reference", REFERENCE_MAX);
            if reference.is_some() {
                let detail = "must be left out: what failed left nothing at the provider";
                fields.error("provider_reference", detail);
            }
            Some(Resolution::Failed)
        }
        _ => {
            fields.error("verdict", "must be `succeeded` or `failed`");
            None
        }
    }
}

impl From<ResolveRefusal> for Refused {
    fn from(refusal: ResolveRefusal) -> Self {
        match refusal {
            ResolveRefusal::NotInDoubt => Self::new(
                ProblemCode::IllegalState,
                "No operation of this payment is in doubt, or there is no such payment.",
            ),
            ResolveRefusal::SeveralInDoubt(ids) => {
                let ids: Vec<String> = ids.iter().map(OperationId::to_string).collect();
                Self::fields(vec![FieldError {
                    pointer: "/operation".to_owned(),
                    detail: format!("must name one of those in doubt: {}", ids.join(", ")),
                }])
            }
            ResolveRefusal::Busy => Self::new(
                ProblemCode::OperationInProgress,
                "Another driver has the operation just now. Look at the payment, and try again.",
            )
            .retry_after(1),
            ResolveRefusal::Contradicted(said) => Self::new(
                ProblemCode::IllegalState,
                format!("The provider says otherwise: {said}. If that is final, it stands now."),
            ),
            ResolveRefusal::Unanswered(why) => Self::new(
                ProblemCode::OutcomeUnknown,
                format!(
                    "The provider did not tell: {why}. Nothing more is sent for the operation, and \
                     it stays in doubt: try again."
                ),
            )
            .retry_after(1),
            ResolveRefusal::NoProvider => Self::new(
                ProblemCode::IllegalState,
                "The provider of the operation, or its account, is not configured here, so that \
                 nobody can be asked.",
            ),
            ResolveRefusal::Store => Self::new(
                ProblemCode::StoreUnavailable,
                "The database was not reached. Whether the verdict was taken is seen in the \
                 payment's events: look there, and try again.",
            )
            .retry_after(1),
            ResolveRefusal::Lost => {
                tracing::error!("a verdict met a defect");
                Self::new(ProblemCode::Internal, ProblemCode::Internal.help())
            }
        }
    }
}
