//! The way of the loser: another driver has the operation, on this node or another.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tracing::warn;

use super::{
    drive::{Drive, Seen},
    held::{Moment, terms},
};
use crate::{
    payment::{Answer, Change, OperationChange, OperationState, Standing, Step, next_step},
    resilience::{Backoff, Purpose},
    store::WriteError,
};

/// How following ended.
pub(super) enum Followed {
    Settled(Answer),
    /// The operation is ours now, since the moment that both clocks showed.
    TakenOver(Box<Standing>, Moment),
    /// It is another's still, or could not be read.
    StillOpen(Box<Seen>),
    /// It was released and certainly not taken up.
    StillReleased(Box<Seen>),
    /// It may have been taken up, and nobody knows.
    Unknown,
}

const POLL: Backoff = Backoff {
    base: Duration::from_millis(20),
    cap: Duration::from_millis(500),
};

/// Waits for the operation of `standing` to be settled, and takes it over once nobody has it. What
/// nobody has and nothing can be done for now is left as it is.
pub(super) async fn follow(drive: &Drive<'_>, seen: Seen) -> Followed {
    let Seen {
        mut standing,
        mut since,
    } = seen;
    let (context, scope) = (drive.context, &drive.order.scope);
    let mut wakes = context.lookups.wakes(scope);
    let mut unknown = false;
    for poll in 1_u32.. {
        if let (OperationState::Settled, Some(answer)) =
            (standing.operation.state, standing.operation.answer.take())
        {
            return Followed::Settled(answer);
        }
        if !standing.operation.is_leased(standing.now) {
            if !may_drive(drive, &standing) {
                break;
            }
            let asked = Moment::read(context);
            match context.db.change(take_over(drive, &standing)).await {
                Ok(taken) if taken.applied => return Followed::TakenOver(Box::new(taken), asked),
                // Another driver was faster.
                Ok(other) => (standing, since) = (other, asked.monotonic),
                Err(error) => {
                    unknown |= !matches!(error, WriteError::NotWritten(_));
                    warn!(operation = %standing.operation.id, %error, "no take-over");
                }
            }
        }
        let wake = Instant::now() + POLL.wait(poll, context.environment.random_fraction());
        if wake >= drive.order.deadline || context.stopping.is_cancelled() {
            break;
        }
        tokio::select! {
            () = sleep_until(wake) => {}
            () = wakes.next() => {} // It only shortens the wait: what is true, the store says.
        }
        let asked = Instant::now();
        match context
            .store
            .operation(scope.merchant_id, scope.mode, &scope.key)
            .await
        {
            Ok(Some(current)) => (standing, since) = (current, asked),
            Ok(None) => warn!(operation = %standing.operation.id, "an operation vanished"),
            Err(error) => warn!(operation = %standing.operation.id, %error, "cannot follow"),
        }
    }
    let state = standing.operation.state;
    let seen = Box::new(Seen { standing, since });
    match state {
        OperationState::Released if unknown => Followed::Unknown,
        OperationState::Released => Followed::StillReleased(seen),
        OperationState::Open | OperationState::Settled => Followed::StillOpen(seen),
    }
}

/// Whether taking the operation over could bring it on. What is open may have been sent already, so
/// that sending it needs leave that may not be there: then it is recovery's, which has leave of its own.
/// What can only be looked for is always recovery's, which has places for that: each time that a client
/// came back would read a list.
fn may_drive(drive: &Drive<'_>, seen: &Standing) -> bool {
    let operation = &seen.operation;
    match drive.context.route_of(&operation.route) {
        Some(route) if operation.state == OperationState::Open => {
            match next_step(operation, terms(route), seen.now) {
                Step::Send { .. } => route.actor.resends(Purpose::Client) > 0,
                Step::Inspect { .. } => route.actor.is_available(Purpose::Client),
                Step::LookUp => false,
            }
        }
        _ => true,
    }
}

fn take_over(drive: &Drive<'_>, seen: &Standing) -> OperationChange {
    let environment = &drive.context.environment;
    OperationChange {
        operation_id: seen.operation.id,
        epoch: seen.operation.epoch,
        change: Change::TakeOver {
            owner: environment.new_owner(),
            lease: drive.context.settings.lease,
        },
        at: environment.now(),
    }
}
