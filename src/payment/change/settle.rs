//! The ends of an operation: a provider's answer, its absence, time, or an operator.

use std::time::Duration;

use super::{
    super::{Answer, Approval, ApprovedAs, Decline, Failure, Stands},
    Effect, IllegalEvent, Operation, OperationKind, OperationState, Owner, Payment, PaymentEvent,
    Rows, Timestamp, Verdict,
};

/// The code of a payment that the provider turned out never to have made.
const NOT_EXECUTED: &str = "not_executed";
const EXPIRED: &str = "payment_expired";

impl Rows<'_> {
    pub(super) fn settle(&self, verdict: &Verdict) -> Result<Effect, IllegalEvent> {
        if self.operation.state == OperationState::Settled {
            return self.settle_again(verdict);
        }
        let fenced_only = matches!(verdict, Verdict::Declined(decline) if decline.at_the_door);
        if fenced_only && !self.is_held() {
            return Ok(Effect::Refused);
        }
        self.ended(verdict, Vec::new())
    }

    pub(super) fn settle_absent(&self) -> Result<Effect, IllegalEvent> {
        let operation = self.operation;
        if operation.state == OperationState::Settled {
            let same = operation.failure.as_ref();
            return Ok(
                match same.is_some_and(|failure| failure.code == NOT_EXECUTED) {
                    true => Effect::AlreadyWritten,
                    false => Effect::Refused,
                },
            );
        }
        if !self.is_held() {
            return Ok(Effect::Refused);
        }
        let decline = decline(
            NOT_EXECUTED,
            "The provider never carried it out. No money moved.",
        );
        self.ended(&Verdict::Declined(decline), Vec::new())
    }

    pub(super) fn expire(&self) -> Result<Effect, IllegalEvent> {
        let operation = self.operation;
        if operation.state != OperationState::Released || !self.is_fenced() {
            let expired = |failure: &Failure| failure.code == EXPIRED;
            return Ok(match operation.failure.as_ref().is_some_and(expired) {
                true => Effect::AlreadyWritten,
                false => Effect::Refused,
            });
        }
        let message = "It was never sent, and the time to retry it has run out. No money moved.";
        if operation.kind != OperationKind::Create {
            return self.ended(&Verdict::Declined(decline(EXPIRED, message)), Vec::new());
        }
        let mut payment = self.payment.clone();
        let event = PaymentEvent::Expired {};
        payment.record(&event, self.at)?;
        let failure = payment.failure.clone();
        Ok(self.settled(payment, failure, vec![event]))
    }

    pub(super) fn begin_resolving(
        &self,
        owner: Owner,
        lease: Duration,
    ) -> Result<Effect, IllegalEvent> {
        let operation = self.operation;
        if operation.owner == owner && operation.epoch == self.epoch + 1 {
            return Ok(Effect::AlreadyWritten);
        }
        if !self.is_held() {
            return Ok(Effect::Refused);
        }
        let taken = Operation {
            resends_barred: true,
            ..self.taken(owner, lease)
        };
        self.in_doubt(taken, "operator_resolves")
    }

    pub(super) fn resolve(
        &self,
        verdict: &Verdict,
        by: &str,
        why: &str,
        look_again_at: Option<Timestamp>,
    ) -> Result<Effect, IllegalEvent> {
        let operation = self.operation;
        if operation.state == OperationState::Settled && self.is_fenced() {
            let stands = match verdict {
                Verdict::Approved(approval) => {
                    operation.provider_reference.as_ref() == Some(&approval.reference)
                }
                Verdict::Declined(decline) => {
                    operation.failure.as_ref() == Some(&failure_of(decline))
                }
            };
            return Ok(match stands {
                true => Effect::AlreadyWritten,
                false => Effect::Refused,
            });
        }
        if !self.is_held() {
            return Ok(Effect::Refused);
        }
        let resolved = PaymentEvent::Resolved {
            operation: self.operation.id.to_string(),
            by: by.to_owned(),
            why: why.to_owned(),
        };
        let mut effect = self.ended(verdict, vec![resolved])?;
        if let (Effect::Written { operation, .. }, Verdict::Declined(_), Some(at)) =
            (&mut effect, verdict, look_again_at)
        {
            operation.look_again = true;
            operation.next_recovery_at = at.max(self.now);
            operation.recovery_tries = 0;
        }
        Ok(effect)
    }

    pub(super) fn take_turn(
        &self,
        owner: Owner,
        again_in: Duration,
    ) -> Result<Effect, IllegalEvent> {
        let operation = self.operation;
        if !operation.has_loose_end() {
            return Ok(Effect::Refused);
        }
        if operation.owner == owner {
            return Ok(Effect::AlreadyWritten);
        }
        if self.now < operation.next_recovery_at {
            return Ok(Effect::Refused);
        }
        let taken = Operation {
            owner,
            recovery_tries: operation.recovery_tries.saturating_add(1),
            next_recovery_at: self.now.plus(again_in),
            ..operation.clone()
        };
        self.written(taken, [])
    }

    pub(super) fn looked_again(&self) -> Result<Effect, IllegalEvent> {
        let operation = self.operation;
        if operation.state != OperationState::Settled {
            return Ok(Effect::Refused);
        }
        if !operation.look_again {
            return Ok(Effect::AlreadyWritten);
        }
        let looked = Operation {
            look_again: false,
            ..operation.clone()
        };
        self.written(looked, [])
    }

    pub(super) fn reverse_stray(
        &self,
        reference: &str,
        reversed_as: &str,
    ) -> Result<Effect, IllegalEvent> {
        let operation = self.operation;
        if operation.stray_reference.as_deref() != Some(reference) {
            return Ok(Effect::Refused);
        }
        if operation.stray_reversed_at.is_some() {
            return Ok(Effect::AlreadyWritten);
        }
        let event = PaymentEvent::StrayChargeReversed {
            provider_reference: reference.to_owned(),
            reversed_as: reversed_as.to_owned(),
        };
        let reversed = Operation {
            stray_reversed_at: Some(self.now),
            ..operation.clone()
        };
        self.written(reversed, [event])
    }

    /// The rows after a verdict on an operation that is not settled: what it held back is free, and
    /// what it did to the payment is told after `told`.
    fn ended(
        &self,
        verdict: &Verdict,
        mut told: Vec<PaymentEvent>,
    ) -> Result<Effect, IllegalEvent> {
        let operation = self.operation;
        let mut payment = self.payment.clone();
        if let Some(reserved) = payment.reserved_mut(operation.kind) {
            *reserved = (*reserved - operation.amount_reserved).max(0);
        }
        let failure = match verdict {
            Verdict::Approved(approval) => {
                let event = self.approved(approval);
                if !is_of_kind(approval.approved_as, operation.kind) {
                    let (from, event) = (payment.status, event.name());
                    return Err(IllegalEvent { from, event });
                }
                told.push(event);
                None
            }
            Verdict::Declined(decline) => {
                told.extend(self.declined(decline));
                Some(failure_of(decline))
            }
        };
        for event in &told {
            payment.record(event, self.at)?;
        }
        if operation.kind == OperationKind::Create
            && let Verdict::Declined(Decline { reference, .. }) = verdict
        {
            payment.provider_reference.clone_from(reference);
        }
        let effect = self.settled(payment, failure, told);
        Ok(match (effect, reference_of(verdict)) {
            (
                Effect::Written {
                    mut operation,
                    payment,
                    events,
                },
                Some(reference),
            ) => {
                operation.provider_reference = Some(reference.to_owned());
                Effect::Written {
                    operation,
                    payment,
                    events,
                }
            }
            (effect, _) => effect,
        })
    }

    fn settled(
        &self,
        payment: Payment,
        failure: Option<Failure>,
        events: Vec<PaymentEvent>,
    ) -> Effect {
        let mut operation = Operation {
            state: OperationState::Settled,
            in_doubt: false,
            in_doubt_since: None,
            amount_reserved: 0,
            failure,
            ..self.operation.clone()
        };
        operation.answer = Some(Answer::of(&operation, &payment));
        Effect::Written {
            operation: Box::new(operation),
            payment: Box::new(payment),
            events,
        }
    }

    fn approved(&self, approval: &Approval) -> PaymentEvent {
        let provider_reference = approval.reference.clone();
        // A program from before operations had an amount left it out of those that make a payment.
        let amount = match self.operation.kind {
            OperationKind::Create => self.payment.money.minor(),
            _ => self.operation.amount,
        };
        match approval.approved_as {
            ApprovedAs::Authorized => PaymentEvent::Authorized {
                amount,
                provider_reference,
            },
            ApprovedAs::Captured => PaymentEvent::Captured {
                amount,
                provider_reference,
            },
            ApprovedAs::Voided => PaymentEvent::Voided {},
            ApprovedAs::Refunded => PaymentEvent::Refunded {
                refund: self.operation.refund_id().to_string(),
                amount,
                provider_reference,
            },
        }
    }

    fn declined(&self, decline: &Decline) -> Vec<PaymentEvent> {
        let (code, message) = (decline.code.clone(), decline.message.clone());
        if self.operation.kind == OperationKind::Create {
            return vec![PaymentEvent::Declined { code, message }];
        }
        let failed = PaymentEvent::OperationFailed {
            operation: self.operation.id.to_string(),
            code,
            message,
        };
        let stands = decline.stands.map(|stands| match stands {
            Stands::Voided => PaymentEvent::Voided {},
            Stands::Captured { amount } => PaymentEvent::Captured {
                amount: amount.clamp(0, self.payment.money.minor()),
                provider_reference: self.payment.provider_reference.clone().unwrap_or_default(),
            },
        });
        std::iter::once(failed).chain(stands).collect()
    }

    /// A definite answer for what is settled already: usually the same one again. An approval of
    /// what ended without never changes the client's answer, but it is money that moved.
    fn settle_again(&self, verdict: &Verdict) -> Result<Effect, IllegalEvent> {
        let (operation, payment) = (self.operation, self.payment);
        let creates = operation.kind == OperationKind::Create;
        let has_failed = operation.failure.is_some() || (creates && payment.has_ended_unpaid());
        let known = match creates {
            true => operation
                .provider_reference
                .as_ref()
                .or(payment.provider_reference.as_ref()),
            false => operation.provider_reference.as_ref(),
        };
        let Verdict::Approved(Approval { reference, .. }) = verdict else {
            return Ok(match has_failed {
                true => Effect::AlreadyWritten,
                false => Effect::Refused,
            });
        };
        let refused = operation.failure.is_some() || (creates && payment.failure.is_some());
        if !refused && known == Some(reference) {
            return Ok(Effect::AlreadyWritten);
        }
        // A second charge beside the one that was asked for is as stray as one after the end.
        if !has_failed && !creates {
            return Ok(Effect::Refused);
        }
        if operation.stray_reference.as_ref() == Some(reference) {
            return Ok(Effect::AlreadyWritten);
        }
        // One that was not given back yet must not be forgotten over another.
        if operation.has_stray() {
            return Ok(Effect::Refused);
        }
        let event = match creates {
            true => PaymentEvent::StrayCharge {
                provider_reference: reference.clone(),
            },
            false => PaymentEvent::StrayOperation {
                operation: operation.id.to_string(),
                provider_reference: reference.clone(),
            },
        };
        if payment.status.apply(&event).is_err() {
            return Ok(Effect::Refused);
        }
        // Only a charge can be given back; of all else a person must decide.
        let stray_reversed_at = (!creates).then_some(self.now);
        let stray = Operation {
            stray_reference: Some(reference.clone()),
            stray_reversed_at,
            look_again: false,
            next_recovery_at: self.now,
            ..operation.clone()
        };
        self.written(stray, [event])
    }
}

/// Whether an operation of that kind can have been approved so.
fn is_of_kind(approved_as: ApprovedAs, kind: OperationKind) -> bool {
    match approved_as {
        ApprovedAs::Authorized => kind == OperationKind::Create,
        ApprovedAs::Captured => matches!(kind, OperationKind::Create | OperationKind::Capture),
        ApprovedAs::Voided => kind == OperationKind::Cancel,
        ApprovedAs::Refunded => kind == OperationKind::Refund,
    }
}

fn reference_of(verdict: &Verdict) -> Option<&str> {
    match verdict {
        Verdict::Approved(approval) => Some(&approval.reference),
        Verdict::Declined(decline) => decline.reference.as_deref(),
    }
}

fn failure_of(decline: &Decline) -> Failure {
    Failure {
        code: decline.code.clone(),
        message: decline.message.clone(),
    }
}

fn decline(code: &str, message: &str) -> Decline {
    Decline {
        code: code.to_owned(),
        message: message.to_owned(),
        reference: None,
        at_the_door: false,
        stands: None,
    }
}
