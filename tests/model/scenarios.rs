//! What the model is asked about: small worlds, each with what one group of rules is about.

use super::{
    provider::Fate,
    rules::{Rule, Rules},
    world::{Clock, Scenario},
};

/// Two drives of two attempts each; a driver may be lost, with or without what it asked of the
/// store, and a reply of the store as well.
pub(super) const LOSSES: Scenario = Scenario {
    rules: Rules::ALL,
    horizon: 2,
    lease: 1,
    attempt: 0,
    transit: 1,
    key_retention: 4,
    absence_wait: 1,
    providers: 1,
    drives: 2,
    attempts_max: 2,
    crashes: 1,
    unheard: 1,
    times_out: true,
    refuses: true,
    fates: &[Fate::Approves, Fate::Declines, Fate::AtTheDoor],
    ends_pending: false,
    operator: false,
    strays: false,
    stopped_clock: None,
};

/// What is released, taken up again by its client, canceled, and expires.
pub(super) const RELEASES: Scenario = Scenario {
    horizon: 1,
    drives: 3,
    attempts_max: 1,
    fates: &[Fate::Approves],
    ends_pending: true,
    ..LOSSES
};

/// A second provider, for what the first certainly did not get.
pub(super) const TWO_PROVIDERS: Scenario = Scenario {
    attempts_max: 1,
    providers: 2,
    fates: &[Fate::Approves],
    ..LOSSES
};

/// Long enough for a provider to forget the key, and for an absence to settle.
pub(super) const RETENTION: Scenario = Scenario {
    horizon: 6,
    drives: 3,
    attempts_max: 1,
    crashes: 0,
    unheard: 0,
    refuses: false,
    fates: &[Fate::Approves, Fate::ErrorStored],
    ..LOSSES
};

/// A 5xx that is stored under the key, whether there was a charge or not.
pub(super) const STORED_ERRORS: Scenario = Scenario {
    attempts_max: 2,
    crashes: 0,
    unheard: 0,
    refuses: false,
    fates: &[Fate::ErrorAfter, Fate::ErrorStored],
    ..LOSSES
};

/// The monotonic clock of every driver stands still, as in a machine that sleeps.
pub(super) const SLEEPING: Scenario = Scenario {
    horizon: 5,
    attempts_max: 1,
    crashes: 0,
    unheard: 0,
    refuses: false,
    fates: &[Fate::Approves],
    stopped_clock: Some(Clock::Monotonic),
    ..LOSSES
};

/// The wall clock of every driver is set back again and again.
pub(super) const SET_BACK: Scenario = Scenario {
    stopped_clock: Some(Clock::Wall),
    ..SLEEPING
};

/// An operator who says that a payment in doubt has failed. An attempt takes as long as a request
/// may be on its way, and a driver may make one long after it took the lease.
pub(super) const OPERATED: Scenario = Scenario {
    horizon: 5,
    lease: 3,
    attempt: 1,
    key_retention: 12,
    unheard: 0,
    refuses: false,
    fates: &[Fate::Approves],
    operator: true,
    ..LOSSES
};

/// The same, with no more than it takes to see why an operator must not be hasty.
pub(super) const OPERATED_ONCE: Scenario = Scenario {
    attempts_max: 1,
    crashes: 0,
    ..OPERATED
};

/// An operator who does not wait, where no answer is lost: money comes after the end.
pub(super) const HASTY: Scenario = Scenario {
    rules: Rules::ALL
        .without(Rule::OperatorWaits)
        .without(Rule::OperatorFollows),
    horizon: 3,
    attempts_max: 1,
    crashes: 0,
    unheard: 0,
    times_out: false,
    refuses: false,
    fates: &[Fate::Approves],
    operator: true,
    strays: true,
    ..LOSSES
};
