//! The way of rows to and from the domain.

use super::{
    ApiKeyRow, EventRow, InstallationRow, MerchantRow, OperationRow, PaymentRow, Unreadable,
};
use crate::{
    payment::{
        Answer, ApiKey, ApiKeyRole, Currency, Failure, Fingerprint, IdempotencyKey, Merchant,
        Money, Operation, Owner, Payment, PaymentEvent, PaymentId, ProviderRoute, RecordedEvent,
        Timestamp,
    },
    store::Installation,
};

fn parsed<T: std::str::FromStr>(text: &str, column: &'static str) -> Result<T, Unreadable> {
    text.parse().ok().ok_or(Unreadable::at(column))
}

fn sized<const N: usize>(bytes: Vec<u8>, column: &'static str) -> Result<[u8; N], Unreadable> {
    bytes.try_into().ok().ok_or(Unreadable::at(column))
}

fn key(text: &str) -> Result<IdempotencyKey, Unreadable> {
    let column = "idempotency_key";
    IdempotencyKey::new(text).ok().ok_or(Unreadable::at(column))
}

impl From<&Operation> for OperationRow {
    fn from(operation: &Operation) -> Self {
        let (answer, failure) = (operation.answer.as_ref(), operation.failure.as_ref());
        Self {
            id: operation.id.to_string(),
            payment_id: operation.payment_id.to_string(),
            merchant_id: operation.merchant_id.to_string(),
            mode: operation.mode.as_str().into(),
            idempotency_key: operation.idempotency_key.as_str().into(),
            kind: operation.kind.as_str().into(),
            fingerprint_version: operation.fingerprint.version,
            fingerprint: operation.fingerprint.digest.into(),
            request_id: operation.request_id.to_string(),
            state: operation.state.as_str().into(),
            epoch: operation.epoch,
            owner: operation.owner.0.into(),
            lease_until: operation.lease_until.as_micros(),
            provider: operation.route.provider.clone(),
            account: operation.route.account.clone(),
            api_version: operation.route.api_version.clone(),
            provider_key: operation.route.key.clone(),
            provider_request: operation.route.request.clone(),
            first_sent_at: operation.first_sent_at.as_micros(),
            in_doubt: operation.in_doubt,
            amount_reserved: operation.amount_reserved,
            // An HTTP status has three digits.
            answer_status: answer.map(|answer| i16::try_from(answer.status).unwrap_or(i16::MAX)),
            answer_location: answer.and_then(|answer| answer.location.clone()),
            answer_body: answer.map(|answer| answer.body.clone()),
            stray_reference: operation.stray_reference.clone(),
            recovery_tries: operation.recovery_tries,
            next_recovery_at: operation.next_recovery_at.as_micros(),
            created_at: operation.created_at.as_micros(),
            in_doubt_since: operation.in_doubt_since.map(Timestamp::as_micros),
            in_doubt_reason: operation.in_doubt_reason.clone(),
            amount: operation.amount,
            provider_reference: operation.provider_reference.clone(),
            resends_barred: operation.resends_barred,
            absent_at: operation.absent_at.map(Timestamp::as_micros),
            failure_code: failure.map(|failure| failure.code.clone()),
            failure_message: failure.map(|failure| failure.message.clone()),
            stray_reversed_at: operation.stray_reversed_at.map(Timestamp::as_micros),
            look_again: operation.look_again,
        }
    }
}

impl TryFrom<OperationRow> for Operation {
    type Error = Unreadable;

    fn try_from(row: OperationRow) -> Result<Self, Unreadable> {
        let id = row.id.clone();
        operation(row).map_err(|error| error.of(id))
    }
}

