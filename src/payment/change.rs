//! What may be done to an operation, and what it makes of the payment: one pure function. Start
//! reading at [`apply`].

mod restore;
mod settle;

use std::time::Duration;

use super::{
    IllegalEvent, Operation, OperationId, OperationKind, OperationState, Owner, Payment,
    PaymentEvent, ProviderRoute, Timestamp, Verdict, settling::is_operators,
};

/// A change of an operation by the driver of an epoch.
#[derive(Clone, Debug)]
pub struct OperationChange {
    pub operation_id: OperationId,
    /// The epoch that the driver saw or holds: the fence.
    pub epoch: i64,
    pub change: Change,
    /// The driver's wall clock, for the payment's `updated_at`.
    pub at: Timestamp,
}

#[derive(Clone, Debug)]
pub enum Change {
    /// Becomes the driver of an operation whose lease ran out, or that was released: the client
    /// has come back.
    TakeOver { owner: Owner, lease: Duration },
    /// Becomes the driver of an operation whose lease ran out, without its client. One that was
    /// released is the client's alone.
    Recover { owner: Owner, lease: Duration },
    /// Holds the operation for longer, since its driver is still at it. A lease that ran out is lost,
    /// whether or not somebody has taken the operation over.
    Renew { owner: Owner, lease: Duration },
    /// Records a definite answer of the provider. Not fenced: it is true whoever brings it.
    Settle(Verdict),
    /// Records that the provider never carried the operation out: it remembers no key any more, and
    /// knows nothing of the operation.
    SettleAbsent,
    /// Stops driving without a definite answer: the provider may have acted. The lease ends at once,
    /// so that the next driver need not wait for it to run out.
    LeaveInDoubt(LeftInDoubt),
    /// Gives the key back to the client, since certainly nothing was sent.
    Release {
        reason: String,
        /// After how long the operation expires if its client does not come back.
        expires_in: Duration,
    },
    /// Turns to another provider, since certainly nothing was sent to the one before.
    FailOver {
        route: ProviderRoute,
        lease: Duration,
        reason: String,
    },
    /// Ends an operation that was released and whose client did not come back in time.
    Expire,
    /// Takes an operation in doubt from its driver and bars sending: an operator wants to settle it.
    /// The fence does not stop what its driver sends until the lease is over: wait for that first.
    BeginResolving { owner: Owner, lease: Duration },
    /// Records an operator's verdict, with who and why.
    Resolve {
        verdict: Verdict,
        by: String,
        why: String,
        /// When the provider is asked once more, if the verdict is a refusal: until then an attempt
        /// that nobody saw may still be carried out.
        look_again_at: Option<Timestamp>,
    },
    /// Puts an operation of a restored backup in doubt: it may have been sent, released or settled
    /// since. Nothing is sent for it any more; what its provider shows settles it.
    Restore {
        owner: Owner,
        /// Where a provider shows it, if one does.
        found: Option<FoundAt>,
    },
    /// Takes the turn of what is left to do for a settled operation, since its time has come, and puts
    /// the next turn off.
    TakeTurn { owner: Owner, again_in: Duration },
    /// Records that the provider was asked once more, and that nothing is to be done about it.
    LookedAgain,
    /// Records that a stray charge was voided or refunded.
    ReverseStray {
        reference: String,
        reversed_as: String,
    },
}

/// The provider that has what an operation made, and the provider's id of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundAt {
    pub route: ProviderRoute,
    pub reference: String,
}

/// What a driver knows when it gives up without a definite answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftInDoubt {
    /// A stable word for what happened.
    pub reason: String,
    /// The provider's id of what the operation made, where it is known.
    pub reference: Option<String>,
    /// Whether sending again cannot help any more.
    pub bar_resends: bool,
    /// Whether the provider knew nothing of it at a time when it would have to.
    pub absent: bool,
    /// After how long recovery may try.
    pub again_in: Duration,
    /// Whether its client drove it. However often that comes back, recovery has its turn no later than it
    /// would have had it.
    pub by_client: bool,
}

/// What a change makes of the rows that were locked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The rows become these, and the events, in this order, are the payment's latest: the last of
    /// them has the number `event_count`.
    Written {
        operation: Box<Operation>,
        payment: Box<Payment>,
        events: Vec<PaymentEvent>,
    },
    /// The change already stands: it was written before, and its answer was lost.
    AlreadyWritten,
    /// The fence or the state forbids the change; what stands, stands.
    Refused,
}

