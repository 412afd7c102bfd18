//! `POST /v1/payment_intents` with `confirm=true`: the charge itself.

use iso_currency::Currency;

use super::answer::{Answer, Refusal};
use super::form::Form;
use super::intents::{CaptureMethod, Intent, IntentStatus};
use super::ledger::Ledger;
use super::metadata::Metadata;
use super::payment_methods::{self, AUTHENTICATION, Behaviour, Decline};

/// The last six lines are accepted and mean nothing here.
const PARAMETERS: &[&str] = &[
    "amount",
    "currency",
    "payment_method",
    "confirm",
    "capture_method",
    "error_on_requires_action",
    "description",
    "metadata",
    "payment_method_types",
    "automatic_payment_methods",
    "off_session",
    "return_url",
    "statement_descriptor_suffix",
    "expand",
];

/// A charge that was asked for, and is valid as far as that can be said without acting.
#[derive(Debug)]
pub(super) struct CreateRequest {
    amount: i64,
    currency: Currency,
    payment_method: &'static str,
    behaviour: Behaviour,
    capture_method: CaptureMethod,
    error_on_requires_action: bool,
    description: Option<Box<str>>,
    metadata: Metadata,
}

impl CreateRequest {
    pub(super) fn parse(form: &Form) -> Result<Self, Refusal> {
        form.only(PARAMETERS)?;
        let Some(amount) = form.amount("amount")? else {
            let message = "Missing required param: amount.";
            return Err(Refusal::invalid(
                Some("parameter_missing"),
                "amount",
                message,
            ));
        };
        let currency = parse_currency(form.required("currency")?)?;
        if !form.flag("confirm")? {
            let message = "This sandbox only creates payment intents with confirm=true.";
            return Err(Refusal::invalid(None, "confirm", message));
        }
        let name = form.required("payment_method")?;
        let Some((payment_method, behaviour)) = payment_methods::find(name) else {
            let message = format!("No such PaymentMethod: '{name}'");
            let code = Some("resource_missing");
            return Err(Refusal::invalid(code, "payment_method", message));
        };
        Ok(Self {
            amount,
            currency,
            payment_method,
            behaviour,
            capture_method: parse_capture_method(form.get("capture_method"))?,
            error_on_requires_action: form.flag("error_on_requires_action")?,
            description: form
                .get("description")
                .filter(|text| !text.is_empty())
                .map(Into::into),
            metadata: form.metadata()?,
        })
    }

    /// Charges, or declines, under the provider key `key`.
    pub(super) fn run(self, ledger: &mut Ledger, key: Option<&str>) -> Result<Answer, Refusal> {
        match self.behaviour {
            Behaviour::Approve | Behaviour::ApproveOneMore => {
                let at = ledger.open(self.intent(key));
                ledger.charge(at);
                ledger.approve(at);
                shown(ledger, at)
            }
            Behaviour::Process => {
                let at = ledger.open(self.intent(key));
                ledger.charge(at);
                ledger.process(at);
                shown(ledger, at)
            }
            Behaviour::Decline(decline) => {
                let at = ledger.open(self.declined(key, decline));
                ledger.charge(at);
                Err(refused(ledger, at, decline))
            }
            Behaviour::Authenticate if self.error_on_requires_action => {
                let at = ledger.open(self.declined(key, &AUTHENTICATION));
                Err(refused(ledger, at, &AUTHENTICATION))
            }
            Behaviour::Authenticate | Behaviour::RequireAction => {
                let status = IntentStatus::RequiresAction;
                let at = ledger.open(Intent {
                    status,
                    ..self.intent(key)
                });
                shown(ledger, at)
            }
        }
    }

    fn declined(self, key: Option<&str>, decline: &'static Decline) -> Intent {
        Intent {
            last_payment_error: Some(decline),
            ..self.intent(key)
        }
    }

    /// The intent before anything has happened to it; the ledger gives it its id and time.
    fn intent(self, key: Option<&str>) -> Intent {
        let surplus = i64::from(matches!(self.behaviour, Behaviour::ApproveOneMore));
        Intent {
            id: Box::default(),
            status: IntentStatus::RequiresPaymentMethod,
            amount: self.amount + surplus,
            amount_received: 0,
            amount_refunded: 0,
            currency: self.currency,
            capture_method: self.capture_method,
            payment_method: self.payment_method,
            description: self.description,
            metadata: self.metadata,
            latest_charge: None,
            last_payment_error: None,
            cancellation_reason: None,
            created_us: 0,
            canceled_us: None,
            idempotency_key: key.map(Into::into),
            refunds: Vec::new(),
        }
    }
}

fn shown(ledger: &Ledger, at: usize) -> Result<Answer, Refusal> {
    ledger.get(at).map(Answer::ok).ok_or_else(Refusal::broken)
}

fn refused(ledger: &Ledger, at: usize, decline: &Decline) -> Refusal {
    let refusal = Refusal::declined(decline);
    match ledger.get(at) {
        Some(intent) => refusal.showing(intent),
        None => refusal,
    }
}

fn parse_currency(code: &str) -> Result<Currency, Refusal> {
    Currency::from_code(&code.to_ascii_uppercase())
        .ok_or_else(|| Refusal::invalid(None, "currency", format!("Invalid currency: {code}")))
}

fn parse_capture_method(name: Option<&str>) -> Result<CaptureMethod, Refusal> {
    match name {
        None | Some("automatic") => Ok(CaptureMethod::Automatic),
        Some("manual") => Ok(CaptureMethod::Manual),
        Some(other) => {
            let message =
                format!("Invalid capture_method: must be one of automatic, manual, not {other}");
            Err(Refusal::invalid(None, "capture_method", message))
        }
    }
}
