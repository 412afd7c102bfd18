//! The adapter against the sandbox: every kind of operation under every kind of fault. What it says
//! for certain is held against what the sandbox knows to have happened.

use std::{net::SocketAddr, sync::Arc};

use oncepay::{
    payment::{Stands, Timestamp},
    provider::{Found, Search, SentBetween, Stray},
    sandbox::{
        CallClass, Charge, ChargeFilter, FaultKind, FaultPlan, FaultRule, Latency, Sandbox,
        SandboxConfig,
    },
};
use tokio::time::Instant;

use super::*;

const NOW_US: i64 = 1_700_000_000_000_000;
const PART: i64 = 1_100;
const WHOLE: i64 = 4_200;
const KINDS: [OperationKind; 4] = [
    OperationKind::Create,
    OperationKind::Capture,
    OperationKind::Cancel,
    OperationKind::Refund,
];

/// A sandbox whose hangs end by themselves, soon, and a payment of 42.00 EUR.
struct Bed {
    sandbox: Sandbox,
    provider: StripeProvider,
    payment: Payment,
}

fn provider_with(sandbox: &Sandbox, secret: &str, account: Option<&str>) -> StripeProvider {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let url = format!("http://{}", sandbox.address());
    let mut settings = StripeSettings::new("stripe", url, secret);
    settings.account = account.map(str::to_owned);
    settings.attempt_timeout = PATIENCE;
    StripeProvider::new(settings, Handle::current()).unwrap()
}

impl Bed {
    /// With the payment as an operation of `kind` needs it.
    async fn ready_for(kind: OperationKind) -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut config = SandboxConfig::new(listen, 17, Arc::new(|| NOW_US));
        config.hang_max = Duration::from_millis(20);
        let sandbox = Sandbox::start(config).await.unwrap();
        let provider = provider_with(&sandbox, "sk_sandbox_1", None);
        let capture = match kind {
            OperationKind::Capture | OperationKind::Cancel => Capture::Manual,
            _ => Capture::Automatic,
        };
        let mut bed = Self {
            sandbox,
            provider,
            payment: payment(capture),
        };
        if kind != OperationKind::Create {
            let outcome = bed.provider.send(&bed.call(OperationKind::Create, 3)).await;
            let Outcome::Approved(approval) = outcome else {
                panic!("{outcome:?}");
            };
            bed.payment.provider_reference = Some(approval.reference);
        }
        bed
    }

    fn call(&self, kind: OperationKind, operation: u128) -> Call {
        self.call_for(kind, operation, PART)
    }

    fn call_for(&self, kind: OperationKind, operation: u128, part: i64) -> Call {
        let minor = match kind {
            OperationKind::Create | OperationKind::Cancel => WHOLE,
            OperationKind::Capture | OperationKind::Refund => part,
        };
        let money = Money::new(minor, "EUR".parse().unwrap()).unwrap();
        let operation_id = Id::from_uuid(uuid::Uuid::from_u128(operation));
        let key = IdempotencyKey::new(&format!("order-{operation}")).unwrap();
        let mut payment = self.payment.clone();
        if kind == OperationKind::Create {
            payment.idempotency_key = key.clone();
        }
        let draft = Draft {
            operation_id,
            kind,
            idempotency_key: &key,
            fingerprint: FINGERPRINT,
            money,
        };
        Call {
            kind,
            target: self.payment.provider_reference.clone(),
            key: format!("oncepay_{operation}"),
            api_version: "2024-06-20".into(),
            request: self.provider.prepare(&payment, draft),
            expected: Expected {
                operation_id,
                payment_id: self.payment.id,
                money,
                capture: self.payment.capture,
                identity: Identity {
                    merchant_id: self.payment.merchant_id,
                    mode: self.payment.mode,
                    payment_key: payment.idempotency_key,
                    key,
                    fingerprint: FINGERPRINT,
                },
            },
            first_attempt: true,
            request_id: Id::from_uuid(uuid::Uuid::from_u128(9)),
        }
    }

    fn charge(&self) -> Option<Charge> {
        self.sandbox.charges(&ChargeFilter::all()).charges.pop()
    }

    /// Whether the operation has happened.
    fn truth(&self, kind: OperationKind) -> bool {
        match (kind, self.charge()) {
            (OperationKind::Create, charge) => charge.is_some(),
            (OperationKind::Capture, charge) => charge.unwrap().amount_captured == PART,
            (OperationKind::Cancel, charge) => charge.is_none(),
            (OperationKind::Refund, charge) => charge.unwrap().amount_refunded == PART,
        }
    }

    #[track_caller]
    fn hold_to_the_truth(&self, outcome: &Outcome, kind: OperationKind, about: &str) {
        let happened = self.truth(kind);
        match outcome {
            Outcome::Approved(_) => assert!(happened, "{about}: {outcome:?}"),
            Outcome::Declined(_) | Outcome::NotSent(_) => {
                assert!(!happened, "{about}: {outcome:?}");
            }
            Outcome::InDoubt(_) => {}
        }
    }
}

