//! What a driver does: the way of `actors/held.rs` and `actors/provider/attempts.rs`, with the shipped
//! window, step and judgement.

use std::{sync::LazyLock, time::Duration};

use oncepay::{
    payment::{Absence, OperationState, ProviderTerms, Step, judge_absence, next_step, send_until},
    resilience::SendWindow,
};
use tokio::time::Instant;

use super::{
    provider::{Flight, Reply},
    row::{Asked, Row, TICK, Verdict, at},
    rules::Rule,
    shipped::ask,
    world::{Clock, Driver, Phase, Scenario, World, Write},
};

/// When the monotonic clock of every machine began.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Driver {
    fn held(&self) -> &Row {
        self.row.as_ref().unwrap()
    }

    fn is_in_doubt(&self) -> bool {
        self.doubt || self.held().in_doubt
    }

    /// Asks the store for the last change of this drive.
    pub(super) fn ends_with(&mut self, asked: Asked) {
        let epoch = self.held().epoch;
        *self = Self {
            phase: Phase::Writing(Write::Change { epoch, asked }),
            for_client: self.for_client,
            ..Self::default()
        };
    }

    /// Holds the row since it was read.
    pub(super) fn holds(&mut self, row: Row, now: u8) {
        *self = Self {
            phase: Phase::Holding,
            for_client: self.for_client,
            asked_at: self.asked_at,
            row: Some(Row { owner: 0, ..row }),
            read_at: now,
            refused_by: self.refused_by,
            ..Self::default()
        };
    }
}

impl Scenario {
    pub(super) fn terms(&self) -> ProviderTerms {
        ProviderTerms {
            key_retention: TICK * u32::from(self.key_retention),
            absence_wait: TICK * u32::from(self.absence_wait),
        }
    }

    /// The terms by which what is absent is judged.
    fn terms_of_absence(&self) -> ProviderTerms {
        match self.rules.keep(Rule::AbsenceWaits) {
            true => self.terms(),
            false => ProviderTerms {
                key_retention: Duration::ZERO,
                absence_wait: Duration::ZERO,
            },
        }
    }

    pub(super) fn step(&self, driver: &Driver) -> Step {
        let row = driver.held();
        if driver.stored_error && self.rules.keep(Rule::StoredErrorIsLookedUp) {
            return Step::LookUp;
        }
        let terms = match row.in_doubt {
            true => self.terms_of_absence(),
            false => self.terms(),
        };
        ask(row, |operation| {
            next_step(operation, terms, at(driver.read_at))
        })
    }

    /// What an attempt asks before its first byte.
    pub(super) fn window_is_open(&self, driver: &Driver, now: u8) -> bool {
        let row = driver.held();
        let sent = ask(row, |operation| send_until(operation, self.terms()));
        let leased = at(row.lease_until).minus(TICK * u32::from(self.attempt));
        let until = match self.rules.keep(Rule::WindowEndsWithLease) {
            true => leased.min(sent),
            false => sent,
        };
        let asked = driver.asked_at;
        let monotonic = |tick: u8| *START + TICK * u32::from(tick);
        let wall = |tick: u8| at(tick).as_micros();
        let shows = |clock: Clock, rule: Rule| {
            let goes = self.stopped_clock != Some(clock) && self.rules.keep(rule);
            if goes { now } else { asked }
        };
        SendWindow::opened(
            monotonic(asked),
            wall(asked),
            until.since(at(driver.read_at)),
        )
        .is_open(
            monotonic(shows(Clock::Monotonic, Rule::MonotonicWindow)),
            wall(shows(Clock::Wall, Rule::WallWindow)),
        )
    }

    pub(super) fn sends(&self, world: &mut World, place: usize) {
        let driver = &mut world.drivers[place];
        world.behind_its_back |= world.told_pending;
        driver.phase = Phase::Waiting;
        world.flights.push(Flight {
            provider: driver.held().provider,
            sent_at: world.now,
            awaited_by: u8::try_from(place).ok(),
        });
        world.flights.sort_unstable();
    }

    pub(super) fn is_refused(&self, driver: &mut Driver) {
        driver.attempts += 1;
        driver.refused_by |= 1 << driver.held().provider;
        driver.phase = Phase::Holding;
    }

