//! The adapter to Stripe over real sockets: what is sent, and what is known when the other side
//! refuses, cuts, stalls or sends elsewhere. What an answer means is tested beside the adapter.

mod server;

mod every_fault;
mod lists;
mod lookup;
mod sent;
mod shared_readings;
mod transport;

use std::{collections::BTreeMap, time::Duration};

use oncepay::{
    payment::{
        Capture, CreatePayment, Fingerprint, Id, IdempotencyKey, Mode, Money, OperationKind,
        Origin, Payment, Timestamp,
    },
    provider::{
        Call, Draft, Expected, Identity, InDoubtReason, NotSentReason, Outcome, Provider, Search,
        SentBetween,
        stripe::{StripeProvider, StripeSettings},
    },
};
use tokio::runtime::Handle;

const OPERATION: u128 = 3;
pub(crate) const FINGERPRINT: Fingerprint = Fingerprint {
    version: 1,
    digest: [7; 32],
};

/// Long enough to be never the reason, for tests in which nothing stalls.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn provider(base_url: &str, attempt_timeout: Duration) -> StripeProvider {
    provider_on(Handle::current(), base_url, attempt_timeout)
}

pub(crate) fn provider_on(
    runtime: Handle,
    base_url: &str,
    attempt_timeout: Duration,
) -> StripeProvider {
    // A second installation is refused, and is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut settings = StripeSettings::new("stripe", base_url, "sk_sandbox_1");
    settings.attempt_timeout = attempt_timeout;
    settings.connect_timeout = attempt_timeout / 2;
    StripeProvider::new(settings, runtime).unwrap()
}

pub(crate) fn call(provider: &StripeProvider) -> Call {
    let money = Money::new(4_200, "EUR".parse().unwrap()).unwrap();
    let request = CreatePayment {
        money,
        payment_method: "pm_card_visa".into(),
        capture: Capture::Automatic,
        reference: Some("order-17".into()),
        description: None,
        metadata: BTreeMap::new(),
    };
    let origin = Origin {
        id: Id::from_uuid(uuid::Uuid::from_u128(1)),
        merchant_id: Id::from_uuid(uuid::Uuid::from_u128(2)),
        mode: Mode::Test,
        idempotency_key: IdempotencyKey::new("order-17").unwrap(),
        provider: "stripe".into(),
        created_at: Timestamp::from_micros(0),
    };
    let payment = Payment::new(request, origin);
    let operation_id = Id::from_uuid(uuid::Uuid::from_u128(OPERATION));
    Call {
        key: "oncepay_1".into(),
        api_version: provider.profile().api_version.clone(),
        kind: OperationKind::Create,
        target: None,
        request: provider.prepare(
            &payment,
            Draft {
                operation_id,
                kind: OperationKind::Create,
                idempotency_key: &payment.idempotency_key,
                fingerprint: FINGERPRINT,
                money,
            },
        ),
        expected: Expected {
            operation_id,
            payment_id: payment.id,
            money,
            capture: Capture::Automatic,
            identity: Identity {
                merchant_id: payment.merchant_id,
                mode: payment.mode,
                payment_key: payment.idempotency_key.clone(),
                key: payment.idempotency_key.clone(),
                fingerprint: FINGERPRINT,
            },
        },
        first_attempt: true,
        request_id: Id::from_uuid(uuid::Uuid::from_u128(9)),
    }
}

/// A search for what [`call`] may have made, all of it of one moment.
fn search() -> Search {
    let at = Timestamp::from_micros(0);
    let sent = SentBetween {
        first: at,
        last: at,
    };
    Search::new(sent, None)
}

/// The payment intent of [`call`] in a state.
pub(crate) fn intent(status: &str) -> String {
    let more = match status {
        "canceled" => r#","cancellation_reason":"abandoned""#,
        _ => "",
    };
    format!(
        r#"{{"id":"pi_1","object":"payment_intent","status":"{status}","amount":4200,"currency":"eur",
        "metadata":{{"oncepay_operation":"opn_00000000000000000000000003"}}{more}}}"#
    )
}

/// Kind, and reason or code.
pub(crate) fn line(outcome: &Outcome) -> String {
    let kind = outcome.kind();
    match outcome {
        Outcome::Approved(it) => format!("{kind} {}", it.reference),
        Outcome::Declined(it) => format!("{kind} {}", it.code),
        Outcome::NotSent(it) => format!("{kind} {}", it.reason.as_str()),
        Outcome::InDoubt(it) => format!("{kind} {}", it.reason.as_str()),
    }
}

pub(crate) fn in_doubt(reason: InDoubtReason) -> String {
    format!("in_doubt {}", reason.as_str())
}

pub(crate) fn not_sent(reason: NotSentReason) -> String {
    format!("not_sent {}", reason.as_str())
}
