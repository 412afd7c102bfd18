//! Everything there is: the row, the drivers, the providers, what is on its way, and what clients
//! were told; and how much may still go wrong.

use oncepay::payment::OperationState;

use super::{
    provider::{Fate, Flight, Provider},
    row::{Asked, Charge, End, Row, Verdict},
    rules::Rules,
};

/// What a scenario is about: times in ticks, and how much may happen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scenario {
    pub(super) rules: Rules,
    /// Until when time goes on.
    pub(super) horizon: u8,
    pub(super) lease: u8,
    /// The time limit of an attempt.
    pub(super) attempt: u8,
    /// The longest that a request is on its way.
    pub(super) transit: u8,
    pub(super) key_retention: u8,
    pub(super) absence_wait: u8,
    pub(super) providers: u8,
    pub(super) drives: u8,
    pub(super) attempts_max: u8,
    pub(super) crashes: u8,
    /// Commits whose reply is lost.
    pub(super) unheard: u8,
    /// Whether an attempt may end unanswered.
    pub(super) times_out: bool,
    /// Whether an attempt may certainly not reach the provider.
    pub(super) refuses: bool,
    pub(super) fates: &'static [Fate],
    /// Whether what is pending may be canceled and may expire.
    pub(super) ends_pending: bool,
    /// Whether an operator may say that it failed.
    pub(super) operator: bool,
    /// Whether money may come after the end, by the rules that are broken from the start.
    pub(super) strays: bool,
    /// A clock of every machine that stands still.
    pub(super) stopped_clock: Option<Clock>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clock {
    Monotonic,
    Wall,
}

/// A driver, and what it is about to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Driver {
    pub(super) phase: Phase,
    /// Whether a client waits for it.
    pub(super) for_client: bool,
    /// When it asked for the lease, by its own clocks.
    pub(super) asked_at: u8,
    /// The row as it was read, and when, by the store's clock.
    pub(super) row: Option<Row>,
    pub(super) read_at: u8,
    pub(super) attempts: u8,
    /// Whether an attempt of this drive may have acted.
    pub(super) doubt: bool,
    /// Whether the provider answered with a 5xx that is stored under the key.
    pub(super) stored_error: bool,
    /// Providers that were certainly not reached, a bit each.
    pub(super) refused_by: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    #[default]
    Idle,
    /// Asks the store until it answers.
    Writing(Write),
    /// Holds the operation, and may act.
    Holding,
    /// An attempt is under way.
    Waiting,
    /// Has been shown this by the provider.
    Looked(Option<Verdict>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Write {
    Begin { owner: u8 },
    Change { epoch: u8, asked: Asked },
}

/// An operator who wants to end the operation as failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Operator {
    #[default]
    Away,
    /// Until no attempt can be under way.
    Waits {
        epoch: u8,
        after: u8,
    },
    Knows {
        epoch: u8,
        shown: Option<Verdict>,
    },
    Done,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) now: u8,
    pub(super) row: Option<Row>,
    pub(super) drivers: [Driver; 2],
    pub(super) providers: [Provider; 2],
    /// At most two, in order.
    pub(super) flights: Vec<Flight>,
    /// What a driver asked of the store before it was lost; it may still be carried out.
    pub(super) late: Option<Write>,
    /// The epoch of the released row that the expiry has seen.
    pub(super) expiry: Option<u8>,
    pub(super) operator: Operator,
    pub(super) drives: u8,
    pub(super) crashes: u8,
    pub(super) unheard: u8,
    /// The definite answers that clients got.
    pub(super) said: [Option<End>; 2],
    /// An answer was given that is not the stored one.
    pub(super) said_uncommitted: bool,
    /// The client knows that it is not charged, and asks for nothing.
    pub(super) told_pending: bool,
    /// Something was sent although the client was told that nothing is.
    pub(super) behind_its_back: bool,
    /// A charge behind a stored 5xx was found while sending again was still allowed.
    pub(super) seen_through: bool,
}

impl World {
    pub(super) fn is_settled(&self) -> bool {
        self.row
            .is_some_and(|row| row.state == OperationState::Settled)
    }

    pub(super) fn end(&self) -> Option<End> {
        self.row.and_then(|row| row.end)
    }

    pub(super) fn standing(&self) -> impl Iterator<Item = Charge> + use<> {
        let [first, second] = self.providers;
        first.standing(0).chain(second.standing(1))
    }

    /// Charges that nobody is going to give back.
    pub(super) fn unaccounted(&self) -> usize {
        self.standing()
            .filter(|charge| !self.is_known_stray(*charge))
            .count()
    }

    fn is_known_stray(&self, charge: Charge) -> bool {
        let recorded = (self.row.and_then(|row| row.stray)).is_some_and(|(one, _)| one == charge);
        let settles = Asked::Settle(Verdict::Approved(charge));
        let in_hand = self.drivers.iter().any(|driver| {
            matches!(driver.phase, Phase::Writing(Write::Change { asked, .. }) if asked == settles)
        });
        let is_wanted = self.end() == Some(End::Succeeded(charge));
        recorded || (in_hand && self.is_settled() && !is_wanted)
    }

    /// Tells a client how its payment ended.
    pub(super) fn say(&mut self, end: End) {
        self.said_uncommitted |= self.end() != Some(end);
        let [first, second] = &mut self.said;
        match first {
            None => *first = Some(end),
            Some(said) if *said != end => *second = Some(end),
            Some(_) => {}
        }
    }
}
