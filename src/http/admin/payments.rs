//! `GET /admin/payments?in_doubt=true`: what waits for a provider's word, or a person's.

use actix_web::{HttpRequest, HttpResponse, http::header::CACHE_CONTROL, web};
use serde::Serialize;

use super::super::{auth::Admin, parameters::Parameters, problem::Refused, server::HttpState};
use crate::payment::{MerchantId, OperationId, PaymentView, Standing, Timestamp};

/// Doubts, the oldest first.
#[derive(Serialize)]
struct Doubts {
    data: Vec<Doubt>,
    has_more: bool,
}

#[derive(Serialize)]
struct Doubt {
    payment: PaymentView,
    operation: OperationInDoubt,
}

/// What an operator needs to know of an operation to find it at the provider.
#[derive(Serialize)]
struct OperationInDoubt {
    id: OperationId,
    merchant: MerchantId,
    mode: &'static str,
    kind: &'static str,
    amount: i64,
    provider: String,
    /// The idempotency key at the provider.
    provider_key: String,
    provider_reference: Option<String>,
    reason: Option<String>,
    in_doubt_since: Option<Timestamp>,
    recovery_tries: i32,
    next_recovery_at: Timestamp,
    resends_barred: bool,
}

impl From<Standing> for Doubt {
    fn from(standing: Standing) -> Self {
        let operation = standing.operation;
        Self {
            payment: PaymentView::of(&standing.payment),
            operation: OperationInDoubt {
                id: operation.id,
                merchant: operation.merchant_id,
                mode: operation.mode.as_str(),
                kind: operation.kind.as_str(),
                amount: operation.amount,
                provider: operation.route.provider,
                provider_key: operation.route.key,
                provider_reference: operation.provider_reference,
                reason: operation.in_doubt_reason,
                in_doubt_since: operation.in_doubt_since,
                recovery_tries: operation.recovery_tries,
                next_recovery_at: operation.next_recovery_at,
                resends_barred: operation.resends_barred,
            },
        }
    }
}

pub(in crate::http) async fn list_in_doubt(
    http: HttpRequest,
    _: Admin,
    state: web::Data<HttpState>,
) -> Result<HttpResponse, Refused> {
    let limit = limit(http.query_string())?;
    // One more than asked for tells whether there is more.
    let mut standings = state.store.in_doubt(limit + 1).await?;
    let asked = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = standings.len() > asked;
    standings.truncate(asked);
    let doubts = Doubts {
        data: standings.into_iter().map(Doubt::from).collect(),
        has_more,
    };
    Ok(HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(doubts))
}

/// How many doubts a query string asks for, or everything that is wrong with it.
fn limit(text: &str) -> Result<u32, Refused> {
    let mut given = Parameters::read(text);
    let limit = given.limit();
    given.required("in_doubt", |text| match text {
        "true" => Ok(()),
        _ => Err("must be `true`: other payments are a merchant's to list".to_owned()),
    });
    given.finish(Some(limit))
}
