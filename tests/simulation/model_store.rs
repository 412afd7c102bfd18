//! A store in memory that decides as the real ones do, and fails when told.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
};

use futures_util::future::{BoxFuture, FutureExt};
use oncepay::{
    environment::Environment,
    payment::{
        ApiKey, ApiKeyId, Effect, IdempotencyKey, Merchant, MerchantId, Mode, NewOperation,
        Operation, OperationChange, OperationId, Payment, PaymentId, RecordedEvent, Scope,
        Standing, Timestamp, apply,
    },
    store::{PaymentPage, PaymentQuery, ReadError, Store, UnsettledRoute, WriteError},
};

/// What goes wrong with the next batch.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// Nothing reaches the database.
    NotAttempted,
    /// It commits, and nobody hears of it.
    ReplyLost,
    /// It hangs until the notice, and commits then.
    Stalls(Arc<tokio::sync::Notify>),
    /// The writer panics.
    Panics,
}

#[derive(Default)]
struct Rows {
    by_scope: HashMap<Scope, (Operation, Payment)>,
    scopes: HashMap<OperationId, Scope>,
    faults: VecDeque<Fault>,
    batches: Vec<usize>,
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
        rows.by_scope
            .values()
            .find(|(o, _)| o.idempotency_key.as_str() == key)
            .cloned()
    }

    /// Puts an operation there as a driver of another node left it.
    pub(super) fn plant(&self, operation: Operation, payment: Payment) {
        let mut rows = self.rows.lock().unwrap();
        rows.scopes.insert(operation.id, scope(&operation));
        rows.by_scope
            .insert(scope(&operation), (operation, payment));
    }

    pub(super) fn batches(&self) -> Vec<usize> {
        self.rows.lock().unwrap().batches.clone()
    }

    async fn write(
        &self,
        rows: usize,
        write: impl FnOnce(&mut Rows) -> Vec<Result<Standing, WriteError>>,
    ) -> Vec<Result<Standing, WriteError>> {
        let fault = self.rows.lock().unwrap().faults.pop_front();
        match &fault {
            Some(Fault::NotAttempted) => {
                return vec![Err(WriteError::NotAttempted("down".into())); rows];
            }
            Some(Fault::Stalls(notice)) => notice.notified().await,
            Some(Fault::Panics) => panic!("a test's fault"),
            Some(Fault::ReplyLost) | None => {}
        }
        let mut guard = self.rows.lock().unwrap();
        guard.batches.push(rows);
        let written = write(&mut guard);
        match fault {
            Some(Fault::ReplyLost) => vec![Err(WriteError::Unknown("lost".into())); rows],
            _ => written,
        }
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
        let now = self.environment.now();
        self.write(batch.len(), move |rows| {
            let begin = |NewOperation {
                             mut operation,
                             payment,
                             lease,
                         }: NewOperation| {
                operation.lease_until = now.plus(lease);
                operation.first_sent_at = now;
                let (owner, id) = (operation.owner, operation.id);
                rows.scopes.insert(id, scope(&operation));
                let entry = rows.by_scope.entry(scope(&operation));
                let (operation, payment) = entry.or_insert((operation, payment)).clone();
                let applied = operation.owner == owner && operation.id == id;
                Ok(Standing {
                    operation,
                    payment,
                    applied,
                    now,
                })
            };
            batch.into_iter().map(begin).collect()
        })
        .boxed()
    }

    fn change(
        &self,
        batch: Vec<OperationChange>,
    ) -> BoxFuture<'_, Vec<Result<Standing, WriteError>>> {
        let now = self.environment.now();
        self.write(batch.len(), move |rows| {
            let change = |change: OperationChange| {
                let scope = rows.scopes.get(&change.operation_id);
                let Some(row) = scope.and_then(|scope| rows.by_scope.get_mut(scope)) else {
                    return Err(WriteError::Rejected("no such operation".into()));
                };
                let effect = apply(&row.0, &row.1, &change, now);
                let effect = effect.map_err(|error| WriteError::Rejected(error.to_string()))?;
                let applied = effect != Effect::Refused;
                if let Effect::Written {
                    operation, payment, ..
                } = effect
                {
                    *row = (*operation, *payment);
                }
                let (operation, payment) = row.clone();
                Ok(Standing {
                    operation,
                    payment,
                    applied,
                    now,
                })
            };
            batch.into_iter().map(change).collect()
        })
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
            let found = self.rows.lock().unwrap().by_scope.get(&scope).cloned();
            let now = self.environment.now();
            Ok(found.map(|(operation, payment)| Standing {
                operation,
                payment,
                applied: false,
                now,
            }))
        }
        .boxed()
    }

    fn payment(
        &self,
        _: MerchantId,
        _: Mode,
        _: PaymentId,
    ) -> BoxFuture<'_, Result<Option<Payment>, ReadError>> {
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
}

/// The actors ask a store for nothing else.
fn unasked<T>() -> T {
    panic!("the actors do not read this")
}
