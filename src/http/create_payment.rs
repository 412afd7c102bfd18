//! `POST /payments`.

use actix_web::{HttpRequest, HttpResponse, web};

use super::{
    auth::Caller,
    body::json_body,
    fields::{Fields, TextsBounds},
    operate::operate,
    problem::Refused,
    server::HttpState,
};
use crate::{
    actors::Request,
    payment::{Capture, CreatePayment, Money},
};

/// Bounds of the texts, in characters; those of the metadata are Stripe's.
const PAYMENT_METHOD_MAX: usize = 255;
const REFERENCE_MAX: usize = 255;
const DESCRIPTION_MAX: usize = 1_000;
const METADATA: TextsBounds = TextsBounds {
    members_max: 50,
    name_characters_max: 40,
    value_characters_max: 500,
    // What the database takes, and, percent-encoded for the provider, still does.
    json_bytes_max: 65_536,
};

pub(super) async fn create_payment(
    http: HttpRequest,
    caller: Caller,
    payload: web::Payload,
    state: web::Data<HttpState>,
) -> Result<HttpResponse, Refused> {
    let request = async {
        let body = json_body(&http, payload, &state.settings).await?;
        Ok(Request::Create(request(&body)?))
    };
    operate(&http, caller, &state, "created", request).await
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
