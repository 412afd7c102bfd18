//! What becomes of an unsettled operation when the backup that has it was restored.

use super::{
    Effect, FoundAt, IllegalEvent, Operation, OperationState, Owner, PaymentEvent, Rows,
    is_operators,
};

const RESTORED: &str = "restored";

impl Operation {
    /// Whether it was put in doubt by a restore, or is barred and a person's already: a restore then
    /// changes nothing.
    pub fn is_restored(&self) -> bool {
        let is_final = self.in_doubt_reason.as_deref() == Some(RESTORED) || self.is_a_person_s();
        self.state == OperationState::Open && self.resends_barred && is_final
    }

    /// Whether its absence settles nothing, since the provider knows its key with another request.
    pub fn is_a_person_s(&self) -> bool {
        is_operators(self.in_doubt_reason.as_deref())
    }
}

impl Rows<'_> {
    /// The time of the last possible send becomes now: until the backup was restored, a server that
    /// this row does not know of may have sent it. Since resends are barred, that only puts off the
    /// time from which an absence means something.
    pub(super) fn restore(
        &self,
        owner: Owner,
        found: Option<&FoundAt>,
    ) -> Result<Effect, IllegalEvent> {
        let operation = self.operation;
        let is_mine = operation.owner == owner && operation.epoch == self.epoch + 1;
        let knows_it = found
            .is_none_or(|found| operation.provider_reference.as_ref() == Some(&found.reference));
        if is_mine || (operation.is_restored() && knows_it) {
            return Ok(Effect::AlreadyWritten);
        }
        if !self.is_fenced() || operation.state == OperationState::Settled {
            return Ok(Effect::Refused);
        }
        let (route, reference) = match found {
            Some(found) => (found.route.clone(), Some(found.reference.clone())),
            None => (
                operation.route.clone(),
                operation.provider_reference.clone(),
            ),
        };
        let restored = Operation {
            state: OperationState::Open,
            epoch: operation.epoch + 1,
            owner,
            lease_until: self.now,
            next_recovery_at: self.now,
            recovery_tries: 0,
            route,
            provider_reference: reference,
            first_sent_at: self.now,
            resends_barred: true,
            absent_at: None,
            in_doubt: true,
            in_doubt_since: operation.in_doubt_since.or(Some(self.now)),
            in_doubt_reason: Some(self.reason_left(RESTORED)),
            ..operation.clone()
        };
        let mut payment = self.payment.clone();
        payment.provider.clone_from(&restored.route.provider);
        let event = PaymentEvent::Restored {
            operation: operation.id.to_string(),
        };
        self.recorded(restored, payment, vec![event])
    }
}