fn operation(row: OperationRow) -> Result<Operation, Unreadable> {
    let answer = match (row.answer_status, row.answer_body) {
        (Some(status), Some(body)) => Some(Answer {
            status: u16::try_from(status)
                .ok()
                .ok_or(Unreadable::at("answer_status"))?,
            location: row.answer_location,
            body,
        }),
        _ => None,
    };
    Ok(Operation {
        id: parsed(&row.id, "id")?,
        payment_id: parsed(&row.payment_id, "payment_id")?,
        merchant_id: parsed(&row.merchant_id, "merchant_id")?,
        mode: parsed(&row.mode, "mode")?,
        idempotency_key: key(&row.idempotency_key)?,
        kind: parsed(&row.kind, "kind")?,
        fingerprint: Fingerprint {
            version: row.fingerprint_version,
            digest: sized(row.fingerprint, "fingerprint")?,
        },
        request_id: parsed(&row.request_id, "request_id")?,
        state: parsed(&row.state, "state")?,
        epoch: row.epoch,
        owner: Owner(sized(row.owner, "owner")?),
        lease_until: Timestamp::from_micros(row.lease_until),
        route: ProviderRoute {
            provider: row.provider,
            account: row.account,
            api_version: row.api_version,
            key: row.provider_key,
            request: row.provider_request,
        },
        first_sent_at: Timestamp::from_micros(row.first_sent_at),
        in_doubt: row.in_doubt,
        // A program from before this column leaves it out.
        in_doubt_since: (row.in_doubt_since)
            .or(row.in_doubt.then_some(row.first_sent_at))
            .map(Timestamp::from_micros),
        in_doubt_reason: row.in_doubt_reason,
        amount: row.amount,
        amount_reserved: row.amount_reserved,
        provider_reference: row.provider_reference,
        resends_barred: row.resends_barred,
        absent_at: row.absent_at.map(Timestamp::from_micros),
        failure: (row.failure_code.zip(row.failure_message))
            .map(|(code, message)| Failure { code, message }),
        answer,
        stray_reference: row.stray_reference,
        stray_reversed_at: row.stray_reversed_at.map(Timestamp::from_micros),
        look_again: row.look_again,
        recovery_tries: row.recovery_tries,
        next_recovery_at: Timestamp::from_micros(row.next_recovery_at),
        created_at: Timestamp::from_micros(row.created_at),
    })
}

impl From<&Payment> for PaymentRow {
    fn from(payment: &Payment) -> Self {
        let failure = payment.failure.as_ref();
        Self {
            id: payment.id.to_string(),
            merchant_id: payment.merchant_id.to_string(),
            mode: payment.mode.as_str().into(),
            idempotency_key: payment.idempotency_key.as_str().into(),
            status: payment.status.as_str().into(),
            amount: payment.money.minor(),
            currency: payment.money.currency().code().into(),
            amount_captured: payment.amount_captured,
            amount_refunded: payment.amount_refunded,
            capture_reserved: payment.capture_reserved,
            refund_reserved: payment.refund_reserved,
            capture: payment.capture.as_str().into(),
            payment_method: payment.payment_method.clone(),
            reference: payment.reference.clone(),
            description: payment.description.clone(),
            // A map of texts is always JSON.
            metadata: serde_json::to_string(&payment.metadata).unwrap_or_default(),
            provider: payment.provider.clone(),
            provider_reference: payment.provider_reference.clone(),
            failure_code: failure.map(|failure| failure.code.clone()),
            failure_message: failure.map(|failure| failure.message.clone()),
            in_doubt_since: payment.in_doubt_since.map(Timestamp::as_micros),
            event_count: payment.event_count,
            created_at: payment.created_at.as_micros(),
            updated_at: payment.updated_at.as_micros(),
        }
    }
}

impl TryFrom<PaymentRow> for Payment {
    type Error = Unreadable;

    fn try_from(row: PaymentRow) -> Result<Self, Unreadable> {
        let id = row.id.clone();
        payment(row).map_err(|error| error.of(id))
    }
}

fn payment(row: PaymentRow) -> Result<Payment, Unreadable> {
    let currency = Currency::from_record(&row.currency).ok();
    let currency = currency.ok_or(Unreadable::at("currency"))?;
    let column = "amount";
    let failure = row.failure_code.zip(row.failure_message);
    Ok(Payment {
        id: parsed(&row.id, "id")?,
        merchant_id: parsed(&row.merchant_id, "merchant_id")?,
        mode: parsed(&row.mode, "mode")?,
        idempotency_key: key(&row.idempotency_key)?,
        status: parsed(&row.status, "status")?,
        money: Money::new(row.amount, currency)
            .ok()
            .ok_or(Unreadable::at(column))?,
        amount_captured: row.amount_captured,
        amount_refunded: row.amount_refunded,
        capture_reserved: row.capture_reserved,
        refund_reserved: row.refund_reserved,
        capture: parsed(&row.capture, "capture")?,
        payment_method: row.payment_method,
        reference: row.reference,
        description: row.description,
        metadata: json(&row.metadata, "metadata")?,
        provider: row.provider,
        provider_reference: row.provider_reference,
        failure: failure.map(|(code, message)| Failure { code, message }),
        in_doubt_since: row.in_doubt_since.map(Timestamp::from_micros),
        event_count: row.event_count,
        created_at: Timestamp::from_micros(row.created_at),
        updated_at: Timestamp::from_micros(row.updated_at),
    })
}

fn json<T: serde::de::DeserializeOwned>(text: &str, column: &'static str) -> Result<T, Unreadable> {
    serde_json::from_str(text)
        .ok()
        .ok_or(Unreadable::at(column))
}