fn payment(capture: Capture) -> Payment {
    let request = CreatePayment {
        money: Money::new(WHOLE, "EUR".parse().unwrap()).unwrap(),
        payment_method: "pm_card_visa".into(),
        capture,
        reference: None,
        description: None,
        metadata: BTreeMap::new(),
    };
    let origin = Origin {
        id: Id::from_uuid(uuid::Uuid::from_u128(1)),
        merchant_id: Id::from_uuid(uuid::Uuid::from_u128(2)),
        mode: Mode::Test,
        idempotency_key: IdempotencyKey::new("order-17").unwrap(),
        provider: "stripe".into(),
        created_at: Timestamp::from_micros(NOW_US),
    };
    Payment::new(request, origin)
}

fn just_now() -> SentBetween {
    let at = Timestamp::from_micros(NOW_US);
    SentBetween {
        first: at,
        last: at,
    }
}

/// A whole look.
async fn find(provider: &StripeProvider, call: &Call, sent: SentBetween) -> Found {
    let mut search = Search::new(sent, None);
    loop {
        match provider.find(call, &mut search).await {
            Found::More => {}
            found => return found,
        }
    }
}

#[tokio::test]
async fn under_every_fault_of_every_kind_only_the_truth_is_definite() {
    for kind in KINDS {
        for fault in FaultKind::ALL {
            let about = format!("{} under {}", kind.as_str(), fault.name());
            let bed = Bed::ready_for(kind).await;
            let call = bed.call(kind, 4);
            bed.sandbox.set_faults(FaultRule::new(fault)).await;

            let first = bed.provider.send(&call).await;
            bed.hold_to_the_truth(&first, kind, &about);
            bed.sandbox.clear_faults().await;

            // Found if it happened, and absent if not: nothing of it is under way any more.
            let found = find(&bed.provider, &call, just_now()).await;
            match (bed.truth(kind), &found) {
                (true, Found::There(Outcome::Approved(_))) | (false, Found::Absent) => {}
                (happened, found) => panic!("{about}: {happened} and {found:?}"),
            }
            if !matches!(first, Outcome::InDoubt(_)) {
                continue;
            }
            let again = Call {
                first_attempt: false,
                ..call
            };
            let second = bed.provider.send(&again).await;
            bed.hold_to_the_truth(&second, kind, &about);
            let is_stored = matches!(&second, Outcome::InDoubt(doubt)
                if doubt.reason == InDoubtReason::StoredServerError);
            assert!(
                matches!(second, Outcome::Approved(_)) || is_stored,
                "{about}: {second:?}"
            );
            let charge = bed.charge();
            assert!(
                bed.sandbox.charges(&ChargeFilter::all()).count <= 1,
                "{about}"
            );
            assert!(charge.is_none_or(|it| it.refunds <= 1), "{about}");
        }
    }
}

#[tokio::test]
async fn under_every_fault_of_a_look_up_only_the_truth_is_definite() {
    for kind in KINDS {
        for fault in FaultKind::ALL {
            let about = format!("{} asked after under {}", kind.as_str(), fault.name());
            let bed = Bed::ready_for(kind).await;
            let call = bed.call(kind, 4);
            let sent = bed.provider.send(&call).await;
            let Outcome::Approved(approval) = sent else {
                panic!("{about}: {sent:?}");
            };
            let rule = FaultRule::new(fault).on(&[CallClass::Lookup]);
            bed.sandbox.set_faults(rule).await;

            let inspected = bed.provider.inspect(&call, &approval.reference).await;
            let found = find(&bed.provider, &call, just_now()).await;

            assert!(!matches!(inspected, Outcome::Declined(_)), "{about}");
            assert!(
                matches!(
                    found,
                    Found::Unanswered(_) | Found::There(Outcome::Approved(_))
                ),
                "{about}: {found:?}"
            );
        }
    }
}

