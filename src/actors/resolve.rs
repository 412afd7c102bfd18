//! An operator's verdict on what is in doubt (rule 15): sending is barred first, and the provider is
//! asked before anything is believed. Start reading at [`Payments::resolve`].

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use tracing::info;

use super::{
    held::{counts_since, sent_between, terms},
    payments::Payments,
    provider::{Inquiry, Reach},
    system::{DriveContext, Route},
};
use crate::{
    payment::{
        Change, Decline, LeftInDoubt, OperationId, OperationState, Payment, PaymentId, Standing,
        Timestamp, Verdict, absence_counts_from,
    },
    provider::{Call, Found, Outcome},
    resilience::{Deadline, Purpose},
    store::{ReadError, WriteError},
};

/// Between two looks at whether the operation's driver is done with it.
const POLL: Duration = Duration::from_millis(250);

/// What an operator says of an operation in doubt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// It was carried out, and this is the provider's id of it.
    Succeeded { reference: String },
    /// It was never carried out.
    Failed,
}

/// Who says so, and why: both are kept in the payment's history.
#[derive(Clone, Debug)]
pub struct Resolver {
    pub by: String,
    pub why: String,
}

/// Why a verdict was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveRefusal {
    #[error("no operation of that payment is in doubt")]
    NotInDoubt,
    #[error("several operations of that payment are in doubt: name one of them")]
    SeveralInDoubt(Vec<OperationId>),
    #[error("another driver has the operation; try again")]
    Busy,
    /// The provider contradicts the operator. If its word was definite, that stands now.
    #[error("the provider says otherwise: {0}")]
    Contradicted(String),
    #[error("the provider did not tell: {0}; nothing more is sent, try again")]
    Unanswered(String),
    #[error("the provider of the operation is not configured")]
    NoProvider,
    #[error("the store was not reached")]
    Store,
    #[error("a defect of this server")]
    Lost,
}

impl From<ReadError> for ResolveRefusal {
    fn from(error: ReadError) -> Self {
        tracing::warn!(%error, "a verdict could not be taken");
        Self::Store
    }
}

impl From<WriteError> for ResolveRefusal {
    fn from(error: WriteError) -> Self {
        tracing::warn!(%error, "a verdict could not be written");
        Self::Store
    }
}

impl Payments {
    /// Settles the operation of `payment_id` that is in doubt by an operator's word, as far as the
    /// provider does not contradict it. Waits for who drives the operation now, at most for a lease,
    /// and then as long as one attempt may take, so that none is under way when the provider is
    /// asked. Gives the payment as it stands then.
    ///
    /// # Errors
    /// [`ResolveRefusal`]; unless it is about the operation's choice, nothing is sent for the
    /// operation any more.
    pub async fn resolve(
        &self,
        payment_id: PaymentId,
        operation_id: Option<OperationId>,
        resolution: Resolution,
        resolver: Resolver,
    ) -> Result<Payment, ResolveRefusal> {
        let this = self.clone();
        let resolving = async move {
            let resolved = this.resolved(payment_id, operation_id, resolution, resolver);
            resolved.await
        };
        let context = &self.context;
        let resolved = context.drives.spawn_on(resolving, &context.tasks).await;
        resolved.unwrap_or(Err(ResolveRefusal::Lost))
    }

    async fn resolved(
        &self,
        payment_id: PaymentId,
        operation_id: Option<OperationId>,
        resolution: Resolution,
        resolver: Resolver,
    ) -> Result<Payment, ResolveRefusal> {
        let context = &*self.context;
        let (held, route) = barred(context, payment_id, operation_id).await?;
        sleep(route.provider.profile().attempt_timeout).await;
        let resolving = Resolving {
            context,
            route,
            held,
            resolver,
        };
        match resolution {
            Resolution::Succeeded { reference } => resolving.succeeded(&reference).await,
            Resolution::Failed => resolving.failed().await,
        }
    }
}

/// Takes the operation, and bars sending, as soon as nobody drives it. A driver that lost it before
/// its lease was over would not know: it could send once more after the provider was asked.
async fn barred(
    context: &DriveContext,
    payment_id: PaymentId,
    operation_id: Option<OperationId>,
) -> Result<(Standing, &Route), ResolveRefusal> {
    let patience = Instant::now() + context.settings.lease;
    loop {
        let standing = chosen(context, payment_id, operation_id).await?;
        let route = context.route_of(&standing.operation.route);
        let route = route.ok_or(ResolveRefusal::NoProvider)?;
        if !standing.operation.is_leased(standing.now) {
            let bar = Change::BeginResolving {
                owner: context.environment.new_owner(),
                lease: context.settings.lease,
            };
            let held = context.change(&standing.operation, bar).await?;
            if held.applied {
                return Ok((held, route));
            }
        }
        let wake = Instant::now() + POLL;
        if wake > patience || context.stopping.is_cancelled() {
            return Err(ResolveRefusal::Busy);
        }
        sleep_until(wake).await;
    }
}

async fn chosen(
    context: &DriveContext,
    payment_id: PaymentId,
    operation_id: Option<OperationId>,
) -> Result<Standing, ResolveRefusal> {
    let mut doubtful = context.store.unsettled_of(payment_id).await?;
    doubtful.retain(|standing| {
        let operation = &standing.operation;
        let named = operation_id.is_none_or(|id| id == operation.id);
        operation.in_doubt && operation.state == OperationState::Open && named
    });
    if doubtful.len() > 1 {
        let ids = doubtful.iter().map(|standing| standing.operation.id);
        return Err(ResolveRefusal::SeveralInDoubt(ids.collect()));
    }
    doubtful.pop().ok_or(ResolveRefusal::NotInDoubt)
}

