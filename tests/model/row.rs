//! One operation's row, small enough to be remembered by the million.

use std::time::Duration;

use oncepay::payment::{OperationState, Timestamp};

/// A step of the model's time: an hour, so that the margin of the send window is one step.
pub(super) const TICK: Duration = Duration::from_secs(3_600);
const TICK_MICROS: i64 = 3_600_000_000;

/// A charge at a provider: eight numbers for each provider.
pub(super) type Charge = u8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Row {
    pub(super) state: OperationState,
    pub(super) epoch: u8,
    pub(super) owner: u8,
    pub(super) lease_until: u8,
    pub(super) provider: u8,
    pub(super) first_sent_at: u8,
    pub(super) in_doubt: bool,
    pub(super) resends_barred: bool,
    pub(super) absent_at: Option<u8>,
    pub(super) end: Option<End>,
    pub(super) stray: Option<(Charge, GivenBack)>,
}

pub(super) type GivenBack = bool;

/// How a settled operation ended: what its stored answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum End {
    Succeeded(Charge),
    Declined,
    NotExecuted,
    Expired,
    Canceled,
    ByOperator,
}

/// A definite answer of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Verdict {
    Approved(Charge),
    Declined,
    AtTheDoor,
}

/// What is asked of the store: the names are those of `payment::Change`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Asked {
    TakeOver { owner: u8 },
    Recover { owner: u8 },
    Settle(Verdict),
    SettleAbsent,
    LeaveInDoubt { bar_resends: bool, absent: bool },
    Release,
    FailOver { to: u8 },
    Expire,
    BeginResolving { owner: u8 },
    ResolveFailed,
    ReverseStray(Charge),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Effect {
    Written(Row),
    AlreadyWritten,
    Refused,
}

impl Row {
    /// The row that an intent inserts.
    pub(super) fn begun(owner: u8, now: u8, lease: u8) -> Self {
        Self {
            state: OperationState::Open,
            epoch: 1,
            owner,
            lease_until: now + lease,
            provider: 0,
            first_sent_at: now,
            in_doubt: false,
            resends_barred: false,
            absent_at: None,
            end: None,
            stray: None,
        }
    }

    /// `Operation::is_leased` of the row.
    pub(super) fn is_leased(&self, now: u8) -> bool {
        self.state == OperationState::Open && now < self.lease_until
    }

    /// Forgets what no longer makes a difference, so that fewer rows differ.
    pub(super) fn plain(mut self, now: u8) -> Self {
        if self.lease_until <= now || self.state != OperationState::Open {
            self.lease_until = 0;
        }
        if self.state == OperationState::Settled {
            (self.first_sent_at, self.absent_at) = (0, None);
            self.resends_barred = false;
        }
        self
    }
}

pub(super) fn at(tick: u8) -> Timestamp {
    Timestamp::from_micros(i64::from(tick) * TICK_MICROS)
}

pub(super) fn tick_of(time: Timestamp) -> u8 {
    u8::try_from(time.as_micros().div_euclid(TICK_MICROS)).unwrap()
}
