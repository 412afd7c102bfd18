//! What the provider knows of money: intents and refunds in the order of their creation, with the
//! indexes that make each look-up quick. Every amount changes here and nowhere else.
//!
//! **Invariant:** `holding` is the number of intents whose status holds money.
//! **Invariant:** `created_us` never falls from one intent to the next, even if the clock does.

use std::collections::{BTreeMap, VecDeque};

use super::index::Index;
use super::intents::{CaptureMethod, Intent, IntentStatus, currency_code};
use super::metadata::Metadata;
use super::random::Random;
use super::refunds::Refund;

const ID_LENGTH: usize = 24;

/// Sums by currency, in minor units.
pub(super) type Sums = BTreeMap<String, i128>;

#[derive(Debug)]
pub(super) struct Ledger {
    intents: Vec<Intent>,
    refunds: Vec<Refund>,
    intent_by_id: Index,
    refund_by_id: Index,
    by_key: Index,
    by_metadata: Index,
    /// Intents in `processing`, with the time at which each ends; earliest first.
    processing: VecDeque<(i64, usize)>,
    processing_us: i64,
    now_us: i64,
    holding: u64,
    captured: Sums,
    refunded: Sums,
    ids: Random,
}

impl Ledger {
    /// An empty ledger in which `processing` lasts `processing_us` microseconds.
    pub(super) fn new(ids: Random, processing_us: i64) -> Self {
        Self {
            intents: Vec::new(),
            refunds: Vec::new(),
            intent_by_id: Index::default(),
            refund_by_id: Index::default(),
            by_key: Index::default(),
            by_metadata: Index::default(),
            processing: VecDeque::new(),
            processing_us,
            now_us: 0,
            holding: 0,
            captured: Sums::new(),
            refunded: Sums::new(),
            ids,
        }
    }

    /// Forgets everything but which ids were given out.
    pub(super) fn reset(&mut self) {
        let ids = std::mem::replace(&mut self.ids, Random::stream(0, 0));
        let now_us = self.now_us;
        *self = Self {
            now_us,
            ..Self::new(ids, self.processing_us)
        };
    }

    /// Moves the ledger's clock on and ends what was `processing` until then.
    pub(super) fn advance(&mut self, now_us: i64) {
        self.now_us = self.now_us.max(now_us);
        while let Some(&(due_us, at)) = self.processing.front()
            && due_us <= self.now_us
        {
            self.processing.pop_front();
            self.approve(at);
        }
    }

    pub(super) fn now_us(&self) -> i64 {
        self.now_us
    }

    pub(super) fn fresh_id(&mut self, prefix: &str) -> Box<str> {
        self.ids.id(prefix, ID_LENGTH)
    }

    /// Enters `intent` as it is, fills in its id and time, and answers where it stands.
    pub(super) fn open(&mut self, mut intent: Intent) -> usize {
        let at = self.intents.len();
        intent.id = self.fresh_id("pi_");
        intent.created_us = self.now_us;
        if intent.status.holds_money() {
            self.holding += 1;
        }
        self.intent_by_id.insert(&*intent.id, at);
        if let Some(key) = &intent.idempotency_key {
            self.by_key.insert(&**key, at);
        }
        for pair in intent.metadata.iter() {
            self.by_metadata.insert(&pair, at);
        }
        self.intents.push(intent);
        at
    }

    /// Adds metadata; a key that is there already takes the new value.
    pub(super) fn annotate(&mut self, at: usize, metadata: &Metadata) {
        let Some(intent) = self.intents.get_mut(at) else {
            return;
        };
        for (key, value) in metadata.iter() {
            self.by_metadata.insert(&(key, value), at);
            intent.metadata.insert(key, value);
        }
    }

    /// Attaches a charge: the issuer was asked.
    pub(super) fn charge(&mut self, at: usize) {
        let charge = self.fresh_id("ch_");
        if let Some(intent) = self.intents.get_mut(at) {
            intent.latest_charge = Some(charge);
        }
    }

    /// Starts `processing`, which [`Ledger::advance`] will end.
    pub(super) fn process(&mut self, at: usize) {
        self.set_status(at, IntentStatus::Processing);
        self.processing
            .push_back((self.now_us.saturating_add(self.processing_us), at));
    }

