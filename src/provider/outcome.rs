//! What we know after a call: the most important type of the program.

use std::time::Duration;

use crate::payment::{Approval, Decline};

/// What is known of a provider call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Definite: the provider did it.
    Approved(Approval),
    /// Definite: the provider refused, and will not do it under this key.
    Declined(Decline),
    /// Definite: it certainly never acted. It may be tried again at will.
    NotSent(NotSent),
    /// It may have acted. It may be tried again only under the same key, while the provider
    /// remembers that key.
    InDoubt(InDoubt),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotSent {
    pub reason: NotSentReason,
    /// For the log and the payment's history; names no secret and no means of payment.
    pub detail: String,
    /// How long the provider asked to be left alone.
    pub retry_after: Option<Duration>,
}

/// The evidence that nothing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotSentReason {
    /// No connection came about: DNS, connect refused, connect timeout, TLS.
    ConnectFailed,
    /// The provider's own 429.
    RateLimited,
    /// The provider's own 401 or 403: an operator must look.
    Unauthorized,
    /// We refused before the first byte: no time, no retry left, or the wrong account.
    Withheld,
    /// The breaker refused before the first byte.
    BreakerOpen,
    /// As many calls as may be were under way.
    NoRoom,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InDoubt {
    pub reason: InDoubtReason,
    /// For the log and the payment's history; names no secret and no means of payment.
    pub detail: String,
    /// The provider's id of the object, where it gave one: it can be inspected.
    pub reference: Option<String>,
}

/// Why nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InDoubtReason {
    /// No answer in time.
    Timeout,
    /// The connection broke after the first byte may have been written.
    ConnectionLost,
    /// A 5xx of this very attempt.
    ServerError,
    /// A 5xx that was stored under the key: sending again only repeats it.
    StoredServerError,
    /// 409: an earlier attempt under this key still runs.
    KeyInUse,
    /// 400: the key is known with another body. It cannot be, so an operator must look.
    KeyMismatch,
    /// The provider's object is not finished; inspecting it will tell.
    Unfinished,
    /// The answer was not understood.
    Unreadable,
    /// The answer approves something else than was asked for: an operator must look.
    Mismatch,
    /// The task that called was lost.
    CallLost,
}

impl NotSentReason {
    pub const ALL: [Self; 6] = [
        Self::ConnectFailed,
        Self::RateLimited,
        Self::Unauthorized,
        Self::Withheld,
        Self::BreakerOpen,
        Self::NoRoom,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConnectFailed => "connect_failed",
            Self::RateLimited => "rate_limited",
            Self::Unauthorized => "unauthorized",
            Self::Withheld => "withheld",
            Self::BreakerOpen => "breaker_open",
            Self::NoRoom => "no_room",
        }
    }
}

impl InDoubtReason {
    pub const ALL: [Self; 10] = [
        Self::Timeout,
        Self::ConnectionLost,
        Self::ServerError,
        Self::StoredServerError,
        Self::KeyInUse,
        Self::KeyMismatch,
        Self::Unfinished,
        Self::Unreadable,
        Self::Mismatch,
        Self::CallLost,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::ConnectionLost => "connection_lost",
            Self::ServerError => "server_error",
            Self::StoredServerError => "stored_server_error",
            Self::KeyInUse => "key_in_use",
            Self::KeyMismatch => "key_mismatch",
            Self::Unfinished => "unfinished",
            Self::Unreadable => "unreadable",
            Self::Mismatch => "mismatch",
            Self::CallLost => "call_lost",
        }
    }

    /// Whether sending the same again cannot bring a definite answer.
    pub fn ends_resending(self) -> bool {
        matches!(
            self,
            Self::StoredServerError | Self::KeyMismatch | Self::Mismatch
        )
    }

    /// Whether it can only come from a fault in the installation, so that an operator must know.
    pub fn is_alarming(self) -> bool {
        matches!(self, Self::KeyMismatch | Self::Mismatch)
    }
}

impl Outcome {
    /// The kind as a metric's label: `approved`, `declined`, `not_sent` or `in_doubt`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Approved(_) => "approved",
            Self::Declined(_) => "declined",
            Self::NotSent(_) => "not_sent",
            Self::InDoubt(_) => "in_doubt",
        }
    }

    /// Why, as a metric's label; empty for a definite answer, which has no reason of ours.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Approved(_) | Self::Declined(_) => "",
            Self::NotSent(not_sent) => not_sent.reason.as_str(),
            Self::InDoubt(in_doubt) => in_doubt.reason.as_str(),
        }
    }

    /// Every pair that [`Self::kind`] and [`Self::reason`] can make.
    pub fn kinds_and_reasons() -> impl Iterator<Item = (&'static str, &'static str)> {
        let not_sent = NotSentReason::ALL.map(|reason| ("not_sent", reason.as_str()));
        let in_doubt = InDoubtReason::ALL.map(|reason| ("in_doubt", reason.as_str()));
        [("approved", ""), ("declined", "")]
            .into_iter()
            .chain(not_sent)
            .chain(in_doubt)
    }
}
