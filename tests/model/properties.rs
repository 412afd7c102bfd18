//! What always holds, and what must be reachable lest the model say nothing.

use oncepay::payment::OperationState;
use stateright::Property;

use super::{
    provider::Fate,
    row::{End, Row},
    world::{Operator, Scenario, World},
};

pub(super) const ONCE: &str = "charged once";
pub(super) const FAILED: &str = "what failed is not charged";
pub(super) const SUCCEEDED: &str = "what succeeded is charged once";
pub(super) const ONE_ANSWER: &str = "all definite answers are equal";
pub(super) const COMMITTED: &str = "an answer is committed before it is given";
pub(super) const PENDING: &str = "what is pending was never sent";
pub(super) const INTENT: &str = "no charge without an intent";
pub(super) const BEHIND: &str = "nothing is sent behind the client's back";

pub(super) const SUCCEEDS: &str = "succeeds";
pub(super) const RECOVERS: &str = "succeeds after a crash and a take-over";
pub(super) const RESUMES: &str = "is released and taken up again";
pub(super) const EXPIRES: &str = "expires";
pub(super) const CANCELED: &str = "is canceled";
pub(super) const FAILS_OVER: &str = "succeeds at the second provider";
pub(super) const ABSENT: &str = "ends because it never was carried out";
pub(super) const SEES_THROUGH: &str = "a charge behind a stored 5xx is found early";
pub(super) const OPERATOR_ENDS: &str = "an operator ends it";
pub(super) const STRAY: &str = "a stray charge is given back";

fn ended(world: &World, test: impl FnOnce(End) -> bool) -> bool {
    world.end().is_some_and(test)
}

fn is_success(end: End) -> bool {
    matches!(end, End::Succeeded(_))
}

pub(super) fn always() -> Vec<Property<Scenario>> {
    vec![
        Property::always(ONCE, |_, world: &World| world.unaccounted() <= 1),
        Property::always(FAILED, |_, world: &World| {
            !ended(world, |end| !is_success(end)) || world.unaccounted() == 0
        }),
        Property::always(SUCCEEDED, |_, world: &World| match world.end() {
            Some(End::Succeeded(charge)) => {
                world.unaccounted() == 1 && world.standing().any(|one| one == charge)
            }
            _ => true,
        }),
        Property::always(ONE_ANSWER, |_, world: &World| world.said[1].is_none()),
        Property::always(COMMITTED, |_, world: &World| !world.said_uncommitted),
        Property::always(PENDING, |_, world: &World| {
            let released = world
                .row
                .is_some_and(|row| row.state == OperationState::Released);
            !released || (world.standing().next().is_none() && world.flights.is_empty())
        }),
        Property::always(INTENT, |_, world: &World| {
            world.row.is_some() || world.standing().next().is_none()
        }),
        Property::always(BEHIND, |_, world: &World| !world.behind_its_back),
    ]
}

pub(super) fn sometimes(scenario: &Scenario) -> Vec<Property<Scenario>> {
    let mut wanted = vec![Property::sometimes(SUCCEEDS, |_, world: &World| {
        world.said[0].is_some_and(is_success)
    })];
    if scenario.crashes > 0 {
        wanted.push(Property::sometimes(RECOVERS, |_, world: &World| {
            let is_taken_over = world.row.is_some_and(|row| row.epoch > 1);
            world.crashes > 0 && ended(world, is_success) && is_taken_over
        }));
    }
    if scenario.ends_pending {
        wanted.push(Property::sometimes(RESUMES, |_, world: &World| {
            let is_resumed =
                |row: Row| row.state == OperationState::Open && row.epoch > 1 && !row.in_doubt;
            world.row.is_some_and(is_resumed)
        }));
        wanted.push(Property::sometimes(EXPIRES, |_, world: &World| {
            world.end() == Some(End::Expired)
        }));
        wanted.push(Property::sometimes(CANCELED, |_, world: &World| {
            world.end() == Some(End::Canceled)
        }));
    }
    if scenario.providers > 1 {
        wanted.push(Property::sometimes(FAILS_OVER, |_, world: &World| {
            ended(world, |end| matches!(end, End::Succeeded(8..)))
        }));
    }
    if scenario.horizon > scenario.key_retention + scenario.absence_wait {
        wanted.push(Property::sometimes(ABSENT, |_, world: &World| {
            world.end() == Some(End::NotExecuted)
        }));
    }
    if scenario.fates.contains(&Fate::ErrorAfter) {
        wanted.push(Property::sometimes(SEES_THROUGH, |_, world: &World| {
            world.seen_through
        }));
    }
    if scenario.operator {
        wanted.push(Property::sometimes(OPERATOR_ENDS, |_, world: &World| {
            world.end() == Some(End::ByOperator) && world.operator == Operator::Done
        }));
    }
    if scenario.strays {
        wanted.push(Property::sometimes(STRAY, |_, world: &World| {
            world
                .row
                .is_some_and(|row| matches!(row.stray, Some((_, true))))
        }));
    }
    wanted
}