impl EventRow {
    /// The event that was just counted into `payment`.
    pub(in super::super) fn latest<'a>(
        payment: &'a Payment,
        events: &'a [PaymentEvent],
        at: Timestamp,
    ) -> impl Iterator<Item = Self> + use<'a> {
        let count = i64::try_from(events.len()).unwrap_or(i64::MAX);
        let seqs = (payment.event_count - count + 1)..;
        seqs.zip(events)
            .map(move |(seq, event)| Self::of(payment.id, seq, event, at))
    }

    pub(in super::super) fn of(
        payment_id: PaymentId,
        seq: i64,
        event: &PaymentEvent,
        at: Timestamp,
    ) -> Self {
        Self {
            payment_id: payment_id.to_string(),
            seq,
            kind: event.name().into(),
            // An event is texts and numbers under fixed names: always JSON.
            data: serde_json::to_string(event).unwrap_or_default(),
            created_at: at.as_micros(),
        }
    }
}

impl TryFrom<EventRow> for RecordedEvent {
    type Error = Unreadable;

    fn try_from(row: EventRow) -> Result<Self, Unreadable> {
        Ok(Self {
            seq: row.seq,
            event: json(&row.data, "data").map_err(|error| error.of(row.payment_id))?,
            created_at: Timestamp::from_micros(row.created_at),
        })
    }
}

impl From<&Merchant> for MerchantRow {
    fn from(merchant: &Merchant) -> Self {
        Self {
            id: merchant.id.to_string(),
            name: merchant.name.clone(),
            created_at: merchant.created_at.as_micros(),
            disabled_at: merchant.disabled_at.map(Timestamp::as_micros),
        }
    }
}

impl TryFrom<MerchantRow> for Merchant {
    type Error = Unreadable;

    fn try_from(row: MerchantRow) -> Result<Self, Unreadable> {
        let id = row.id.clone();
        merchant(row).map_err(|error| error.of(id))
    }
}

fn merchant(row: MerchantRow) -> Result<Merchant, Unreadable> {
    Ok(Merchant {
        id: parsed(&row.id, "id")?,
        name: row.name,
        created_at: Timestamp::from_micros(row.created_at),
        disabled_at: row.disabled_at.map(Timestamp::from_micros),
    })
}

impl From<&ApiKey> for ApiKeyRow {
    fn from(key: &ApiKey) -> Self {
        let (role, merchant_id, mode) = match key.role {
            ApiKeyRole::Merchant { merchant_id, mode } => {
                ("merchant", Some(merchant_id.to_string()), Some(mode))
            }
            ApiKeyRole::Admin => ("admin", None, None),
        };
        Self {
            id: key.id.to_string(),
            role: role.into(),
            merchant_id,
            mode: mode.map(|mode| mode.as_str().into()),
            digest: key.digest.into(),
            hint: key.hint.clone(),
            created_at: key.created_at.as_micros(),
            revoked_at: key.revoked_at.map(Timestamp::as_micros),
        }
    }
}

impl TryFrom<ApiKeyRow> for ApiKey {
    type Error = Unreadable;

    fn try_from(row: ApiKeyRow) -> Result<Self, Unreadable> {
        let id = row.id.clone();
        api_key(row).map_err(|error| error.of(id))
    }
}

fn api_key(row: ApiKeyRow) -> Result<ApiKey, Unreadable> {
    let role = match (row.role.as_str(), row.merchant_id, row.mode) {
        ("merchant", Some(merchant_id), Some(mode)) => ApiKeyRole::Merchant {
            merchant_id: parsed(&merchant_id, "merchant_id")?,
            mode: parsed(&mode, "mode")?,
        },
        ("admin", None, None) => ApiKeyRole::Admin,
        _ => return Err(Unreadable::at("role")),
    };
    Ok(ApiKey {
        id: parsed(&row.id, "id")?,
        role,
        digest: sized(row.digest, "digest")?,
        hint: row.hint,
        created_at: Timestamp::from_micros(row.created_at),
        revoked_at: row.revoked_at.map(Timestamp::from_micros),
    })
}

impl From<&Installation> for InstallationRow {
    fn from(installation: &Installation) -> Self {
        Self {
            id: 1,
            installation_id: installation.id.to_string(),
            store_incarnation: installation.store_incarnation.to_string(),
            lookup_secret: installation.lookup_secret.to_vec(),
        }
    }
}

impl TryFrom<InstallationRow> for Installation {
    type Error = Unreadable;

    fn try_from(row: InstallationRow) -> Result<Self, Unreadable> {
        Ok(Self {
            id: parsed(&row.installation_id, "installation_id")?,
            store_incarnation: parsed(&row.store_incarnation, "store_incarnation")?,
            lookup_secret: sized(row.lookup_secret, "lookup_secret")?,
        })
    }
}
