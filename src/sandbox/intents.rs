//! A payment intent and its life: confirmed, captured, canceled, refunded.
//!
//! **Invariant:** `0 <= amount_refunded <= amount_received <= amount`.

use iso_currency::Currency;
use serde::{Serialize, Serializer};

use super::metadata::Metadata;
use super::payment_methods::Decline;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum CaptureMethod {
    Automatic,
    Manual,
}

/// Where a payment intent stands, in Stripe's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum IntentStatus {
    /// Declined; a real customer could try another card.
    RequiresPaymentMethod,
    /// The customer has to authenticate.
    RequiresAction,
    /// Accepted; the money will move a little later.
    Processing,
    /// The money is held and waits for its capture.
    RequiresCapture,
    /// The money has moved.
    Succeeded,
    /// Given up; nothing is held.
    Canceled,
}

impl IntentStatus {
    /// Whether money has moved, is held, or is about to.
    pub fn holds_money(self) -> bool {
        match self {
            Self::Processing | Self::RequiresCapture | Self::Succeeded => true,
            Self::RequiresPaymentMethod | Self::RequiresAction | Self::Canceled => false,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::RequiresPaymentMethod => "requires_payment_method",
            Self::RequiresAction => "requires_action",
            Self::Processing => "processing",
            Self::RequiresCapture => "requires_capture",
            Self::Succeeded => "succeeded",
            Self::Canceled => "canceled",
        }
    }
}

/// Amounts are in minor units of `currency`.
#[derive(Debug)]
pub(super) struct Intent {
    pub(super) id: Box<str>,
    pub(super) status: IntentStatus,
    pub(super) amount: i64,
    pub(super) amount_received: i64,
    pub(super) amount_refunded: i64,
    pub(super) currency: Currency,
    pub(super) capture_method: CaptureMethod,
    pub(super) payment_method: &'static str,
    pub(super) description: Option<Box<str>>,
    pub(super) metadata: Metadata,
    pub(super) latest_charge: Option<Box<str>>,
    pub(super) last_payment_error: Option<&'static Decline>,
    pub(super) cancellation_reason: Option<Box<str>>,
    pub(super) created_us: i64,
    pub(super) canceled_us: Option<i64>,
    /// The provider key that it was created under.
    pub(super) idempotency_key: Option<Box<str>>,
    /// Positions of its refunds in the ledger.
    pub(super) refunds: Vec<usize>,
}

impl Intent {
    pub(super) fn amount_capturable(&self) -> i64 {
        if self.status == IntentStatus::RequiresCapture {
            self.amount
        } else {
            0
        }
    }

    pub(super) fn amount_refundable(&self) -> i64 {
        self.amount_received - self.amount_refunded
    }
}

/// ISO 4217 code in small letters, as Stripe writes it.
pub(super) fn currency_code(currency: Currency) -> String {
    currency.code().to_ascii_lowercase()
}

pub(super) fn unix_seconds(unix_us: i64) -> i64 {
    unix_us.div_euclid(1_000_000)
}

/// As the wire shows it.
impl Serialize for Intent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.write(self.latest_charge.as_deref(), serializer)
    }
}

/// As the wire shows it to who asked for its charge, too.
pub(super) struct WithCharge<'a>(pub(super) &'a Intent);

impl Serialize for WithCharge<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.write(self.0.charge(), serializer)
    }
}

#[derive(Serialize)]
struct Charge<'a> {
    id: &'a str,
    object: &'static str,
    amount: i64,
    amount_captured: i64,
    amount_refunded: i64,
    captured: bool,
    currency: String,
    paid: bool,
    payment_intent: &'a str,
    refunded: bool,
    status: &'static str,
}

impl Intent {
    fn charge(&self) -> Option<Charge<'_>> {
        let is_captured = self.status == IntentStatus::Succeeded;
        let status = match self.status {
            _ if self.last_payment_error.is_some() => "failed",
            IntentStatus::Processing => "pending",
            _ => "succeeded",
        };
        // What is let go of a hold counts as refunded.
        let released = match self.status {
            IntentStatus::Succeeded | IntentStatus::Canceled => self.amount - self.amount_received,
            _ => 0,
        };
        Some(Charge {
            id: self.latest_charge.as_deref()?,
            object: "charge",
            amount: self.amount,
            amount_captured: self.amount_received,
            amount_refunded: self.amount_refunded + released,
            captured: is_captured,
            currency: currency_code(self.currency),
            paid: status == "succeeded",
            payment_intent: &self.id,
            refunded: is_captured && self.amount_refunded == self.amount_received,
            status,
        })
    }

    fn write<S: Serializer>(
        &self,
        latest_charge: Option<impl Serialize>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct NextAction {
            #[serde(rename = "type")]
            kind: &'static str,
        }

        #[derive(Serialize)]
        struct Wire<'a, C> {
            id: &'a str,
            object: &'static str,
            amount: i64,
            amount_capturable: i64,
            amount_received: i64,
            canceled_at: Option<i64>,
            cancellation_reason: Option<&'a str>,
            capture_method: CaptureMethod,
            confirmation_method: &'static str,
            created: i64,
            currency: String,
            customer: Option<&'a str>,
            description: Option<&'a str>,
            last_payment_error: Option<&'static Decline>,
            latest_charge: Option<C>,
            livemode: bool,
            metadata: &'a Metadata,
            next_action: Option<NextAction>,
            payment_method: Option<&'static str>,
            payment_method_types: [&'static str; 1],
            status: IntentStatus,
        }

        let wants_action = self.status == IntentStatus::RequiresAction;
        let has_method = self.status != IntentStatus::RequiresPaymentMethod;
        Wire {
            id: &self.id,
            object: "payment_intent",
            amount: self.amount,
            amount_capturable: self.amount_capturable(),
            amount_received: self.amount_received,
            canceled_at: self.canceled_us.map(unix_seconds),
            cancellation_reason: self.cancellation_reason.as_deref(),
            capture_method: self.capture_method,
            confirmation_method: "automatic",
            created: unix_seconds(self.created_us),
            currency: currency_code(self.currency),
            customer: None,
            description: self.description.as_deref(),
            last_payment_error: self.last_payment_error,
            latest_charge,
            livemode: false,
            metadata: &self.metadata,
            next_action: wants_action.then_some(NextAction {
                kind: "use_stripe_sdk",
            }),
            payment_method: has_method.then_some(self.payment_method),
            payment_method_types: ["card"],
            status: self.status,
        }
        .serialize(serializer)
    }
}
