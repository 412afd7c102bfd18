//! What is left to do for a settled operation: a stray charge is given back, and what an operator
//! called failed is looked for once more. Start reading at [`tie_up`].

use tokio::time::Instant;
use tracing::{error, info, warn};

use super::{
    held::{counts_since, sent_between, tell_of_stray, terms},
    provider::{Inquiry, Reach},
    system::{DriveContext, Route},
};
use crate::{
    payment::{ApprovedAs, Change, OperationKind, PaymentStatus, Standing, Verdict},
    provider::{Call, Expected, Found, Outcome, Stray},
    resilience::{Deadline, Purpose},
    store::ReadError,
};

/// Does what is left to do for the operation whose turn was taken; what fails has another turn.
pub(super) async fn tie_up(context: &DriveContext, standing: &Standing) {
    let operation = &standing.operation;
    let Some(route) = context.route_of(&operation.route) else {
        error!(operation = %operation.id, "alarm: a loose end at a provider that is not configured");
        return;
    };
    match operation.stray_reference.clone() {
        Some(reference) if operation.has_stray() => {
            give_back(context, route, standing, reference).await;
        }
        _ => look_again(context, route, standing).await,
    }
}

/// Voids or refunds a charge that came after its payment had ended without one.
async fn give_back(context: &DriveContext, route: &Route, standing: &Standing, reference: String) {
    let operation = &standing.operation;
    let stray = Stray {
        reference: reference.clone(),
        // Another stray of the same operation is another thing to give back.
        key: format!("{}_stray_{reference}", operation.route.key),
        api_version: operation.route.api_version.clone(),
        expected: Expected::of(standing, standing.payment.money),
        request_id: operation.request_id,
    };
    let reversed_as = match route.actor.reverse(stray).await {
        Outcome::Approved(approval) => match approval.approved_as {
            ApprovedAs::Voided => "voided",
            _ => "refunded",
        },
        other => {
            error!(operation = %operation.id, outcome = other.kind(), "alarm: a stray charge still stands");
            return;
        }
    };
    let reversed = Change::ReverseStray {
        reference,
        reversed_as: reversed_as.to_owned(),
    };
    match context.change(operation, reversed).await {
        Ok(_) => info!(operation = %operation.id, reversed_as, "a stray charge was given back"),
        Err(error) => warn!(operation = %operation.id, %error, "its return is written down later"),
    }
}

/// Looks for what an operator called failed: an attempt may have arrived after the verdict.
async fn look_again(context: &DriveContext, route: &Route, standing: &Standing) {
    let operation = &standing.operation;
    let found = match can_tell(standing) {
        true => {
            let terms = terms(route);
            let inquiry = Inquiry {
                call: Call::of(standing, operation.request_id),
                sent: sent_between(operation, terms, standing.now),
                absent_at: operation.absent_at,
                counts_since: counts_since(standing, terms, Reach::Whole),
                reach: Reach::Whole,
                purpose: Purpose::Settling,
                // No other node has its turn before.
                deadline: Deadline::at(Instant::now() + context.settings.lease),
            };
            route.actor.find(inquiry).await
        }
        false => Found::Absent,
    };
    let change = match found {
        Found::There(Outcome::Approved(approval)) => match whose(context, standing).await {
            Ok(Whose::Its) => Change::Settle(Verdict::Approved(approval)),
            Ok(Whose::Anothers) => Change::LookedAgain,
            Ok(Whose::Unknown) => return,
            Err(error) => {
                warn!(operation = %operation.id, %error, "a second look is repeated later");
                return;
            }
        },
        Found::There(Outcome::Declined(_)) | Found::Absent => Change::LookedAgain,
        Found::There(Outcome::InDoubt(_) | Outcome::NotSent(_))
        | Found::Unanswered(_)
        | Found::More => {
            warn!(operation = %operation.id, "the second look after a verdict brought nothing yet");
            return;
        }
    };
    match context.change(operation, change).await {
        Ok(standing) => {
            tell_of_stray(&standing.operation);
            // It was found before, by whoever did not know of this look.
            let is_done = standing.operation.look_again && !standing.operation.has_stray();
            if is_done && let Err(error) = context.change(operation, Change::LookedAgain).await {
                warn!(operation = %operation.id, %error, "a second look is repeated later");
            }
        }
        Err(error) => warn!(operation = %operation.id, %error, "a second look is repeated later"),
    }
}

/// Whose work it is that was found.
enum Whose {
    Its,
    Anothers,
    /// Another operation that may have done it is open.
    Unknown,
}

/// A create and a refund make things of their own; a hold has ended by one of those that wanted it.
async fn whose(context: &DriveContext, standing: &Standing) -> Result<Whose, ReadError> {
    let (operation, store) = (&standing.operation, &context.store);
    if operation.kind.makes_an_object() {
        return Ok(Whose::Its);
    }
    if !store.unsettled_of(operation.payment_id).await?.is_empty() {
        return Ok(Whose::Unknown);
    }
    let payment = store.payment(operation.merchant_id, operation.mode, operation.payment_id);
    let is_held = (payment.await?).is_some_and(|it| it.status == PaymentStatus::Authorized);
    Ok(if is_held { Whose::Its } else { Whose::Anothers })
}

/// A hold that has ended since does not show whose work that was.
fn can_tell(standing: &Standing) -> bool {
    match standing.operation.kind {
        OperationKind::Create | OperationKind::Refund => true,
        OperationKind::Capture | OperationKind::Cancel => {
            standing.payment.status == PaymentStatus::Authorized
        }
    }
}
