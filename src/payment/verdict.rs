//! A definite answer of a provider: the only thing that settles an operation.

/// How an approved payment stands at the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApprovedAs {
    /// The money is held, to be captured later.
    Authorized,
    /// The money has moved.
    Captured,
}

/// The provider did what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    pub approved_as: ApprovedAs,
    /// The provider's own id of the payment.
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
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Approved(Approval),
    Declined(Decline),
}
