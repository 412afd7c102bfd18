//! A payment: what the client sees.

use std::collections::BTreeMap;

use super::{
    Capture, CreatePayment, IdempotencyKey, IllegalEvent, MerchantId, Mode, Money, OperationKind,
    PaymentEvent, PaymentId, PaymentStatus, Timestamp,
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    pub id: PaymentId,
    pub merchant_id: MerchantId,
    pub mode: Mode,
    pub idempotency_key: IdempotencyKey,
    pub status: PaymentStatus,
    pub money: Money,
    /// In minor units, 0 <= refunded <= captured <= amount; the database holds this as well.
    pub amount_captured: i64,
    pub amount_refunded: i64,
    /// What an open capture holds back: captured + reserved <= amount.
    pub capture_reserved: i64,
    /// What open refunds hold back: refunded + reserved <= captured.
    pub refund_reserved: i64,
    pub capture: Capture,
    pub payment_method: String,
    pub reference: Option<String>,
    pub description: Option<String>,
    pub metadata: BTreeMap<String, String>,
    /// The name of the provider that took the payment.
    pub provider: String,
    pub provider_reference: Option<String>,
    pub failure: Option<Failure>,
    pub in_doubt_since: Option<Timestamp>,
    /// How many events the payment has: the number of the last one.
    pub event_count: i64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// Why a payment failed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Failure {
    pub code: String,
    pub message: String,
}

/// Where a new payment comes from, beside the request itself.
#[derive(Clone, Debug)]
pub struct Origin {
    pub id: PaymentId,
    pub merchant_id: MerchantId,
    pub mode: Mode,
    pub idempotency_key: IdempotencyKey,
    pub provider: String,
    pub created_at: Timestamp,
}

impl Payment {
    /// The payment of a request, recorded and not yet sent.
    pub fn new(request: CreatePayment, origin: Origin) -> Self {
        Self {
            id: origin.id,
            merchant_id: origin.merchant_id,
            mode: origin.mode,
            idempotency_key: origin.idempotency_key,
            status: PaymentStatus::Processing,
            money: request.money,
            amount_captured: 0,
            amount_refunded: 0,
            capture_reserved: 0,
            refund_reserved: 0,
            capture: request.capture,
            payment_method: request.payment_method,
            reference: request.reference,
            description: request.description,
            metadata: request.metadata,
            provider: origin.provider,
            provider_reference: None,
            failure: None,
            in_doubt_since: None,
            event_count: 1,
            created_at: origin.created_at,
            updated_at: origin.created_at,
        }
    }

    /// The first event of a payment that was just made by [`Payment::new`].
    pub fn created_event(&self) -> PaymentEvent {
        PaymentEvent::Created {
            amount: self.money.minor(),
            currency: self.money.currency().code().to_owned(),
            provider: self.provider.clone(),
        }
    }

    /// Records `event`: the status by the state machine, and what else the event says.
    ///
    /// # Errors
    /// [`IllegalEvent`] from the state machine; the payment is then unchanged.
    pub fn record(&mut self, event: &PaymentEvent, at: Timestamp) -> Result<(), IllegalEvent> {
        self.status = self.status.apply(event)?;
        match event {
            PaymentEvent::BecameInDoubt { .. } => self.in_doubt_since = Some(at),
            PaymentEvent::Restored { .. } => {
                self.in_doubt_since = self.in_doubt_since.or(Some(at));
            }
            PaymentEvent::Authorized {
                provider_reference, ..
            } => {
                self.provider_reference = Some(provider_reference.clone());
            }
            PaymentEvent::Captured {
                amount,
                provider_reference,
            } => {
                self.provider_reference = Some(provider_reference.clone());
                self.amount_captured = *amount;
            }
            PaymentEvent::Declined { code, message } => {
                self.failure = Some(Failure {
                    code: code.clone(),
                    message: message.clone(),
                });
            }
            PaymentEvent::Expired {} => {
                self.failure = Some(Failure {
                    code: "payment_expired".into(),
                    message: "The payment was never sent, and its time to be retried has run out."
                        .into(),
                });
            }
            PaymentEvent::Refunded { amount, .. } => self.amount_refunded += amount,
            PaymentEvent::FailedOver { to, .. } => self.provider.clone_from(to),
            PaymentEvent::Created { .. }
            | PaymentEvent::Released { .. }
            | PaymentEvent::Resumed {}
            | PaymentEvent::Canceled {}
            | PaymentEvent::Voided {}
            | PaymentEvent::StrayCharge { .. }
            | PaymentEvent::StrayChargeReversed { .. }
            | PaymentEvent::OperationBegun { .. }
            | PaymentEvent::OperationInDoubt { .. }
            | PaymentEvent::OperationReleased { .. }
            | PaymentEvent::OperationResumed { .. }
            | PaymentEvent::OperationFailed { .. }
            | PaymentEvent::StrayOperation { .. }
            | PaymentEvent::Resolved { .. } => {}
        }
        if self.status != PaymentStatus::Processing {
            self.in_doubt_since = None;
        }
        self.event_count += 1;
        self.updated_at = at;
        Ok(())
    }

    /// Whether it ended, and no money moved.
    pub fn has_ended_unpaid(&self) -> bool {
        matches!(self.status, PaymentStatus::Failed | PaymentStatus::Canceled)
    }

    /// What may still be asked for by an operation of that kind, in minor units: all that a capture
    /// may take, or a refund give back, beside what open operations hold.
    pub fn available(&self, kind: OperationKind) -> i64 {
        match kind {
            OperationKind::Capture => {
                self.money.minor() - self.amount_captured - self.capture_reserved
            }
            OperationKind::Refund => {
                self.amount_captured - self.amount_refunded - self.refund_reserved
            }
            OperationKind::Create | OperationKind::Cancel => 0,
        }
    }

    /// What open operations of that kind hold back.
    pub(super) fn reserved_mut(&mut self, kind: OperationKind) -> Option<&mut i64> {
        match kind {
            OperationKind::Capture => Some(&mut self.capture_reserved),
            OperationKind::Refund => Some(&mut self.refund_reserved),
            OperationKind::Create | OperationKind::Cancel => None,
        }
    }
}
