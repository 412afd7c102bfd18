//! The test payment methods and what each does, as one table.
//!
//! `pm_card_*` are Stripe's own test names; `pm_sandbox_*` are ours, for what Stripe does rarely.

use serde::Serialize;

/// What happens when a payment intent is confirmed with a payment method.
#[derive(Clone, Copy, Debug)]
pub(super) enum Behaviour {
    /// The money moves, or is held.
    Approve,
    /// The issuer says no.
    Decline(&'static Decline),
    /// The customer would have to authenticate: `requires_action`, or a decline where the caller
    /// asked for `error_on_requires_action`.
    Authenticate,
    /// `requires_action`, whatever the caller asked for.
    RequireAction,
    /// `processing` for a while, then approved.
    Process,
    /// Approved for one minor unit more than was asked: a provider that misbehaves.
    ApproveOneMore,
}

/// A card error in Stripe's words.
#[derive(Debug, Serialize)]
pub(super) struct Decline {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) code: &'static str,
    pub(super) decline_code: &'static str,
    pub(super) message: &'static str,
}

const fn decline(code: &'static str, decline_code: &'static str, message: &'static str) -> Decline {
    Decline {
        kind: "card_error",
        code,
        decline_code,
        message,
    }
}

static GENERIC: Decline = decline(
    "card_declined",
    "generic_decline",
    "Your card was declined.",
);
static FUNDS: Decline = decline(
    "card_declined",
    "insufficient_funds",
    "Your card has insufficient funds.",
);
static LOST: Decline = decline("card_declined", "lost_card", "Your card was declined.");
static STOLEN: Decline = decline("card_declined", "stolen_card", "Your card was declined.");
static EXPIRED: Decline = decline("expired_card", "expired_card", "Your card has expired.");
static CVC: Decline = decline(
    "incorrect_cvc",
    "incorrect_cvc",
    "Your card's security code is incorrect.",
);
static PROCESSING: Decline = decline(
    "processing_error",
    "processing_error",
    "An error occurred while processing your card. Try again in a little bit.",
);
/// What [`Behaviour::Authenticate`] answers under `error_on_requires_action`.
pub(super) static AUTHENTICATION: Decline = decline(
    "authentication_required",
    "authentication_not_handled",
    "This payment required an authentication action to complete, but \
     `error_on_requires_action` was set.",
);

/// Every payment method that the sandbox knows.
static TABLE: &[(&str, Behaviour)] = &[
    ("pm_card_visa", Behaviour::Approve),
    ("pm_card_visa_debit", Behaviour::Approve),
    ("pm_card_mastercard", Behaviour::Approve),
    ("pm_card_amex", Behaviour::Approve),
    ("pm_card_chargeDeclined", Behaviour::Decline(&GENERIC)),
    ("pm_card_visa_chargeDeclined", Behaviour::Decline(&GENERIC)),
    (
        "pm_card_chargeDeclinedInsufficientFunds",
        Behaviour::Decline(&FUNDS),
    ),
    (
        "pm_card_visa_chargeDeclinedInsufficientFunds",
        Behaviour::Decline(&FUNDS),
    ),
    ("pm_card_chargeDeclinedLostCard", Behaviour::Decline(&LOST)),
    (
        "pm_card_visa_chargeDeclinedLostCard",
        Behaviour::Decline(&LOST),
    ),
    (
        "pm_card_chargeDeclinedStolenCard",
        Behaviour::Decline(&STOLEN),
    ),
    (
        "pm_card_visa_chargeDeclinedStolenCard",
        Behaviour::Decline(&STOLEN),
    ),
    (
        "pm_card_chargeDeclinedExpiredCard",
        Behaviour::Decline(&EXPIRED),
    ),
    (
        "pm_card_visa_chargeDeclinedExpiredCard",
        Behaviour::Decline(&EXPIRED),
    ),
    (
        "pm_card_chargeDeclinedIncorrectCvc",
        Behaviour::Decline(&CVC),
    ),
    (
        "pm_card_visa_chargeDeclinedIncorrectCvc",
        Behaviour::Decline(&CVC),
    ),
    (
        "pm_card_chargeDeclinedProcessingError",
        Behaviour::Decline(&PROCESSING),
    ),
    (
        "pm_card_visa_chargeDeclinedProcessingError",
        Behaviour::Decline(&PROCESSING),
    ),
    ("pm_card_authenticationRequired", Behaviour::Authenticate),
    ("pm_card_threeDSecure2Required", Behaviour::Authenticate),
    ("pm_sandbox_processing", Behaviour::Process),
    ("pm_sandbox_requires_action", Behaviour::RequireAction),
    ("pm_sandbox_wrong_amount", Behaviour::ApproveOneMore),
];

/// The table's own copy of the name, and what it does; `None` for a name that is not in it.
pub(super) fn find(name: &str) -> Option<(&'static str, Behaviour)> {
    TABLE.iter().copied().find(|(known, _)| *known == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_stands_twice_in_the_table() {
        let mut names: Vec<_> = TABLE.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        names.dedup();

        assert_eq!(names.len(), TABLE.len());
    }
}