#[tokio::test]
async fn rule_2_a_payment_that_changed_without_us_declines_and_says_how_it_stands() {
    let changes = [
        (
            OperationKind::Capture,
            OperationKind::Cancel,
            Stands::Voided,
        ),
        (
            OperationKind::Capture,
            OperationKind::Capture,
            Stands::Captured { amount: 900 },
        ),
        (
            OperationKind::Cancel,
            OperationKind::Capture,
            Stands::Captured { amount: 900 },
        ),
    ];
    for (ours, theirs, stands) in changes {
        let bed = Bed::ready_for(ours).await;
        bed.provider.send(&bed.call_for(theirs, 5, 900)).await;
        let call = bed.call(ours, 4);

        // While the object cannot be asked, the refusal alone is no verdict.
        let mute = FaultRule::new(FaultKind::Unavailable).on(&[CallClass::Lookup]);
        bed.sandbox.set_faults(mute).await;
        let unasked = bed.provider.send(&call).await;
        assert!(matches!(unasked, Outcome::InDoubt(_)), "{unasked:?}");
        bed.sandbox.clear_faults().await;

        let asked = bed.provider.send(&call).await;
        let found = find(&bed.provider, &call, just_now()).await;

        let Outcome::Declined(decline) = &asked else {
            panic!("{ours:?} after {theirs:?}: {asked:?}");
        };
        assert_eq!(decline.stands, Some(stands));
        assert_eq!(found, Found::There(asked));
    }
}

#[tokio::test]
async fn rule_2_a_refund_of_what_is_refunded_already_is_declined_unless_it_is_ours() {
    let bed = Bed::ready_for(OperationKind::Refund).await;
    let ours = bed.call_for(OperationKind::Refund, 4, WHOLE);
    assert_eq!(bed.provider.send(&ours).await.kind(), "approved");

    // The provider forgot our key: what it refuses now, it did for us before.
    let forgetful = FaultRule::new(FaultKind::ForgetKeys);
    bed.sandbox.set_faults(forgetful).await;
    let again = Call {
        first_attempt: false,
        ..ours
    };
    assert_eq!(bed.provider.send(&again).await.kind(), "approved");
    let other = bed.call(OperationKind::Refund, 5);
    assert_eq!(
        line(&bed.provider.send(&other).await),
        "declined charge_already_refunded"
    );
    assert_eq!(bed.charge().unwrap().refunds, 1);
}

#[tokio::test]
async fn rule_8_the_question_after_a_refusal_has_what_is_left_of_the_attempt_s_time() {
    let bed = Bed::ready_for(OperationKind::Refund).await;
    let whole = bed.call_for(OperationKind::Refund, 4, WHOLE);
    assert_eq!(bed.provider.send(&whole).await.kind(), "approved");
    let slow = Latency::constant(8_000.0).unwrap();
    bed.sandbox.set_faults(FaultPlan::latency(slow)).await;
    let url = format!("http://{}", bed.sandbox.address());
    let hurried = provider(&url, Duration::from_secs(12));

    let begun = Instant::now();
    let outcome = hurried.send(&bed.call(OperationKind::Refund, 5)).await;

    assert_eq!(line(&outcome), in_doubt(InDoubtReason::Unfinished));
    assert!(begun.elapsed() < Duration::from_millis(15_900));
}

#[tokio::test]
async fn a_follow_up_of_no_payment_is_not_sent() {
    for kind in [
        OperationKind::Capture,
        OperationKind::Cancel,
        OperationKind::Refund,
    ] {
        for target in [None, Some("../refunds".to_owned())] {
            let bed = Bed::ready_for(kind).await;
            let call = Call {
                target,
                ..bed.call(kind, 4)
            };
            let outcome = bed.provider.send(&call).await;
            assert_eq!(line(&outcome), not_sent(NotSentReason::Withheld));
            let found = find(&bed.provider, &call, just_now()).await;
            assert!(matches!(found, Found::Unanswered(_)), "{found:?}");
        }
    }
}

#[tokio::test]
async fn rule_9_an_operation_is_found_behind_the_first_page_and_only_within_its_window() {
    let bed = Bed::ready_for(OperationKind::Create).await;
    let call = bed.call(OperationKind::Create, 4);
    bed.provider.send(&call).await;
    for other in 100..220 {
        bed.provider
            .send(&bed.call(OperationKind::Create, other))
            .await;
    }

    let found = find(&bed.provider, &call, just_now()).await;
    assert!(
        matches!(found, Found::There(Outcome::Approved(_))),
        "{found:?}"
    );
    let hours = |count: u64| Duration::from_secs(3_600 * count);
    let at = |time: Timestamp| SentBetween {
        first: time,
        last: time,
    };
    let now = Timestamp::from_micros(NOW_US);
    for (time, is_there) in [
        (now.plus(hours(1)), true),
        (now.minus(hours(1)), true),
        (now.plus(hours(2)), false),
        (now.minus(hours(2)), false),
    ] {
        let found = find(&bed.provider, &call, at(time)).await;
        assert_eq!(found != Found::Absent, is_there, "{found:?}");
    }
}

