//! From a call to its execution: first validated without acting, then run against the state.

use std::time::Duration;

use super::answer::{Answer, Refusal};
use super::calls::{Call, Endpoint};
use super::cancel::CancelRequest;
use super::capture::CaptureRequest;
use super::create::CreateRequest;
use super::form::Form;
use super::lookups;
use super::refunds::RefundRequest;
use super::world::State;

/// A valid call.
pub(super) enum Command<'a> {
    Create(CreateRequest, Option<&'a str>),
    Capture(CaptureRequest),
    Cancel(CancelRequest),
    Refund(RefundRequest),
    Retrieve(&'a str, &'a Form),
    List(&'a Form),
    Search(&'a Form),
    RetrieveRefund(&'a str, &'a Form),
    ListRefunds(&'a Form),
}

impl<'a> Command<'a> {
    pub(super) fn parse(call: &'a Call) -> Result<Self, Refusal> {
        let form = &call.form;
        Ok(match &call.endpoint {
            Endpoint::Create => Self::Create(CreateRequest::parse(form)?, call.key.as_deref()),
            Endpoint::Capture(id) => Self::Capture(CaptureRequest::parse(id, form)?),
            Endpoint::Cancel(id) => Self::Cancel(CancelRequest::parse(id, form)?),
            Endpoint::Refund => Self::Refund(RefundRequest::parse(form)?),
            Endpoint::Retrieve(id) => Self::Retrieve(id, form),
            Endpoint::List => Self::List(form),
            Endpoint::Search => Self::Search(form),
            Endpoint::RetrieveRefund(id) => Self::RetrieveRefund(id, form),
            Endpoint::ListRefunds => Self::ListRefunds(form),
        })
    }

    pub(super) fn run(self, state: &mut State) -> Result<Answer, Refusal> {
        let ledger = &mut state.ledger;
        match self {
            Self::Create(request, key) => request.run(ledger, key),
            Self::Capture(request) => request.run(ledger),
            Self::Cancel(request) => request.run(ledger),
            Self::Refund(request) => request.run(ledger),
            Self::Retrieve(id, form) => lookups::retrieve(ledger, id, form),
            Self::List(form) => lookups::list(ledger, form),
            Self::Search(form) => {
                let lag = state.faults.search_lag();
                lookups::search(ledger, form, indexed_until_us(ledger.now_us(), lag))
            }
            Self::RetrieveRefund(id, form) => lookups::retrieve_refund(ledger, id, form),
            Self::ListRefunds(form) => lookups::list_refunds(ledger, form),
        }
    }
}

fn indexed_until_us(now_us: i64, lag: Duration) -> i64 {
    now_us.saturating_sub(i64::try_from(lag.as_micros()).unwrap_or(i64::MAX))
}