    pub(super) fn times_out(&self, world: &mut World, place: usize) {
        for flight in &mut world.flights {
            if flight.awaited_by.map(usize::from) == Some(place) {
                flight.awaited_by = None;
            }
        }
        world.flights.sort_unstable();
        let driver = &mut world.drivers[place];
        match self.rules.keep(Rule::NotSentNeedsEvidence) {
            true => doubts(driver),
            false => self.is_refused(driver),
        }
    }

    /// The provider's answer to the attempt that the driver waits for.
    pub(super) fn hears(&self, world: &mut World, place: usize, reply: Reply) {
        let driver = &mut world.drivers[place];
        let verdict = match reply {
            Reply::Definite(Verdict::AtTheDoor) if !self.rules.keep(Rule::DoorOnlyAtFirst) => {
                Verdict::Declined
            }
            Reply::Definite(Verdict::AtTheDoor) if driver.is_in_doubt() => return doubts(driver),
            Reply::Definite(verdict) => verdict,
            Reply::ServerError => return doubts(driver),
            Reply::StoredServerError => {
                driver.stored_error = true;
                return doubts(driver);
            }
        };
        driver.ends_with(Asked::Settle(verdict));
        if driver.for_client && !self.rules.keep(Rule::AnswerAfterCommit) {
            world.say(verdict.end());
        }
    }

    /// The attempts are over, and none was definite.
    pub(super) fn concludes(&self, world: &mut World, place: usize) {
        let now = world.now;
        let driver = &mut world.drivers[place];
        let row = *driver.held();
        let here = 1 << row.provider;
        let forgets_doubt = !self.rules.keep(Rule::DoubtIsJoined) && driver.refused_by & here != 0;
        if driver.is_in_doubt() && !forgets_doubt {
            return driver.ends_with(Asked::LeaveInDoubt {
                bar_resends: false,
                absent: false,
            });
        }
        driver.refused_by |= here;
        let next = 1 - row.provider;
        if next >= self.providers || driver.refused_by & (1 << next) != 0 {
            return driver.ends_with(Asked::Release);
        }
        if !self.rules.keep(Rule::FailoverCommitsFirst) {
            let turned = Row {
                provider: next,
                ..row
            };
            return driver.holds(turned, driver.read_at);
        }
        driver.phase = Phase::Writing(Write::Change {
            epoch: row.epoch,
            asked: Asked::FailOver { to: next },
        });
        driver.asked_at = now;
    }

    pub(super) fn looks_up(&self, world: &mut World, place: usize) {
        let driver = &mut world.drivers[place];
        let provider = driver.held().provider;
        let shown = world.providers[usize::from(provider)].shows(provider);
        driver.phase = Phase::Looked(shown);
    }

    pub(super) fn judges(&self, world: &mut World, place: usize, shown: Option<Verdict>) {
        let now = world.now;
        let driver = &mut world.drivers[place];
        if let Some(verdict) = shown {
            return driver.ends_with(Asked::Settle(verdict));
        }
        let waited = match self.stopped_clock {
            Some(Clock::Monotonic) => 0,
            _ => now - driver.asked_at,
        };
        let now = at(driver.read_at + waited);
        let terms = self.terms_of_absence();
        let judged = ask(driver.held(), |operation| {
            judge_absence(operation, terms, now)
        });
        let twice = self.rules.keep(Rule::AbsenceIsSeenTwice);
        driver.ends_with(match judged {
            Absence::Settles => Asked::SettleAbsent,
            Absence::First { .. } if !twice => Asked::SettleAbsent,
            Absence::First { .. } => left(true),
            Absence::MeansNothing { .. } | Absence::OperatorOnly => left(false),
        });
    }

    /// What the client is told, or nobody, as the drive ends.
    pub(super) fn is_over(&self, world: &mut World, place: usize) {
        let for_client = std::mem::take(&mut world.drivers[place]).for_client;
        let Some(row) = world.row.filter(|_| for_client) else {
            return;
        };
        if let Some(end) = row.end {
            world.say(end);
        }
        let asked_elsewhere =
            world.late.is_some() || world.drivers.iter().any(|driver| driver.for_client);
        if row.state == OperationState::Released && !asked_elsewhere {
            world.told_pending = true;
        }
    }
}

fn doubts(driver: &mut Driver) {
    driver.attempts += 1;
    driver.doubt = true;
    driver.phase = Phase::Holding;
}

fn left(absent: bool) -> Asked {
    Asked::LeaveInDoubt {
        bar_resends: true,
        absent,
    }
}
