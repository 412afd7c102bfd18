//! A store in memory that decides as the real ones do, and fails when told.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex},
};

use futures_util::future::{BoxFuture, FutureExt};
use oncepay::{
    environment::Environment,
    payment::{
        ApiKey, ApiKeyId, Begun, Change, Effect, IdempotencyKey, Inadmissible, Merchant,
        MerchantId, Mode, NewFollowUp, NewOperation, Operation, OperationChange, OperationId,
        OperationKind, OperationState, Payment, PaymentId, RecordedEvent, Scope, Standing,
        Timestamp, admit, apply,
    },
    store::{
        Claim, Doubts, Installation, PaymentPage, PaymentQuery, ReadError, Store, UnsettledRoute,
        WriteError,
    },
};

/// What goes wrong with the next batch.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// Nothing reaches the database.
    NotWritten,
    /// It commits, and nobody hears of it.
    ReplyLost,
    /// It hangs until the notice, and commits then.
    Stalls(Arc<tokio::sync::Notify>),
    /// The writer panics.
    Panics,
}

#[derive(Default)]
struct Rows {
    operations: BTreeMap<OperationId, Operation>,
    payments: HashMap<PaymentId, Payment>,
    by_scope: HashMap<Scope, OperationId>,
    faults: VecDeque<Fault>,
    batches: Vec<usize>,
}

impl Rows {
    fn standing(&self, operation: &Operation, now: Timestamp) -> Standing {
        Standing {
            operation: operation.clone(),
            payment: self.payments[&operation.payment_id].clone(),
            applied: false,
            now,
        }
    }

    fn under_key(&self, scope: &Scope, now: Timestamp) -> Option<Standing> {
        let id = self.by_scope.get(scope)?;
        Some(self.standing(&self.operations[id], now))
    }

    /// What has the key of `ours`; who finds himself has won.
    fn known(&self, ours: &Operation, now: Timestamp) -> Option<Standing> {
        let mut standing = self.under_key(&scope(ours), now)?;
        standing.applied =
            standing.operation.id == ours.id && standing.operation.owner == ours.owner;
        Some(standing)
    }

    fn put(&mut self, operation: Operation, payment: Payment) {
        self.by_scope.insert(scope(&operation), operation.id);
        self.operations.insert(operation.id, operation);
        self.payments.insert(payment.id, payment);
    }

    fn begin(&mut self, new: NewOperation, now: Timestamp) -> Standing {
        let mut operation = new.operation;
        operation.lease_until = now.plus(new.lease);
        operation.next_recovery_at = now.plus(new.lease);
        operation.first_sent_at = now;
        if self.known(&operation, now).is_none() {
            self.put(operation.clone(), new.payment);
        }
        self.known(&operation, now).unwrap()
    }

    fn begin_follow_up(&mut self, new: &NewFollowUp, now: Timestamp) -> Begun {
        if let Some(standing) = self.known(&new.operation, now) {
            return Begun::Standing(Box::new(standing));
        }
        let id = new.operation.payment_id;
        let Some(payment) = self.payments.get(&id) else {
            return Begun::Inadmissible(Inadmissible::NoSuchPayment);
        };
        let unsettled: Vec<_> = self.unsettled(id).cloned().collect();
        match admit(payment, &unsettled, new, now) {
            Err(inadmissible) => Begun::Inadmissible(inadmissible),
            Ok(admitted) => {
                if let Some(ended) = admitted.ended {
                    self.operations.insert(ended.id, ended);
                }
                self.put(admitted.operation, admitted.payment);
                let standing = self.known(&new.operation, now).unwrap();
                Begun::Standing(Box::new(standing))
            }
        }
    }

    fn unsettled(&self, id: PaymentId) -> impl Iterator<Item = &Operation> {
        let of_payment = move |one: &&Operation| one.payment_id == id;
        let is_unsettled = |one: &&Operation| one.state != OperationState::Settled;
        self.operations
            .values()
            .filter(of_payment)
            .filter(is_unsettled)
    }

