//! A definite answer of a provider: the only thing that settles an operation.

/// How an approved payment stands at the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApprovedAs {
    /// The money is held, to be captured later.
    Authorized,
    /// The money has moved.
    Captured,
    /// The hold was given back.
    Voided,
    /// Money went back to the customer.
    Refunded,
}

/// The provider did what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    pub approved_as: ApprovedAs,
    /// The provider's own id: of a refund for a refund, of the payment for all else.
    pub reference: String,
}

/// The provider refused for good, and holds and moves no money under this operation's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decline {
    /// A stable code, the provider's where it gives one (`insufficient_funds`).
    pub code: String,
    /// A sentence for a person.
    pub message: String,
    /// The provider's own id, where it made one.
    pub reference: Option<String>,
    /// Whether it was refused at the door as invalid. Another attempt might have got through, so this
    /// settles only for the driver that still holds the operation.
    pub at_the_door: bool,
    /// How the payment turned out to stand there, when a capture or cancel was refused because it
    /// had changed without us.
    pub stands: Option<Stands>,
}

/// An end that a payment came to at the provider without us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// So much was captured, in minor units.
    Captured { amount: i64 },
    /// The hold is gone.
    Voided,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Approved(Approval),
    Declined(Decline),
}