    /// Holds the amount, or moves it at once under automatic capture.
    pub(super) fn approve(&mut self, at: usize) {
        match self
            .get(at)
            .map(|intent| (intent.capture_method, intent.amount))
        {
            Some((CaptureMethod::Automatic, amount)) => self.capture(at, amount),
            Some((CaptureMethod::Manual, _)) => self.set_status(at, IntentStatus::RequiresCapture),
            None => {}
        }
    }

    /// Moves `amount`, at most the intent's own, and lets go of the rest.
    pub(super) fn capture(&mut self, at: usize, amount: i64) {
        self.set_status(at, IntentStatus::Succeeded);
        if let Some(intent) = self.intents.get_mut(at) {
            intent.amount_received = amount.min(intent.amount);
            let sum = self
                .captured
                .entry(currency_code(intent.currency))
                .or_default();
            *sum += i128::from(intent.amount_received);
        }
    }

    pub(super) fn cancel(&mut self, at: usize, reason: Option<Box<str>>) {
        self.set_status(at, IntentStatus::Canceled);
        if let Some(intent) = self.intents.get_mut(at) {
            intent.cancellation_reason = reason;
            intent.canceled_us = Some(self.now_us);
        }
    }

    /// Gives `amount` back, or nothing at all if less than that is left.
    pub(super) fn refund(
        &mut self,
        at: usize,
        amount: i64,
        reason: Option<Box<str>>,
        metadata: Metadata,
    ) -> Option<&Refund> {
        let id = self.fresh_id("re_");
        let created_us = self.now_us;
        let intent = self.intents.get_mut(at)?;
        if amount > intent.amount_refundable() {
            return None;
        }
        intent.amount_refunded += amount;
        *self
            .refunded
            .entry(currency_code(intent.currency))
            .or_default() += i128::from(amount);
        let position = self.refunds.len();
        intent.refunds.push(position);
        self.refund_by_id.insert(&*id, position);
        self.refunds.push(Refund {
            id,
            amount,
            currency: intent.currency,
            intent: intent.id.clone(),
            charge: intent.latest_charge.clone(),
            reason,
            metadata,
            created_us,
        });
        self.refunds.last()
    }

    fn set_status(&mut self, at: usize, status: IntentStatus) {
        if let Some(intent) = self.intents.get_mut(at) {
            self.holding -= u64::from(intent.status.holds_money());
            self.holding += u64::from(status.holds_money());
            intent.status = status;
        }
    }

    pub(super) fn get(&self, at: usize) -> Option<&Intent> {
        self.intents.get(at)
    }

    pub(super) fn find(&self, id: &str) -> Option<(usize, &Intent)> {
        let mut candidates = self.intent_by_id.candidates(id).iter();
        candidates.find_map(|&at| Some((at, self.get(at).filter(|intent| *intent.id == *id)?)))
    }

    pub(super) fn find_refund(&self, id: &str) -> Option<(usize, &Refund)> {
        let mut candidates = self.refund_by_id.candidates(id).iter();
        candidates.find_map(|&at| {
            let refund = self.refunds.get(at).filter(|refund| *refund.id == *id)?;
            Some((at, refund))
        })
    }

    /// Every intent, oldest first.
    pub(super) fn intents(&self) -> &[Intent] {
        &self.intents
    }

    /// Every refund, oldest first.
    pub(super) fn refunds(&self) -> &[Refund] {
        &self.refunds
    }

    /// Where intents that were created under `key` may be found, oldest first.
    pub(super) fn created_under(&self, key: &str) -> &[usize] {
        self.by_key.candidates(key)
    }

    /// Where intents whose metadata has this pair may be found, oldest first.
    pub(super) fn with_metadata(&self, key: &str, value: &str) -> &[usize] {
        self.by_metadata.candidates(&(key, value))
    }

    /// How many intents hold money, or have moved it.
    pub(super) fn holding(&self) -> u64 {
        self.holding
    }

    pub(super) fn captured(&self) -> &Sums {
        &self.captured
    }

    pub(super) fn refunded(&self) -> &Sums {
        &self.refunded
    }
}
