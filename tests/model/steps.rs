//! What becomes of the world. Start reading at [`Scenario::after`].

use oncepay::payment::{OperationState, send_until};

use super::{
    actions::Action,
    provider::Fate,
    row::{Asked, Effect, End, Row, Verdict, at},
    rules::Rule,
    shipped::{ask, canceled, changed},
    world::{Driver, Operator, Phase, Scenario, World, Write},
};

/// The mark of the operator's own drive.
const OPERATOR: u8 = 99;

impl Verdict {
    pub(super) fn end(self) -> End {
        match self {
            Self::Approved(charge) => End::Succeeded(charge),
            Self::Declined | Self::AtTheDoor => End::Declined,
        }
    }
}

impl Scenario {
    pub(super) fn after(&self, before: &World, action: Action) -> World {
        let mut world = before.clone();
        match action {
            Action::Begins(place) => self.begins(&mut world, place),
            Action::Resumes(place) => {
                world.told_pending = false;
                self.takes(&mut world, place, true);
            }
            Action::Recovers(place) => self.takes(&mut world, place, false),
            Action::Replays => world.say(before.end().unwrap()),
            Action::Commits(place) => {
                let applied = self.commits(&mut world, write_of(&before.drivers[place]));
                self.heard(&mut world, place, applied);
            }
            Action::CommitsUnheard(place) => {
                self.commits(&mut world, write_of(&before.drivers[place]));
                world.unheard += 1;
            }
            Action::Sends(place) => self.sends(&mut world, place),
            Action::IsRefused(place) => self.is_refused(&mut world.drivers[place]),
            Action::TimesOut(place) => self.times_out(&mut world, place),
            Action::Concludes(place) => self.concludes(&mut world, place),
            Action::LooksUp(place) => self.looks_up(&mut world, place),
            Action::Judges(place) => {
                if let Phase::Looked(shown) = before.drivers[place].phase {
                    self.judges(&mut world, place, shown);
                }
            }
            Action::Crashes {
                driver,
                write_lives,
            } => self.crashes(&mut world, driver, write_lives),
            Action::CommitsLate => {
                let write = world.late.take().unwrap();
                self.commits(&mut world, write);
            }
            Action::Arrives { flight, fate } => self.arrives(&mut world, flight, fate),
            Action::Ticks => self.ticks(&mut world),
            Action::ExpirySees => world.expiry = before.row.map(|row| row.epoch),
            Action::Expires => self.expires(&mut world),
            Action::Cancels => {
                let row = before.row.unwrap();
                world.row = canceled(row, before.now).or(before.row);
            }
            Action::OperatorBegins => self.operator_begins(&mut world),
            Action::OperatorLooks => self.operator_looks(&mut world),
            Action::OperatorEnds => self.operator_ends(&mut world),
            Action::GivesBack => self.gives_back(&mut world),
        }
        world
    }

    fn owner(&self, world: &mut World) -> u8 {
        world.drives += 1;
        match self.rules.keep(Rule::OwnerIsUnique) {
            true => world.drives,
            false => 1,
        }
    }

    fn begins(&self, world: &mut World, place: usize) {
        let (owner, now) = (self.owner(world), world.now);
        let driver = &mut world.drivers[place];
        *driver = Driver {
            phase: Phase::Writing(Write::Begin { owner }),
            for_client: true,
            asked_at: now,
            ..Driver::default()
        };
        if !self.rules.keep(Rule::IntentFirst) {
            driver.holds(Row::begun(owner, now, self.lease), now);
        }
    }

    fn takes(&self, world: &mut World, place: usize, for_client: bool) {
        let owner = self.owner(world);
        let row = world.row.unwrap();
        let asked = match row.state {
            OperationState::Open => Asked::Recover { owner },
            _ => Asked::TakeOver { owner },
        };
        world.drivers[place] = Driver {
            phase: Phase::Writing(Write::Change {
                epoch: row.epoch,
                asked,
            }),
            for_client,
            asked_at: world.now,
            ..Driver::default()
        };
    }

    /// What the store makes of a write, and whether that is what stands now.
    fn commits(&self, world: &mut World, write: Write) -> bool {
        let (epoch, asked) = match (write, world.row) {
            (Write::Begin { owner }, None) => {
                world.row = Some(Row::begun(owner, world.now, self.lease));
                return true;
            }
            (Write::Begin { owner }, Some(row)) => return row.owner == owner,
            (Write::Change { epoch, asked }, Some(_)) => (epoch, asked),
            (Write::Change { .. }, None) => return false,
        };
        self.changes(world, epoch, asked, self.lease)
    }

    fn changes(&self, world: &mut World, epoch: u8, asked: Asked, lease: u8) -> bool {
        let (row, rules) = (world.row.unwrap(), self.rules);
        let epoch = match asked {
            Asked::Release if !rules.keep(Rule::ReleaseIsFenced) => row.epoch,
            _ => epoch,
        };
        let is_late = world.is_settled() && matches!(asked, Asked::Settle(_));
        if is_late && !rules.keep(Rule::StrayIsGivenBack) {
            return true;
        }
        let hides = world
            .providers
            .iter()
            .any(|provider| provider.hides_a_charge());
        let is_early = at(world.now) < ask(&row, |one| send_until(one, self.terms()));
        match changed(row, epoch, asked, lease, world.now) {
            Effect::Written(mut after) => {
                if matches!(asked, Asked::Recover { .. }) && !rules.keep(Rule::TakenOverInDoubt) {
                    after.in_doubt = row.in_doubt;
                }
                let succeeds = matches!(after.end, Some(End::Succeeded(_)));
                world.seen_through |= hides && is_early && succeeds;
                world.row = Some(after);
                true
            }
            Effect::AlreadyWritten => true,
            Effect::Refused => false,
        }
    }