/// An operation that is barred from being sent, and an operator's verdict on it.
struct Resolving<'a> {
    context: &'a DriveContext,
    route: &'a Route,
    held: Standing,
    resolver: Resolver,
}

impl Resolving<'_> {
    async fn succeeded(self, reference: &str) -> Result<Payment, ResolveRefusal> {
        let outcome = self.route.actor.inspect(self.inquiry(), reference).await;
        match outcome {
            Outcome::Approved(approval) => self.commit(Verdict::Approved(approval), None).await,
            Outcome::Declined(decline) => {
                let said = format!("{reference} was refused ({})", decline.code);
                // Another object of the operation may not have been.
                if self.held.operation.own_object() != Some(reference) {
                    return Err(match self.leave(said.clone()).await {
                        ResolveRefusal::Unanswered(_) => ResolveRefusal::Contradicted(said),
                        refusal => refusal,
                    });
                }
                self.settle(Verdict::Declined(decline)).await?;
                Err(ResolveRefusal::Contradicted(said))
            }
            Outcome::InDoubt(doubt) => Err(self.leave(doubt.detail).await),
            Outcome::NotSent(refused) => Err(self.leave(refused.detail).await),
        }
    }

    async fn failed(self) -> Result<Payment, ResolveRefusal> {
        let found = match self.held.operation.own_object() {
            Some(reference) => {
                let outcome = self.route.actor.inspect(self.inquiry(), reference).await;
                match outcome {
                    Outcome::NotSent(_) => Found::Unanswered(outcome),
                    _ => Found::There(outcome),
                }
            }
            None => self.route.actor.find(self.inquiry()).await,
        };
        match found {
            Found::Absent => {
                let decline = Decline {
                    code: "resolved_by_operator".to_owned(),
                    message: "An operator found that it was never carried out.".to_owned(),
                    reference: None,
                    at_the_door: false,
                    stands: None,
                };
                // Until then it may still be carried out, whatever an operator says.
                let counts_from = absence_counts_from(&self.held.operation, terms(self.route));
                let verdict = Verdict::Declined(decline);
                self.commit(verdict, Some(counts_from)).await
            }
            Found::There(Outcome::Approved(approval)) => {
                let said = format!("{} was carried out", approval.reference);
                self.settle(Verdict::Approved(approval)).await?;
                Err(ResolveRefusal::Contradicted(said))
            }
            // Refused by the provider itself: the operator was right, and its own word is better.
            Found::There(Outcome::Declined(decline)) => {
                self.commit(Verdict::Declined(decline), None).await
            }
            Found::There(Outcome::InDoubt(doubt)) => Err(self.leave(doubt.detail).await),
            Found::Unanswered(Outcome::InDoubt(doubt)) => Err(self.leave(doubt.detail).await),
            Found::There(Outcome::NotSent(refused))
            | Found::Unanswered(Outcome::NotSent(refused)) => Err(self.leave(refused.detail).await),
            Found::More => {
                let read_in_part =
                    "its list is long, and was read in part; the next time goes on there";
                Err(self.leave(read_in_part.to_owned()).await)
            }
            Found::Unanswered(_) => Err(self.leave("no answer that tells".to_owned()).await),
        }
    }

    fn inquiry(&self) -> Inquiry {
        let (operation, terms, now) = (&self.held.operation, terms(self.route), self.held.now);
        let reach = match now < absence_counts_from(operation, terms) {
            true => Reach::WholeSoFar,
            false => Reach::Whole,
        };
        Inquiry {
            call: Call::of(&self.held, operation.request_id),
            sent: sent_between(operation, terms, now),
            absent_at: operation.absent_at,
            counts_since: counts_since(&self.held, terms, reach),
            reach,
            purpose: Purpose::Settling,
            // The lease is longer than this by an attempt, which has been waited for.
            deadline: Deadline::at(Instant::now() + self.context.settings.deadline),
        }
    }

    async fn commit(
        self,
        verdict: Verdict,
        look_again_at: Option<Timestamp>,
    ) -> Result<Payment, ResolveRefusal> {
        let Resolver { by, why } = self.resolver;
        info!(operation = %self.held.operation.id, by, "an operator settles what was in doubt");
        let resolve = Change::Resolve {
            verdict,
            by,
            why,
            look_again_at,
        };
        let standing = self.context.change(&self.held.operation, resolve).await?;
        match standing.applied {
            true => Ok(standing.payment),
            false => Err(ResolveRefusal::Busy),
        }
    }

    /// The provider's definite word stands whatever the operator said.
    async fn settle(&self, verdict: Verdict) -> Result<(), ResolveRefusal> {
        self.context
            .change(&self.held.operation, Change::Settle(verdict))
            .await?;
        Ok(())
    }

    /// Gives the operation back to recovery, which only looks from now on.
    async fn leave(&self, detail: String) -> ResolveRefusal {
        let left = LeftInDoubt {
            reason: "operator_resolves".to_owned(),
            bar_resends: true,
            again_in: self.context.settings.recovery.backoff.base,
            ..LeftInDoubt::default()
        };
        match self
            .context
            .change(&self.held.operation, Change::LeaveInDoubt(left))
            .await
        {
            Ok(_) => ResolveRefusal::Unanswered(detail),
            Err(error) => error.into(),
        }
    }
}