    fn change(&mut self, change: &OperationChange, now: Timestamp) -> Result<Standing, WriteError> {
        let unknown = || WriteError::Rejected("no such operation".into());
        let operation = (self.operations.get(&change.operation_id)).ok_or_else(unknown)?;
        let payment = &self.payments[&operation.payment_id];
        let effect = apply(operation, payment, change, now);
        let effect = effect.map_err(|error| WriteError::Rejected(error.to_string()))?;
        let applied = effect != Effect::Refused;
        if let Effect::Written {
            operation, payment, ..
        } = effect
        {
            self.put(*operation, *payment);
        }
        let standing = self.standing(&self.operations[&change.operation_id], now);
        Ok(Standing {
            applied,
            ..standing
        })
    }

    fn claim(&mut self, claim: &Claim, now: Timestamp) -> Vec<Standing> {
        let mut due: Vec<_> = (self.operations.values())
            .filter(|one| one.state == OperationState::Open && !one.is_leased(now))
            .filter(|one| one.next_recovery_at <= now)
            .filter(|one| claim.providers.contains(&one.route.provider))
            .filter(|one| one.can_only_be_found() == claim.to_be_found)
            .map(|one| (one.next_recovery_at, one.id, one.epoch))
            .collect();
        due.sort();
        due.truncate(usize::try_from(claim.limit).unwrap());
        let claimed = due.into_iter().filter_map(|(_, operation_id, epoch)| {
            let recover = OperationChange {
                operation_id,
                epoch,
                change: Change::Recover {
                    owner: claim.owner,
                    lease: claim.lease,
                },
                at: claim.at,
            };
            self.change(&recover, now)
                .ok()
                .filter(|standing| standing.applied)
        });
        claimed.collect()
    }
}

#[derive(Clone)]
pub(super) struct ModelStore {
    rows: Arc<Mutex<Rows>>,
    environment: Environment,
}

impl ModelStore {
    pub(super) fn new(environment: Environment) -> Self {
        Self {
            rows: Arc::default(),
            environment,
        }
    }

    pub(super) fn fail_next(&self, fault: Fault) {
        self.rows.lock().unwrap().faults.push_back(fault);
    }

    pub(super) fn rows(&self, key: &str) -> Option<(Operation, Payment)> {
        let rows = self.rows.lock().unwrap();
        let operation = rows
            .operations
            .values()
            .find(|one| one.idempotency_key.as_str() == key)?;
        let payment = &rows.payments[&operation.payment_id];
        Some((operation.clone(), payment.clone()))
    }

    /// Puts an operation there as a driver of another node left it.
    pub(super) fn plant(&self, operation: Operation, payment: Payment) {
        self.rows.lock().unwrap().put(operation, payment);
    }

    pub(super) fn batches(&self) -> Vec<usize> {
        self.rows.lock().unwrap().batches.clone()
    }

    async fn write<A: Clone>(
        &self,
        rows: usize,
        write: impl FnOnce(&mut Rows, Timestamp) -> Vec<Result<A, WriteError>>,
    ) -> Vec<Result<A, WriteError>> {
        let fault = self.rows.lock().unwrap().faults.pop_front();
        match &fault {
            Some(Fault::NotWritten) => {
                return vec![Err(WriteError::NotWritten("down".into())); rows];
            }
            Some(Fault::Stalls(notice)) => notice.notified().await,
            Some(Fault::Panics) => panic!("a test's fault"),
            Some(Fault::ReplyLost) | None => {}
        }
        let mut guard = self.rows.lock().unwrap();
        guard.batches.push(rows);
        let written = write(&mut guard, self.environment.now());
        match fault {
            Some(Fault::ReplyLost) => vec![Err(WriteError::Unknown("lost".into())); rows],
            _ => written,
        }
    }

    /// The operations that match, with their payments, in the order of `by`.
    fn standings<K: Ord>(
        &self,
        limit: u32,
        matches: impl Fn(&Operation) -> bool,
        by: impl Fn(&Operation) -> K,
    ) -> Vec<Standing> {
        let now = self.environment.now();
        let rows = self.rows.lock().unwrap();
        let mut found: Vec<_> = (rows.operations.values())
            .filter(|one| matches(one))
            .collect();
        found.sort_by_key(|one| by(one));
        let found = found.into_iter().take(usize::try_from(limit).unwrap());
        found.map(|one| rows.standing(one, now)).collect()
    }
}

