//! `POST /payments`.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{CACHE_CONTROL, LOCATION, RETRY_AFTER},
    web,
};

use super::{
    auth::Caller,
    body::json_body,
    fields::{Fields, TextsBounds},
    idempotency_key, prefer,
    problem::{ComesAgain, PROBLEM_JSON, Refused, status},
    request_context::request_id,
    server::HttpState,
};
use crate::{
    actors::{Order, Reply, Request},
    payment::{Answer, Capture, CreatePayment, Money, Resource, Scope},
};

/// Bounds of the texts, in characters; those of the metadata are Stripe's.
const PAYMENT_METHOD_MAX: usize = 255;
const REFERENCE_MAX: usize = 255;
const DESCRIPTION_MAX: usize = 1_000;
const METADATA: TextsBounds = TextsBounds {
    members_max: 50,
    name_characters_max: 40,
    value_characters_max: 500,
};

pub(super) async fn create_payment(
    http: HttpRequest,
    caller: Caller,
    payload: web::Payload,
    state: web::Data<HttpState>,
) -> Result<HttpResponse, Refused> {
    let reply = reply(&http, caller, payload, &state).await;
    let code = match &reply {
        Ok(Reply::Settled { answer, .. }) if answer.is_problem() => "declined",
        Ok(Reply::Settled { .. }) => "created",
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
        Reply::Pending(payment) => Err(Refused::pending(*payment).retry_after(1)),
    }
}

async fn reply(
    http: &HttpRequest,
    caller: Caller,
    payload: web::Payload,
    state: &HttpState,
) -> Result<Reply, Refused> {
    let key = idempotency_key::from_headers(http.headers())?;
    let patience = prefer::patience(http.headers());
    let deadline = state.payments.deadline();
    let body = json_body(http, payload, &state.settings).await?;
    let request = request(&body)?;
    let order = Order {
        scope: Scope {
            merchant_id: caller.merchant_id,
            mode: caller.mode,
            key,
        },
        canonical: request.canonical(),
        request: Request::Create(request),
        request_id: request_id(http).unwrap_or_else(|| state.environment.new_id()),
        deadline,
    };
    Ok(state.payments.submit(order, patience).await?)
}

/// The request that a body holds, or everything that is wrong with it.
fn request(body: &[u8]) -> Result<CreatePayment, Refused> {
    let mut fields = Fields::of_body(body)?;
    let amount = fields.required_integer("amount");
    if let Some(Err(error)) = amount.map(Money::check_minor) {
        fields.error("amount", error.to_string());
    }
    let currency = fields.required_text("currency", 3).and_then(|code| {
        code.parse()
            .map_err(|error| fields.error("currency", format!("{error}")))
            .ok()
    });
    let money = amount
        .zip(currency)
        .and_then(|(minor, currency)| Money::new(minor, currency).ok());
    let payment_method = fields.required_text("payment_method", PAYMENT_METHOD_MAX);
    let capture = match fields
        .optional_text("capture", 32)
        .map(|text| text.parse::<Capture>())
    {
        None => Capture::default(),
        Some(Ok(capture)) => capture,
        Some(Err(())) => {
            fields.error("capture", "must be `automatic` or `manual`");
            Capture::default()
        }
    };
    let reference = fields.optional_text("reference", REFERENCE_MAX);
    let description = fields.optional_text("description", DESCRIPTION_MAX);
    let metadata = fields.optional_texts("metadata", METADATA);
    let request = money
        .zip(payment_method)
        .map(|(money, payment_method)| CreatePayment {
            money,
            payment_method,
            capture,
            reference,
            description,
            metadata,
        });
    fields.finish(request)
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
