//! The idempotency key at the provider.

use sha2::{Digest, Sha256};

use crate::payment::{IdempotencyKey, MerchantId, Mode, OperationKind};

/// The key of an operation at a provider, derived from what the client sent and from nothing that
/// we could lose: should our row be gone, the retry still meets the first attempt's key.
pub fn provider_key(
    merchant_id: MerchantId,
    mode: Mode,
    key: &IdempotencyKey,
    kind: OperationKind,
    provider: &str,
) -> String {
    let mut hash = Sha256::new();
    hash.update(b"oncepay-provider-key-1");
    for part in [
        &merchant_id.to_string(),
        mode.as_str(),
        key.as_str(),
        kind.as_str(),
        provider,
    ] {
        // The length goes first, so that no two lists of parts run together into one text.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let digest = hash.finalize();
    digest.iter().fold(String::from("oncepay_"), |text, byte| {
        text + &format!("{byte:02x}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payment::Id;

    fn key(merchant: u128, mode: Mode, key: &str, kind: OperationKind, provider: &str) -> String {
        let merchant = Id::from_uuid(uuid::Uuid::from_u128(merchant));
        provider_key(
            merchant,
            mode,
            &IdempotencyKey::new(key).unwrap(),
            kind,
            provider,
        )
    }

    /// Rule 6.
    #[test]
    fn rule_6_the_provider_key_depends_on_all_five_parts_and_on_nothing_else() {
        let one = key(1, Mode::Test, "order-17", OperationKind::Create, "stripe");
        assert_eq!(
            one,
            key(1, Mode::Test, "order-17", OperationKind::Create, "stripe")
        );
        let others = [
            key(2, Mode::Test, "order-17", OperationKind::Create, "stripe"),
            key(1, Mode::Live, "order-17", OperationKind::Create, "stripe"),
            key(1, Mode::Test, "order-18", OperationKind::Create, "stripe"),
            key(1, Mode::Test, "order-17", OperationKind::Refund, "stripe"),
            key(1, Mode::Test, "order-17", OperationKind::Create, "other"),
        ];
        assert!(others.iter().all(|other| *other != one));
        assert_eq!(one.len(), "oncepay_".len() + 64);
    }
}