    /// The driver hears what the store did.
    fn heard(&self, world: &mut World, place: usize, applied: bool) {
        let (row, now) = (world.row, world.now);
        let driver = &mut world.drivers[place];
        let Some(mut row) = row else {
            return self.is_over(world, place);
        };
        let taken = match write_of(driver) {
            Write::Begin { .. } => false,
            Write::Change { asked, .. } => match asked {
                Asked::TakeOver { .. } | Asked::Recover { .. } => true,
                Asked::FailOver { .. } => {
                    if !applied {
                        return driver.ends_with(Asked::Release);
                    }
                    false
                }
                _ => return self.is_over(world, place),
            },
        };
        if !applied || row.state != OperationState::Open {
            return self.is_over(world, place);
        }
        if taken && self.providers > 1 && !self.rules.keep(Rule::RowDecidesProvider) {
            row.provider = 1 - row.provider;
        }
        driver.holds(row, now);
    }

    fn crashes(&self, world: &mut World, place: usize, write_lives: bool) {
        let driver = std::mem::take(&mut world.drivers[place]);
        world.crashes += 1;
        if write_lives {
            world.late = Some(write_of(&driver));
        }
        for flight in &mut world.flights {
            if flight.awaited_by.map(usize::from) == Some(place) {
                flight.awaited_by = None;
            }
        }
        world.flights.sort_unstable();
    }

    fn arrives(&self, world: &mut World, flight: usize, fate: Fate) {
        let flight = world.flights.remove(flight);
        let forgets_at = world.now + self.key_retention;
        let provider = &mut world.providers[usize::from(flight.provider)];
        let reply = provider.receive(flight.provider, fate, forgets_at);
        if let Some(place) = flight.awaited_by {
            self.hears(world, usize::from(place), reply);
        }
    }

    fn ticks(&self, world: &mut World) {
        world.now += 1;
        let now = world.now;
        for provider in &mut world.providers {
            provider.forget(now);
        }
        let (lost, flying): (Vec<_>, _) = std::mem::take(&mut world.flights)
            .into_iter()
            .partition(|flight| flight.sent_at + self.transit < now);
        world.flights = flying;
        // Who still waits for a request that was lost hears nothing.
        for place in lost.into_iter().filter_map(|flight| flight.awaited_by) {
            self.times_out(world, usize::from(place));
        }
        world.row = world.row.map(|row| row.plain(now));
    }

    fn expires(&self, world: &mut World) {
        let epoch = world.expiry.take().unwrap();
        if self.rules.keep(Rule::ExpiryCompares) {
            self.changes(world, epoch, Asked::Expire, self.lease);
        } else if let Some(row) = &mut world.row
            && row.state == OperationState::Open
        {
            (row.state, row.in_doubt) = (OperationState::Released, false);
            let epoch = row.epoch;
            self.changes(world, epoch, Asked::Expire, self.lease);
        }
    }

    fn operator_begins(&self, world: &mut World) {
        let row = world.row.unwrap();
        let begins = Asked::BeginResolving { owner: OPERATOR };
        if self.changes(world, row.epoch, begins, self.lease) {
            let epoch = row.epoch + 1;
            let after = world.now + self.attempt;
            world.operator = match self.rules.keep(Rule::OperatorWaits) {
                true => Operator::Waits { epoch, after },
                false => self.shown(world, epoch),
            };
        }
    }

    fn operator_looks(&self, world: &mut World) {
        if let Operator::Waits { epoch, .. } = world.operator {
            world.operator = self.shown(world, epoch);
        }
    }

    fn shown(&self, world: &World, epoch: u8) -> Operator {
        let provider = world.row.unwrap().provider;
        let shown = match self.rules.keep(Rule::OperatorLooks) {
            true => world.providers[usize::from(provider)].shows(provider),
            false => None,
        };
        Operator::Knows { epoch, shown }
    }

    fn operator_ends(&self, world: &mut World) {
        let Operator::Knows { epoch, shown } = world.operator else {
            return;
        };
        let asked = match shown {
            Some(verdict) => Asked::Settle(verdict),
            None => Asked::ResolveFailed,
        };
        self.changes(world, epoch, asked, self.lease);
        world.operator = Operator::Done;
    }

    fn gives_back(&self, world: &mut World) {
        if let Some((charge, false)) = world.row.unwrap().stray {
            world.providers[usize::from(charge / 8)].give_back(charge);
            self.changes(world, 0, Asked::ReverseStray(charge), self.lease);
        }
    }
}

fn write_of(driver: &Driver) -> Write {
    match driver.phase {
        Phase::Writing(write) => write,
        other => panic!("nothing is asked of the store: {other:?}"),
    }
}
