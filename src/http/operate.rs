//! What every request that moves money has in common: its key, its way through the actors, and its
//! answers. Start reading at [`operate`].

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{CACHE_CONTROL, LOCATION, RETRY_AFTER},
};

use super::{
    auth::Caller,
    idempotency_key, prefer,
    problem::{ComesAgain, PROBLEM_JSON, Refused, status},
    request_context::request_id,
    server::HttpState,
};
use crate::{
    actors::{Order, Reply, Request},
    payment::{Answer, Resource, Scope},
};

/// Has the actors carry out what `request` reads, and answers how it went. In the metrics, success
/// counts as `done`.
pub(super) async fn operate(
    http: &HttpRequest,
    caller: Caller,
    state: &HttpState,
    done: &'static str,
    request: impl Future<Output = Result<Request, Refused>>,
) -> Result<HttpResponse, Refused> {
    let reply = reply(http, caller, state, request).await;
    let code = match &reply {
        Ok(Reply::Settled { answer, .. }) if answer.is_problem() => "declined",
        Ok(Reply::Settled { .. }) => done,
        Ok(Reply::Processing(_)) => "processing",
        Ok(Reply::Pending(_)) => "pending",
        Err(refused) => refused.code().as_str(),
    };
    state.metrics.http.payment_answered(code);
    match reply? {
        Reply::Settled { answer, replayed } => Ok(settled(answer, replayed)),
        Reply::Processing(resource) => {
            let retry_after_s = state.retry_after_s(ComesAgain::After(1));
            Ok(processing(&resource, retry_after_s))
        }
        Reply::Pending(payment) => {
            let wait = state.payments.providers().retry_after(payment.provider());
            let seconds = wait.as_millis().div_ceil(1_000);
            let seconds = u32::try_from(seconds).unwrap_or(u32::MAX).max(1);
            Err(Refused::pending(*payment).retry_after(seconds))
        }
    }
}

async fn reply(
    http: &HttpRequest,
    caller: Caller,
    state: &HttpState,
    request: impl Future<Output = Result<Request, Refused>>,
) -> Result<Reply, Refused> {
    let key = idempotency_key::from_headers(http.headers())?;
    let patience = prefer::patience(http.headers());
    let deadline = state.payments.deadline();
    let request = request.await?;
    let order = Order {
        scope: Scope {
            merchant_id: caller.merchant_id,
            mode: caller.mode,
            key,
        },
        canonical: request.canonical(),
        request,
        request_id: request_id(http).unwrap_or_else(|| state.environment.new_id()),
        deadline,
    };
    Ok(state.payments.submit(order, patience).await?)
}

/// The stored answer, byte for byte.
fn settled(answer: Answer, replayed: bool) -> HttpResponse {
    let mut response = HttpResponse::build(status(answer.status));
    let content_type = if answer.is_problem() {
        PROBLEM_JSON
    } else {
        "application/json"
    };
    response
        .content_type(content_type)
        .insert_header((CACHE_CONTROL, "no-store"));
    if let Some(location) = answer.location {
        response.insert_header((LOCATION, location));
    }
    if replayed {
        response.insert_header(("idempotent-replayed", "true"));
    }
    response.body(answer.body)
}

fn processing(resource: &Resource, retry_after_s: u32) -> HttpResponse {
    HttpResponse::Accepted()
        .insert_header((LOCATION, resource.path()))
        .insert_header((RETRY_AFTER, retry_after_s))
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(resource)
}