#[tokio::test]
async fn rule_9_a_look_goes_on_at_the_page_that_failed_and_ends_where_money_moved() {
    let bed = Bed::ready_for(OperationKind::Create).await;
    let call = bed.call(OperationKind::Create, 4);
    bed.provider.send(&call).await;
    for other in 100..320 {
        bed.provider
            .send(&bed.call(OperationKind::Create, other))
            .await;
    }
    let pages = || bed.sandbox.stats().requests["list"];
    let dark = FaultRule::new(FaultKind::Unavailable).on(&[CallClass::Lookup]);
    let mut search = Search::new(just_now(), None);
    assert_eq!(bed.provider.find(&call, &mut search).await, Found::More);

    bed.sandbox.set_faults(dark).await;
    for _ in 0..3 {
        let failed = bed.provider.find(&call, &mut search).await;
        assert!(matches!(failed, Found::Unanswered(_)), "{failed:?}");
    }
    bed.sandbox.clear_faults().await;
    assert_eq!(bed.provider.find(&call, &mut search).await, Found::More);
    let found = bed.provider.find(&call, &mut search).await;

    assert!(
        matches!(found, Found::There(Outcome::Approved(_))),
        "{found:?}"
    );
    assert_eq!(
        pages(),
        3 + 3,
        "each page once, and one of them thrice more"
    );
    assert_eq!(find(&bed.provider, &call, just_now()).await, found);
    assert_eq!(pages(), 6 + 3, "only the time around the send was read");
}

#[tokio::test]
async fn rule_6_a_new_secret_of_the_declared_account_settles_what_the_old_one_left_in_doubt() {
    let bed = Bed::ready_for(OperationKind::Create).await;
    let old = provider_with(&bed.sandbox, "sk_sandbox_1", Some("acct_1"));
    let new = provider_with(&bed.sandbox, "sk_sandbox_2", Some("acct_1"));
    let undeclared = provider_with(&bed.sandbox, "sk_sandbox_2", None);
    assert_eq!(old.profile().account, new.profile().account);
    assert_ne!(bed.provider.profile().account, undeclared.profile().account);
    let call = bed.call(OperationKind::Create, 4);

    let lost = FaultRule::new(FaultKind::ResetAfter);
    bed.sandbox.set_faults(lost).await;
    assert_eq!(old.send(&call).await.kind(), "in_doubt");
    bed.sandbox.clear_faults().await;

    let found = find(&new, &call, just_now()).await;
    assert!(
        matches!(found, Found::There(Outcome::Approved(_))),
        "{found:?}"
    );
}

#[tokio::test]
async fn rule_12_a_stray_charge_is_given_back_once_whatever_fails() {
    for kind in [OperationKind::Cancel, OperationKind::Refund] {
        for class in [CallClass::Lookup, CallClass::Cancel, CallClass::Refund] {
            for fault in FaultKind::ALL {
                let about = format!("{} {} on {}", kind.as_str(), fault.name(), class.name());
                let bed = Bed::ready_for(kind).await;
                if kind == OperationKind::Refund {
                    let part = bed.call(OperationKind::Refund, 5);
                    assert_eq!(bed.provider.send(&part).await.kind(), "approved");
                }
                let stray = Stray {
                    reference: bed.payment.provider_reference.clone().unwrap(),
                    key: "oncepay_3_stray".into(),
                    api_version: "2024-06-20".into(),
                    expected: bed.call(OperationKind::Create, 3).expected,
                    request_id: Id::from_uuid(uuid::Uuid::from_u128(9)),
                };
                let is_back = || {
                    let charge = bed.charge();
                    charge
                        .is_none_or(|it| it.amount_refunded == it.amount_captured && it.refunds > 0)
                };
                bed.sandbox
                    .set_faults(FaultRule::new(fault).on(&[class]))
                    .await;

                let first = bed.provider.reverse(&stray).await;
                match &first {
                    Outcome::Approved(_) => assert!(is_back(), "{about}"),
                    Outcome::Declined(_) => panic!("{about}: {first:?}"),
                    Outcome::NotSent(_) | Outcome::InDoubt(_) => {}
                }
                bed.sandbox.clear_faults().await;

                let second = bed.provider.reverse(&stray).await;
                let is_stored = fault == FaultKind::ErrorStored && class != CallClass::Lookup;
                assert!(
                    is_back() && matches!(second, Outcome::Approved(_)) || is_stored,
                    "{about}: {second:?}"
                );
                assert!(bed.charge().is_none_or(|it| it.refunds <= 2), "{about}");
            }
        }
    }
}
