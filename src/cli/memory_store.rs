//! A store that keeps merchants and keys in memory, for tests of the commands.

use std::sync::Mutex;

use futures_util::{FutureExt, future::BoxFuture};

use crate::{
    payment::{
        ApiKey, ApiKeyId, ApiKeyRole, Begun, IdempotencyKey, Merchant, MerchantId, Mode,
        NewFollowUp, NewOperation, Operation, OperationChange, OperationId, Payment, PaymentId,
        RecordedEvent, Standing, Timestamp,
    },
    store::{
        Claim, Doubts, Installation, PaymentPage, PaymentQuery, ReadError, Store, UnsettledRoute,
        WriteError,
    },
};

#[derive(Default)]
pub(super) struct MemoryStore {
    merchants: Mutex<Vec<Merchant>>,
    keys: Mutex<Vec<ApiKey>>,
    installation: Mutex<Option<Installation>>,
}

impl MemoryStore {
    pub(super) fn disable_merchants(&self, at: Timestamp) {
        for merchant in self.merchants.lock().unwrap().iter_mut() {
            merchant.disabled_at = Some(at);
        }
    }
}

fn done<'a, T: Send + 'a, E: Send + 'a>(value: T) -> BoxFuture<'a, Result<T, E>> {
    async { Ok(value) }.boxed()
}

fn keeps_no_payments<'a, T: Send + 'a>() -> BoxFuture<'a, Result<T, ReadError>> {
    async { Err(ReadError("it keeps no payments".to_owned())) }.boxed()
}