fn scope(operation: &Operation) -> Scope {
    Scope {
        merchant_id: operation.merchant_id,
        mode: operation.mode,
        key: operation.idempotency_key.clone(),
    }
}

impl Store for ModelStore {
    fn begin(&self, batch: Vec<NewOperation>) -> BoxFuture<'_, Vec<Result<Standing, WriteError>>> {
        self.write(batch.len(), move |rows, now| {
            let begin = |new| Ok(rows.begin(new, now));
            batch.into_iter().map(begin).collect()
        })
        .boxed()
    }

    fn change(
        &self,
        batch: Vec<OperationChange>,
    ) -> BoxFuture<'_, Vec<Result<Standing, WriteError>>> {
        self.write(batch.len(), move |rows, now| {
            let change = |change| rows.change(change, now);
            batch.iter().map(change).collect()
        })
        .boxed()
    }

    fn begin_follow_ups(
        &self,
        batch: Vec<NewFollowUp>,
    ) -> BoxFuture<'_, Vec<Result<Begun, WriteError>>> {
        self.write(batch.len(), move |rows, now| {
            let begin = |new| Ok(rows.begin_follow_up(new, now));
            batch.iter().map(begin).collect()
        })
        .boxed()
    }

    fn claim(&self, claim: Claim) -> BoxFuture<'_, Result<Vec<Standing>, WriteError>> {
        // The faults are for what drives write.
        async move {
            let now = self.environment.now();
            Ok(self.rows.lock().unwrap().claim(&claim, now))
        }
        .boxed()
    }

    fn expired(&self, limit: u32) -> BoxFuture<'_, Result<Vec<(OperationId, i64)>, ReadError>> {
        async move {
            let now = self.environment.now();
            let is_over = |one: &Operation| {
                one.state == OperationState::Released && one.next_recovery_at <= now
            };
            let expired = self.standings(limit, is_over, |one| one.next_recovery_at);
            let expired = expired.into_iter().map(|one| one.operation);
            Ok(expired.map(|one| (one.id, one.epoch)).collect())
        }
        .boxed()
    }

    fn loose_ends(&self, limit: u32) -> BoxFuture<'_, Result<Vec<Standing>, ReadError>> {
        async move {
            Ok(self.standings(limit, Operation::has_loose_end, |one| one.next_recovery_at))
        }
        .boxed()
    }

    fn in_doubt(&self, limit: u32) -> BoxFuture<'_, Result<Vec<Standing>, ReadError>> {
        async move { Ok(self.standings(limit, is_in_doubt, |one| one.in_doubt_since)) }.boxed()
    }

    fn doubts(&self) -> BoxFuture<'_, Result<Vec<Doubts>, ReadError>> {
        async move {
            let mut doubts: BTreeMap<String, Doubts> = BTreeMap::new();
            for one in self.standings(u32::MAX, is_in_doubt, |one| one.in_doubt_since) {
                let provider = one.operation.route.provider;
                let of_provider = doubts.entry(provider.clone()).or_insert(Doubts {
                    provider,
                    count: 0,
                    // The first is the oldest.
                    oldest_since: one.operation.in_doubt_since.unwrap(),
                    now: one.now,
                });
                of_provider.count += 1;
            }
            Ok(doubts.into_values().collect())
        }
        .boxed()
    }

    fn operation_by_id(
        &self,
        id: OperationId,
    ) -> BoxFuture<'_, Result<Option<Standing>, ReadError>> {
        async move { Ok(self.standings(1, |one| one.id == id, |one| one.id).pop()) }.boxed()
    }

    fn unsettled_of(&self, id: PaymentId) -> BoxFuture<'_, Result<Vec<Standing>, ReadError>> {
        async move {
            let is_unsettled =
                |one: &Operation| one.payment_id == id && one.state != OperationState::Settled;
            Ok(self.standings(u32::MAX, is_unsettled, |one| one.id))
        }
        .boxed()
    }

    fn refunds(
        &self,
        merchant_id: MerchantId,
        mode: Mode,
        id: PaymentId,
    ) -> BoxFuture<'_, Result<Option<Vec<Operation>>, ReadError>> {
        async move {
            if self.payment(merchant_id, mode, id).await?.is_none() {
                return Ok(None);
            }
            let is_refund =
                |one: &Operation| one.payment_id == id && one.kind == OperationKind::Refund;
            let refunds = self.standings(100, is_refund, |one| Reverse(one.id));
            Ok(Some(refunds.into_iter().map(|one| one.operation).collect()))
        }
        .boxed()
    }

    fn operation<'a>(
        &'a self,
        merchant_id: MerchantId,
        mode: Mode,
        key: &'a IdempotencyKey,
    ) -> BoxFuture<'a, Result<Option<Standing>, ReadError>> {
        async move {
            let scope = Scope {
                merchant_id,
                mode,
                key: key.clone(),
            };
            let now = self.environment.now();
            Ok(self.rows.lock().unwrap().under_key(&scope, now))
        }
        .boxed()
    }

    fn payment(
        &self,
        merchant_id: MerchantId,
        mode: Mode,
        id: PaymentId,
    ) -> BoxFuture<'_, Result<Option<Payment>, ReadError>> {
        async move {
            let payment = self.rows.lock().unwrap().payments.get(&id).cloned();
            Ok(payment.filter(|one| (one.merchant_id, one.mode) == (merchant_id, mode)))
        }
        .boxed()
    }

    fn payments_between(
        &self,
        _: Timestamp,
        _: Timestamp,
        _: Option<PaymentId>,
        _: u32,
    ) -> BoxFuture<'_, Result<Vec<Payment>, ReadError>> {
        unasked()
    }

    fn payments_by_id(&self, _: Vec<PaymentId>) -> BoxFuture<'_, Result<Vec<Payment>, ReadError>> {
        unasked()
    }

    fn unsettled_after(
        &self,
        _: Option<OperationId>,
        _: u32,
    ) -> BoxFuture<'_, Result<Vec<Standing>, ReadError>> {
        unasked()
    }

    fn payments<'a>(
        &'a self,
        _: &'a PaymentQuery,
    ) -> BoxFuture<'a, Result<PaymentPage, ReadError>> {
        unasked()
    }

    fn events(
        &self,
        _: MerchantId,
        _: Mode,
        _: PaymentId,
    ) -> BoxFuture<'_, Result<Option<Vec<RecordedEvent>>, ReadError>> {
        unasked()
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), ReadError>> {
        unasked()
    }

    fn unsettled_routes(&self) -> BoxFuture<'_, Result<Vec<UnsettledRoute>, ReadError>> {
        unasked()
    }

    fn create_merchant(&self, _: Merchant) -> BoxFuture<'_, Result<Merchant, WriteError>> {
        unasked()
    }

    fn merchants(&self) -> BoxFuture<'_, Result<Vec<Merchant>, ReadError>> {
        unasked()
    }

    fn create_api_key(&self, _: ApiKey) -> BoxFuture<'_, Result<ApiKey, WriteError>> {
        unasked()
    }

    fn api_keys(&self) -> BoxFuture<'_, Result<Vec<ApiKey>, ReadError>> {
        unasked()
    }

    fn revoke_api_key(&self, _: ApiKeyId, _: Timestamp) -> BoxFuture<'_, Result<bool, WriteError>> {
        unasked()
    }

    fn find_api_key(&self, _: [u8; 32]) -> BoxFuture<'_, Result<Option<ApiKey>, ReadError>> {
        unasked()
    }

    fn keep_installation(
        &self,
        _: Installation,
    ) -> BoxFuture<'_, Result<Installation, WriteError>> {
        unasked()
    }

    fn renew_installation(
        &self,
        _: Installation,
    ) -> BoxFuture<'_, Result<Installation, WriteError>> {
        unasked()
    }

    fn installation(&self) -> BoxFuture<'_, Result<Option<Installation>, ReadError>> {
        unasked()
    }
}

fn is_in_doubt(operation: &Operation) -> bool {
    operation.in_doubt && operation.state != OperationState::Settled
}

/// The actors ask a store for nothing else.
fn unasked<T>() -> T {
    panic!("the actors do not read this")
}
