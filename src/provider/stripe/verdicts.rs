//! Outcomes, made in one line each.

use crate::{
    payment::{Approval, ApprovedAs, Decline},
    provider::{InDoubt, InDoubtReason, NotSent, NotSentReason, Outcome},
};

pub(super) fn approved(approved_as: ApprovedAs, reference: &str) -> Outcome {
    Outcome::Approved(Approval {
        approved_as,
        reference: reference.to_owned(),
    })
}

pub(super) fn decline(code: &str, message: &str, reference: Option<&str>) -> Decline {
    Decline {
        code: code.to_owned(),
        message: message.to_owned(),
        reference: reference.map(str::to_owned),
        at_the_door: false,
        stands: None,
    }
}

pub(super) fn in_doubt(reason: InDoubtReason, detail: impl Into<String>) -> Outcome {
    Outcome::InDoubt(InDoubt {
        reason,
        detail: detail.into(),
        reference: None,
    })
}

pub(super) fn in_doubt_about(reason: InDoubtReason, detail: &str, reference: &str) -> Outcome {
    Outcome::InDoubt(InDoubt {
        reason,
        detail: detail.to_owned(),
        reference: Some(reference.to_owned()),
    })
}

pub(super) fn not_sent(reason: NotSentReason, detail: impl Into<String>) -> Outcome {
    Outcome::NotSent(NotSent {
        reason,
        detail: detail.into(),
        retry_after: None,
    })
}

pub(super) fn withheld(detail: &str) -> Outcome {
    not_sent(NotSentReason::Withheld, detail)
}