impl Store for MemoryStore {
    fn begin(&self, _: Vec<NewOperation>) -> BoxFuture<'_, Vec<Result<Standing, WriteError>>> {
        async { Vec::new() }.boxed()
    }

    fn change(&self, _: Vec<OperationChange>) -> BoxFuture<'_, Vec<Result<Standing, WriteError>>> {
        async { Vec::new() }.boxed()
    }

    fn begin_follow_ups(
        &self,
        _: Vec<NewFollowUp>,
    ) -> BoxFuture<'_, Vec<Result<Begun, WriteError>>> {
        async { Vec::new() }.boxed()
    }

    fn claim(&self, _: Claim) -> BoxFuture<'_, Result<Vec<Standing>, WriteError>> {
        done(Vec::new())
    }

    fn expired(&self, _: u32) -> BoxFuture<'_, Result<Vec<(OperationId, i64)>, ReadError>> {
        done(Vec::new())
    }

    fn loose_ends(&self, _: u32) -> BoxFuture<'_, Result<Vec<Standing>, ReadError>> {
        done(Vec::new())
    }

    fn in_doubt(&self, _: u32) -> BoxFuture<'_, Result<Vec<Standing>, ReadError>> {
        done(Vec::new())
    }

    fn doubts(&self) -> BoxFuture<'_, Result<Vec<Doubts>, ReadError>> {
        done(Vec::new())
    }

    fn operation_by_id(
        &self,
        _: OperationId,
    ) -> BoxFuture<'_, Result<Option<Standing>, ReadError>> {
        keeps_no_payments()
    }

    fn unsettled_of(&self, _: PaymentId) -> BoxFuture<'_, Result<Vec<Standing>, ReadError>> {
        keeps_no_payments()
    }

    fn refunds(
        &self,
        _: MerchantId,
        _: Mode,
        _: PaymentId,
    ) -> BoxFuture<'_, Result<Option<Vec<Operation>>, ReadError>> {
        keeps_no_payments()
    }

    fn operation<'a>(
        &'a self,
        _: MerchantId,
        _: Mode,
        _: &'a IdempotencyKey,
    ) -> BoxFuture<'a, Result<Option<Standing>, ReadError>> {
        keeps_no_payments()
    }

    fn payment(
        &self,
        _: MerchantId,
        _: Mode,
        _: PaymentId,
    ) -> BoxFuture<'_, Result<Option<Payment>, ReadError>> {
        keeps_no_payments()
    }

    fn payments_between(
        &self,
        _: Timestamp,
        _: Timestamp,
        _: Option<PaymentId>,
        _: u32,
    ) -> BoxFuture<'_, Result<Vec<Payment>, ReadError>> {
        keeps_no_payments()
    }

    fn payments_by_id(&self, _: Vec<PaymentId>) -> BoxFuture<'_, Result<Vec<Payment>, ReadError>> {
        keeps_no_payments()
    }

    fn unsettled_after(
        &self,
        _: Option<OperationId>,
        _: u32,
    ) -> BoxFuture<'_, Result<Vec<Standing>, ReadError>> {
        done(Vec::new())
    }

    fn payments<'a>(
        &'a self,
        _: &'a PaymentQuery,
    ) -> BoxFuture<'a, Result<PaymentPage, ReadError>> {
        keeps_no_payments()
    }

    fn events(
        &self,
        _: MerchantId,
        _: Mode,
        _: PaymentId,
    ) -> BoxFuture<'_, Result<Option<Vec<RecordedEvent>>, ReadError>> {
        keeps_no_payments()
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), ReadError>> {
        done(())
    }

    fn unsettled_routes(&self) -> BoxFuture<'_, Result<Vec<UnsettledRoute>, ReadError>> {
        done(Vec::new())
    }

    fn create_merchant(&self, merchant: Merchant) -> BoxFuture<'_, Result<Merchant, WriteError>> {
        let mut merchants = self.merchants.lock().unwrap();
        let standing = merchants.iter().find(|known| known.name == merchant.name);
        let standing = standing.cloned().unwrap_or_else(|| {
            merchants.push(merchant.clone());
            merchant
        });
        done(standing)
    }

    fn merchants(&self) -> BoxFuture<'_, Result<Vec<Merchant>, ReadError>> {
        done(self.merchants.lock().unwrap().clone())
    }

    fn create_api_key(&self, key: ApiKey) -> BoxFuture<'_, Result<ApiKey, WriteError>> {
        let mut keys = self.keys.lock().unwrap();
        let standing = keys.iter().find(|known| known.digest == key.digest);
        let standing = standing.cloned().unwrap_or_else(|| {
            keys.push(key.clone());
            key
        });
        done(standing)
    }

    fn api_keys(&self) -> BoxFuture<'_, Result<Vec<ApiKey>, ReadError>> {
        done(self.keys.lock().unwrap().clone())
    }

    fn revoke_api_key(
        &self,
        id: ApiKeyId,
        at: Timestamp,
    ) -> BoxFuture<'_, Result<bool, WriteError>> {
        let mut keys = self.keys.lock().unwrap();
        let key = keys.iter_mut().find(|key| key.id == id);
        let is_known = key.is_some();
        if let Some(key) = key {
            key.revoked_at.get_or_insert(at);
        }
        done(is_known)
    }

    fn find_api_key(&self, digest: [u8; 32]) -> BoxFuture<'_, Result<Option<ApiKey>, ReadError>> {
        let merchants = self.merchants.lock().unwrap();
        let is_disabled = |id| {
            let of_that_id = merchants.iter().find(|merchant| merchant.id == id);
            of_that_id.is_some_and(|merchant| merchant.disabled_at.is_some())
        };
        let keys = self.keys.lock().unwrap();
        let found = keys.iter().find(|key| {
            let opens = match key.role {
                ApiKeyRole::Merchant { merchant_id, .. } => !is_disabled(merchant_id),
                ApiKeyRole::Admin => true,
            };
            key.digest == digest && key.revoked_at.is_none() && opens
        });
        done(found.cloned())
    }

    fn keep_installation(
        &self,
        fresh: Installation,
    ) -> BoxFuture<'_, Result<Installation, WriteError>> {
        done(
            self.installation
                .lock()
                .unwrap()
                .get_or_insert(fresh)
                .clone(),
        )
    }

    fn renew_installation(
        &self,
        fresh: Installation,
    ) -> BoxFuture<'_, Result<Installation, WriteError>> {
        let mut kept = self.installation.lock().unwrap();
        let renewed = Installation {
            store_incarnation: fresh.store_incarnation,
            ..kept.take().unwrap_or(fresh)
        };
        *kept = Some(renewed.clone());
        done(renewed)
    }

    fn installation(&self) -> BoxFuture<'_, Result<Option<Installation>, ReadError>> {
        done(self.installation.lock().unwrap().clone())
    }
}
