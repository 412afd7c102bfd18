//! The rules of the protocol as switches: what each says is what breaks without it.

/// A rule, or the part of a rule that can be broken by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// 1: one attempt in doubt keeps its whole drive in doubt, whatever a later attempt says.
    DoubtIsJoined,
    /// 1: who takes over an expired lease starts in doubt.
    TakenOverInDoubt,
    /// 2: a refusal at the door settles only if it answers the first attempt that was ever sent.
    DoorOnlyAtFirst,
    /// 4: an attempt that was not answered is in doubt.
    NotSentNeedsEvidence,
    /// 5: a stored 5xx ends re-sending and is looked up.
    StoredErrorIsLookedUp,
    /// 6: the intent is committed before the first byte.
    IntentFirst,
    /// 7: a failover is committed before the next provider is asked.
    FailoverCommitsFirst,
    /// 7: who takes over goes to the row's provider.
    RowDecidesProvider,
    /// 8: no byte after the window, by the monotonic clock.
    MonotonicWindow,
    /// 8: no byte after the window, by the wall clock.
    WallWindow,
    /// 9: what is in doubt is sent again while the provider remembers, and its absence means
    /// nothing before a request could be neither under way nor forgotten.
    AbsenceWaits,
    /// 9: absence settles only when it was seen twice.
    AbsenceIsSeenTwice,
    /// 10: what is pending is taken up by its client alone.
    ClientAloneResumes,
    /// 11: the expiry compares state and epoch as it writes.
    ExpiryCompares,
    /// 12: a driver that lost the operation cannot release it.
    ReleaseIsFenced,
    /// 12: money after the end is recorded and given back.
    StrayIsGivenBack,
    /// 13: no attempt begins that could outlive the lease.
    WindowEndsWithLease,
    /// 15: an operator waits as long as an attempt may take.
    OperatorWaits,
    /// 15: an operator takes the operation only once nobody drives it.
    OperatorFollows,
    /// 15: an operator asks the provider before the verdict.
    OperatorLooks,
    /// 17: a driver knows its own row by a mark that nobody else has.
    OwnerIsUnique,
    /// Invariant 3: an answer is given only after its outcome is committed.
    AnswerAfterCommit,
}

/// The rules that are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    broken: u32,
}

impl Rules {
    pub(super) const ALL: Self = Self { broken: 0 };

    pub(super) const fn without(self, rule: Rule) -> Self {
        Self {
            broken: self.broken | 1 << rule as u32,
        }
    }

    pub(super) const fn keep(self, rule: Rule) -> bool {
        self.broken & (1 << rule as u32) == 0
    }
}
