//! What may happen next. Start reading at [`Scenario::possible`].

use oncepay::payment::{OperationState, Step};

use super::{
    provider::Fate,
    rules::Rule,
    world::{Driver, Operator, Phase, Scenario, World},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// A client's request finds no row.
    Begins(usize),
    /// A client's request finds what was released.
    Resumes(usize),
    /// Recovery finds what was left behind.
    Recovers(usize),
    /// A client asks for what is settled.
    Replays,
    /// The store does what the driver asked for.
    Commits(usize),
    /// The same, and the driver does not hear of it.
    CommitsUnheard(usize),
    /// A request leaves the driver.
    Sends(usize),
    /// An attempt certainly did not reach the provider.
    IsRefused(usize),
    /// The driver waits for the answer no longer.
    TimesOut(usize),
    /// The driver makes no further attempt.
    Concludes(usize),
    /// The provider shows what it has.
    LooksUp(usize),
    /// The driver draws its conclusion from what it was shown, maybe much later.
    Judges(usize),
    /// The driver is gone; what it asked of the store may still be carried out.
    Crashes {
        driver: usize,
        write_lives: bool,
    },
    /// The store carries out what a lost driver asked for.
    CommitsLate,
    /// A request reaches the provider.
    Arrives {
        flight: usize,
        fate: Fate,
    },
    Ticks,
    /// The sweep sees a released row that may expire.
    ExpirySees,
    Expires,
    Cancels,
    OperatorBegins,
    OperatorLooks,
    OperatorEnds,
    /// Recovery gives a stray charge back.
    GivesBack,
}

/// Requests that may be on their way at once.
const FLIGHTS_MAX: usize = 2;

impl Scenario {
    pub(super) fn possible(&self, world: &World, actions: &mut Vec<Action>) {
        for (place, driver) in world.drivers.iter().enumerate() {
            self.possible_of(world, place, driver, actions);
        }
        for (flight, request) in world.flights.iter().enumerate() {
            let known = world.providers[usize::from(request.provider)].remembers();
            let fates = if known { &self.fates[..1] } else { self.fates };
            let arrives = |fate: &Fate| Action::Arrives {
                flight,
                fate: *fate,
            };
            actions.extend(fates.iter().map(arrives));
        }
        if world.now < self.horizon {
            actions.push(Action::Ticks);
        }
        if world.late.is_some() {
            actions.push(Action::CommitsLate);
        }
        self.possible_of_others(world, actions);
    }

    fn possible_of(&self, world: &World, place: usize, driver: &Driver, actions: &mut Vec<Action>) {
        match driver.phase {
            Phase::Idle => return self.possible_drives(world, place, actions),
            Phase::Writing(_) => {
                actions.push(Action::Commits(place));
                if world.unheard < self.unheard {
                    actions.push(Action::CommitsUnheard(place));
                }
            }
            Phase::Holding => self.possible_attempts(world, place, driver, actions),
            Phase::Waiting if self.times_out => actions.push(Action::TimesOut(place)),
            Phase::Waiting => {}
            Phase::Looked(_) => actions.push(Action::Judges(place)),
        }
        if world.crashes < self.crashes {
            let mut crashes = |write_lives| {
                actions.push(Action::Crashes {
                    driver: place,
                    write_lives,
                });
            };
            crashes(false);
            if matches!(driver.phase, Phase::Writing(_)) && world.late.is_none() {
                crashes(true);
            }
        }
    }

    fn possible_drives(&self, world: &World, place: usize, actions: &mut Vec<Action>) {
        let first_idle = world
            .drivers
            .iter()
            .position(|one| one.phase == Phase::Idle);
        if world.drives == self.drives || first_idle != Some(place) {
            return;
        }
        match &world.row {
            None => actions.push(Action::Begins(place)),
            Some(row) if row.state == OperationState::Released => {
                actions.push(Action::Resumes(place));
                if !self.rules.keep(Rule::ClientAloneResumes) {
                    actions.push(Action::Recovers(place));
                }
            }
            Some(row) if row.state == OperationState::Open && !row.is_leased(world.now) => {
                actions.push(Action::Recovers(place));
            }
            Some(_) => {}
        }
    }

    fn possible_attempts(
        &self,
        world: &World,
        place: usize,
        driver: &Driver,
        actions: &mut Vec<Action>,
    ) {
        if self.step(driver) == Step::LookUp {
            return actions.push(Action::LooksUp(place));
        }
        let may_begin =
            driver.attempts < self.attempts_max && self.window_is_open(driver, world.now);
        if may_begin && world.flights.len() < FLIGHTS_MAX {
            actions.push(Action::Sends(place));
        }
        if may_begin && self.refuses {
            actions.push(Action::IsRefused(place));
        }
        if !may_begin || driver.attempts > 0 {
            actions.push(Action::Concludes(place));
        }
    }

    fn possible_of_others(&self, world: &World, actions: &mut Vec<Action>) {
        let Some(row) = &world.row else { return };
        if let Some(end) = row.end
            && !world.said.contains(&Some(end))
        {
            actions.push(Action::Replays);
        }
        if self.ends_pending && row.state == OperationState::Released {
            actions.push(Action::Cancels);
            if world.expiry.is_none() {
                actions.push(Action::ExpirySees);
            }
        }
        if world.expiry.is_some() {
            actions.push(Action::Expires);
        }
        match world.operator {
            Operator::Away => {
                let is_free = !row.is_leased(world.now) || !self.rules.keep(Rule::OperatorFollows);
                let is_doubtful = row.in_doubt && row.state == OperationState::Open;
                if self.operator && is_doubtful && is_free {
                    actions.push(Action::OperatorBegins);
                }
            }
            Operator::Waits { after, .. } => {
                if world.now > after {
                    actions.push(Action::OperatorLooks);
                }
            }
            Operator::Knows { .. } => actions.push(Action::OperatorEnds),
            Operator::Done => {}
        }
        if let Some((_, false)) = row.stray {
            actions.push(Action::GivesBack);
        }
    }
}