/// Decides `change` over the locked rows; `now` is the store's clock.
///
/// Writing the same change twice is the same as writing it once.
///
/// # Errors
/// [`IllegalEvent`] when the payment's state machine forbids what the operation's state allowed:
/// the rows contradict each other, and a person must look.
pub fn apply(
    operation: &Operation,
    payment: &Payment,
    change: &OperationChange,
    now: Timestamp,
) -> Result<Effect, IllegalEvent> {
    let rows = Rows {
        operation,
        payment,
        epoch: change.epoch,
        at: change.at,
        now,
    };
    match &change.change {
        Change::TakeOver { owner, lease } => rows.take_over(*owner, *lease, false),
        Change::Recover { owner, lease } => rows.take_over(*owner, *lease, true),
        Change::Renew { owner, lease } => rows.renew(*owner, *lease),
        Change::Settle(verdict) => rows.settle(verdict),
        Change::SettleAbsent => rows.settle_absent(),
        Change::LeaveInDoubt(left) => rows.leave_in_doubt(left),
        Change::Release { reason, expires_in } => rows.release(reason, *expires_in),
        Change::FailOver {
            route,
            lease,
            reason,
        } => rows.fail_over(route, *lease, reason),
        Change::Expire => rows.expire(),
        Change::BeginResolving { owner, lease } => rows.begin_resolving(*owner, *lease),
        Change::Resolve {
            verdict,
            by,
            why,
            look_again_at,
        } => rows.resolve(verdict, by, why, *look_again_at),
        Change::Restore { owner, found } => rows.restore(*owner, found.as_ref()),
        Change::TakeTurn { owner, again_in } => rows.take_turn(*owner, *again_in),
        Change::LookedAgain => rows.looked_again(),
        Change::ReverseStray {
            reference,
            reversed_as,
        } => rows.reverse_stray(reference, reversed_as),
    }
}

/// The locked rows, and what the change says beside its kind.
struct Rows<'a> {
    operation: &'a Operation,
    payment: &'a Payment,
    epoch: i64,
    at: Timestamp,
    now: Timestamp,
}

