use proptest::prelude::*;

use super::*;
use crate::{
    environment::Environment,
    payment::{IdempotencyKey, Mode},
};

fn installation() -> Installation {
    Installation {
        id: Uuid::from_u128(9),
        store_incarnation: Uuid::from_u128(1),
        lookup_secret: [7; 32],
    }
}

fn scope(key: &str) -> Scope {
    Scope {
        merchant_id: crate::payment::Id::from_uuid(Uuid::from_u128(5)),
        mode: Mode::Live,
        key: IdempotencyKey::new(key).unwrap(),
    }
}

fn declined() -> SettledAnswer {
    SettledAnswer {
        fingerprint: Fingerprint {
            version: 1,
            digest: [9; 32],
        },
        answer: Answer {
            status: 402,
            location: Some("/payments/pay_1".into()),
            body: br#"{"status":"failed"}"#.to_vec(),
        },
    }
}

#[test]
fn rule_23_what_was_sealed_is_opened_for_the_same_key_only() {
    let (seal, here) = (Seal::of(&installation()), scope("k"));
    for settled in [
        declined(),
        SettledAnswer {
            answer: Answer {
                status: 201,
                location: None,
                body: Vec::new(),
            },
            ..declined()
        },
    ] {
        let value = seal.close(&here, &settled);
        assert_eq!(seal.open(&here, &value), Ok(settled));
        let mut others = [here.clone(), here.clone(), scope("l")];
        others[0].mode = Mode::Test;
        others[1].merchant_id = Environment::of_the_machine().new_id();
        for other in others {
            assert_eq!(seal.open(&other, &value), Err(Refused::Forged));
            assert_ne!(seal.address(&other), seal.address(&here));
        }
    }
}

#[test]
fn rule_23_another_secret_or_another_life_opens_nothing() {
    let (seal, here) = (Seal::of(&installation()), scope("k"));
    let value = seal.close(&here, &declined());
    let mut restored = installation();
    restored.store_incarnation = Uuid::from_u128(2);
    assert_eq!(Seal::of(&restored).open(&here, &value), Err(Refused::Stale));
    // Who writes the new life into an old value has not sealed it.
    let mut renamed = value.clone();
    renamed[1..17].copy_from_slice(restored.store_incarnation.as_bytes());
    assert_eq!(
        Seal::of(&restored).open(&here, &renamed),
        Err(Refused::Forged)
    );
    assert_eq!(Seal::of(&restored).address(&here), seal.address(&here));

    let mut stranger = installation();
    stranger.lookup_secret = [8; 32];
    let stranger = Seal::of(&stranger);
    assert_eq!(stranger.open(&here, &value), Err(Refused::Forged));
    assert_ne!(stranger.address(&here), seal.address(&here));
}

#[test]
fn rule_23_what_is_too_long_or_of_another_version_is_not_even_tried() {
    let (seal, here) = (Seal::of(&installation()), scope("k"));
    let mut value = seal.close(&here, &declined());
    value[0] = VERSION + 1;
    assert_eq!(seal.open(&here, &value), Err(Refused::Version));
    let long = vec![VERSION; VALUE_BYTES_MAX + 1];
    assert_eq!(seal.open(&here, &long), Err(Refused::TooLong));
    assert_eq!(seal.open(&here, &[]), Err(Refused::Truncated));
}

proptest! {
    #[test]
    fn rule_23_no_changed_byte_and_no_cut_is_believed(at in any::<usize>(), flip in 1_u8..) {
        let (seal, here) = (Seal::of(&installation()), scope("k"));
        let value = seal.close(&here, &declined());
        let at = at % value.len();

        let mut changed = value.clone();
        changed[at] ^= flip;
        prop_assert!(seal.open(&here, &changed).is_err());
        prop_assert!(seal.open(&here, &value[..at]).is_err());
        let mut longer = value;
        longer.push(flip);
        prop_assert_eq!(seal.open(&here, &longer), Err(Refused::Forged));
    }

    #[test]
    fn rule_23_garbage_is_refused(garbage in proptest::collection::vec(any::<u8>(), 0..300)) {
        let seal = Seal::of(&installation());
        prop_assert!(seal.open(&scope("k"), &garbage).is_err());
    }

    #[test]
    fn what_is_decoded_is_what_was_encoded(
        status: u16, location in proptest::option::of(".{0,40}"),
        body in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let mut settled = declined();
        settled.answer = Answer { status, location, body };
        prop_assert_eq!(decode(&encode(&settled)), Some(settled));
    }
}
