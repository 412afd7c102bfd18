//! For whom a provider is asked.

/// Who waits for a call. Settling what is in doubt has ways and limits of its own (rule 13).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A client's request.
    Client,
    /// An operation in doubt that is being settled: it passes a breaker that an operator forced
    /// open, for the sake of the payments that went out before.
    Settling,
}