impl Rows<'_> {
    /// Whether the driver that asks still holds the operation.
    fn is_fenced(&self) -> bool {
        self.operation.epoch == self.epoch
    }

    /// Whether the operation is open, and the driver that asks still holds it.
    fn is_held(&self) -> bool {
        self.is_fenced() && self.operation.state == OperationState::Open
    }

    fn taken(&self, owner: Owner, lease: Duration) -> Operation {
        Operation {
            state: OperationState::Open,
            epoch: self.operation.epoch + 1,
            owner,
            lease_until: self.now.plus(lease),
            next_recovery_at: self.now.plus(lease),
            ..self.operation.clone()
        }
    }

    fn take_over(
        &self,
        owner: Owner,
        lease: Duration,
        recovers: bool,
    ) -> Result<Effect, IllegalEvent> {
        let operation = self.operation;
        if operation.owner == owner && operation.epoch == self.epoch + 1 {
            return Ok(Effect::AlreadyWritten);
        }
        if !self.is_fenced() {
            return Ok(Effect::Refused);
        }
        let taken = self.taken(owner, lease);
        match operation.state {
            OperationState::Released if !recovers => {
                // Nothing was ever sent, so the provider's memory of the key starts now.
                let first_sent_at = self.now;
                let event = self.event_of(Moment::Resumed);
                self.written(
                    Operation {
                        first_sent_at,
                        ..taken
                    },
                    [event],
                )
            }
            OperationState::Open if !operation.is_leased(self.now) => {
                // The former driver may have sent it a moment before it was lost.
                let tries = operation.recovery_tries.saturating_add(i32::from(recovers));
                // The lease alone keeps recovery away from its client's drive.
                let next_recovery_at = match recovers {
                    true => taken.next_recovery_at,
                    false => operation.next_recovery_at,
                };
                let taken = Operation {
                    recovery_tries: tries,
                    next_recovery_at,
                    ..taken
                };
                self.in_doubt(taken, "driver_lost")
            }
            _ => Ok(Effect::Refused),
        }
    }

    fn renew(&self, owner: Owner, lease: Duration) -> Result<Effect, IllegalEvent> {
        let operation = self.operation;
        if !self.is_held() || operation.owner != owner || !operation.is_leased(self.now) {
            return Ok(Effect::Refused);
        }
        let lease_until = self.now.plus(lease);
        if operation.lease_until >= lease_until {
            return Ok(Effect::AlreadyWritten);
        }
        // The lease alone keeps recovery away meanwhile: its turn stays when it was.
        let renewed = Operation {
            lease_until,
            ..operation.clone()
        };
        self.written(renewed, [])
    }

    fn leave_in_doubt(&self, left: &LeftInDoubt) -> Result<Effect, IllegalEvent> {
        let operation = self.operation;
        if !self.is_held() {
            return Ok(Effect::Refused);
        }
        let reference = left.reference.clone();
        let absent_at = if left.absent {
            operation.absent_at.or(Some(self.now))
        } else {
            operation.absent_at
        };
        let again_at = self.now.plus(left.again_in);
        let next_recovery_at = match left.by_client {
            true => again_at.min(operation.next_recovery_at),
            false => again_at,
        };
        let ended = Operation {
            lease_until: self.now,
            next_recovery_at,
            in_doubt_reason: Some(self.reason_left(&left.reason)),
            provider_reference: reference.or(operation.provider_reference.clone()),
            resends_barred: operation.resends_barred || left.bar_resends,
            absent_at,
            ..operation.clone()
        };
        // A lease that only ran out does not tell that this was written: what it says must stand, too.
        let said = Operation {
            lease_until: operation.lease_until,
            next_recovery_at: operation.next_recovery_at,
            ..ended.clone()
        };
        if operation.in_doubt && !operation.is_leased(self.now) && said == *operation {
            return Ok(Effect::AlreadyWritten);
        }
        self.in_doubt(ended, &left.reason)
    }

    /// What only a person can settle stays known as such.
    fn reason_left(&self, reason: &str) -> String {
        let known = self.operation.in_doubt_reason.as_deref();
        let kept = known.filter(|known| is_operators(Some(known)));
        kept.unwrap_or(reason).to_owned()
    }

    fn release(&self, reason: &str, expires_in: Duration) -> Result<Effect, IllegalEvent> {
        let operation = self.operation;
        match operation.state {
            OperationState::Released if self.is_fenced() => Ok(Effect::AlreadyWritten),
            OperationState::Open if self.is_fenced() && !operation.in_doubt => {
                let released = Operation {
                    state: OperationState::Released,
                    lease_until: self.now,
                    next_recovery_at: self.now.plus(expires_in),
                    ..operation.clone()
                };
                self.written(released, [self.event_of(Moment::Released(reason))])
            }
            _ => Ok(Effect::Refused),
        }
    }

    fn fail_over(
        &self,
        route: &ProviderRoute,
        lease: Duration,
        reason: &str,
    ) -> Result<Effect, IllegalEvent> {
        let operation = self.operation;
        let is_creation = operation.kind == OperationKind::Create;
        if !self.is_held() || operation.in_doubt || !is_creation {
            return Ok(Effect::Refused);
        }
        if operation.route == *route {
            return Ok(Effect::AlreadyWritten);
        }
        let event = PaymentEvent::FailedOver {
            from: operation.route.provider.clone(),
            to: route.provider.clone(),
            reason: reason.to_owned(),
        };
        let turned = Operation {
            route: route.clone(),
            first_sent_at: self.now,
            lease_until: self.now.plus(lease),
            next_recovery_at: self.now.plus(lease),
            ..operation.clone()
        };
        self.written(turned, [event])
    }

    /// Marks the operation as in doubt, and tells it unless it is so since an earlier driver.
    fn in_doubt(&self, operation: Operation, reason: &str) -> Result<Effect, IllegalEvent> {
        let in_doubt_since = operation.in_doubt_since.or(Some(self.now));
        let marked = Operation {
            in_doubt: true,
            in_doubt_since,
            ..operation
        };
        if self.operation.in_doubt {
            return self.written(marked, []);
        }
        let marked = Operation {
            in_doubt_reason: Some(reason.to_owned()),
            ..marked
        };
        self.written(marked, [self.event_of(Moment::InDoubt(reason))])
    }

    fn event_of(&self, moment: Moment<'_>) -> PaymentEvent {
        use PaymentEvent as E;
        let operation = self.operation.id.to_string();
        let creates = self.operation.kind == OperationKind::Create;
        match (moment, creates) {
            (Moment::Resumed, true) => E::Resumed {},
            (Moment::Resumed, false) => E::OperationResumed { operation },
            (Moment::Released(reason), creates) => {
                let reason = reason.to_owned();
                match creates {
                    true => E::Released { reason },
                    false => E::OperationReleased { operation, reason },
                }
            }
            (Moment::InDoubt(reason), creates) => {
                let reason = reason.to_owned();
                match creates {
                    true => E::BecameInDoubt { reason },
                    false => E::OperationInDoubt { operation, reason },
                }
            }
        }
    }

    fn written<const N: usize>(
        &self,
        operation: Operation,
        events: [PaymentEvent; N],
    ) -> Result<Effect, IllegalEvent> {
        let payment = self.payment.clone();
        self.recorded(operation, payment, events.into())
    }

    /// Records the events in a payment whose amounts are as they shall be.
    fn recorded(
        &self,
        operation: Operation,
        mut payment: Payment,
        events: Vec<PaymentEvent>,
    ) -> Result<Effect, IllegalEvent> {
        for event in &events {
            payment.record(event, self.at)?;
        }
        Ok(Effect::Written {
            operation: Box::new(operation),
            payment: Box::new(payment),
            events,
        })
    }
}

/// What happens to operations of every kind, and is told of a payment's creation in other words.
#[derive(Clone, Copy)]
enum Moment<'a> {
    Resumed,
    Released(&'a str),
    InDoubt(&'a str),
}

#[cfg(test)]
pub(super) mod tests;
