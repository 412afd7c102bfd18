//! How a payment's creation ends without an answer to its client: in doubt, absent, elsewhere, by
//! time, by an operator, and after its end.

use super::*;
use crate::payment::Stands;

const HOUR: Duration = Duration::from_secs(3_600);

fn recover(owner: Owner) -> Change {
    Change::Recover {
        owner,
        lease: LEASE,
    }
}

fn doubt(reason: &str) -> LeftInDoubt {
    LeftInDoubt {
        reason: reason.into(),
        ..LeftInDoubt::default()
    }
}

fn left(reason: &str) -> Change {
    Change::LeaveInDoubt(doubt(reason))
}

fn at_the_door() -> Change {
    Change::Settle(Verdict::Declined(Decline {
        code: "parameter_invalid".into(),
        message: "No such payment method.".into(),
        reference: None,
        at_the_door: true,
        stands: None,
    }))
}

fn begin_resolving(owner: Owner) -> Change {
    Change::BeginResolving {
        owner,
        lease: LEASE,
    }
}

fn resolve(verdict: Verdict) -> Change {
    Change::Resolve {
        verdict,
        by: "ada".into(),
        why: "seen in the dashboard".into(),
        look_again_at: None,
    }
}

fn second_route() -> ProviderRoute {
    ProviderRoute {
        provider: "second".into(),
        key: "k2".into(),
        ..rows().0.route
    }
}

fn fail_over(route: ProviderRoute) -> Change {
    Change::FailOver {
        route,
        lease: LEASE,
        reason: "connect_failed".into(),
    }
}

fn verdict(change: Change) -> Verdict {
    match change {
        Change::Settle(verdict) => verdict,
        other => panic!("no verdict: {other:?}"),
    }
}

fn events((operation, payment): &(Operation, Payment), change: Change) -> Vec<PaymentEvent> {
    match apply(operation, payment, &by(operation.epoch, change), NOW).unwrap() {
        Effect::Written { events, .. } => events,
        other => panic!("not written: {other:?}"),
    }
}

#[test]
fn rule_13_a_recovery_takes_what_is_open_and_unleased_and_counts_its_tries() {
    let (operation, payment) = rows();
    let later = NOW.plus(LEASE);
    assert_eq!(
        effect(&rows(), 1, recover(OTHER)),
        Effect::Refused,
        "leased"
    );

    let (first, payment) = after_at((&operation, &payment), 1, recover(OTHER), later);

    assert_eq!(
        (first.epoch, first.recovery_tries, first.owner),
        (2, 1, OTHER)
    );
    assert_eq!(first.lease_until, later.plus(LEASE));
    assert_eq!(
        first.next_recovery_at,
        later.plus(LEASE),
        "written before it is driven"
    );
    assert!(first.in_doubt && first.in_doubt_since == Some(later));
    assert_eq!(first.in_doubt_reason.as_deref(), Some("driver_lost"));
    let left = after(&(first, payment), 2, left("timeout"));
    let (second, _) = after(&left, 2, recover(OWNER));
    assert_eq!((second.epoch, second.recovery_tries), (3, 2));
    assert_eq!(second.in_doubt_since, Some(later), "without a break");
    let by_its_client = after(&left, 2, take_over(OWNER));
    let given_up = Change::LeaveInDoubt(LeftInDoubt {
        reason: "timeout".into(),
        again_in: 2 * LEASE,
        by_client: true,
        ..LeftInDoubt::default()
    });
    let (given_up, _) = after(&by_its_client, 3, given_up);
    assert_eq!(given_up.next_recovery_at, left.0.next_recovery_at);
    let (by_its_client, _) = by_its_client;
    assert_eq!(by_its_client.recovery_tries, 1, "its client is no recovery");
    assert_eq!(
        by_its_client.next_recovery_at, left.0.next_recovery_at,
        "and puts none off"
    );
}

#[test]
fn rule_10_a_recovery_never_takes_what_was_released() {
    let released = after(&rows(), 1, release());
    let (operation, payment) = &released;
    let much_later = NOW.plus(1_000 * HOUR);
    let tried = apply(operation, payment, &by(1, recover(OTHER)), much_later);
    assert_eq!(tried, Ok(Effect::Refused));
}

#[test]
fn rule_1_a_doubt_keeps_what_its_driver_knew() {
    let knows = Change::LeaveInDoubt(LeftInDoubt {
        reason: "unfinished".into(),
        reference: Some("pi_1".into()),
        bar_resends: true,
        absent: true,
        again_in: HOUR,
        by_client: false,
    });
    let known = after(&rows(), 1, knows);
    let (operation, _) = &known;
    assert_eq!(operation.in_doubt_reason.as_deref(), Some("unfinished"));
    assert_eq!(operation.provider_reference.as_deref(), Some("pi_1"));
    assert_eq!(operation.absent_at, Some(NOW));
    assert_eq!(operation.next_recovery_at, NOW.plus(HOUR));
    assert!(operation.resends_barred && !operation.is_leased(NOW));

    let taken = after(&known, 1, recover(OTHER));
    let (operation, payment) = after(&taken, 2, left("timeout"));

    assert_eq!(operation.provider_reference.as_deref(), Some("pi_1"));
    assert!(operation.resends_barred, "once barred, for ever");
    assert_eq!(operation.absent_at, Some(NOW), "the first time counts");
    assert_eq!(operation.in_doubt_since, Some(NOW));
    assert_eq!(payment.event_count, 2, "told once");
}

#[test]
fn rule_5_what_was_refused_at_the_door_settles_only_for_its_driver() {
    let (failed, payment) = after(&rows(), 1, at_the_door());
    assert_eq!(payment.status, PaymentStatus::Failed);
    assert_eq!(failed.failure.clone().unwrap().code, "parameter_invalid");
    assert_eq!(
        effect(&(failed, payment), 1, at_the_door()),
        Effect::AlreadyWritten
    );

    let taken = after(&after(&rows(), 1, left("timeout")), 1, take_over(OTHER));
    assert_eq!(
        effect(&taken, 1, at_the_door()),
        Effect::Refused,
        "of an old epoch"
    );
    let released = after(&rows(), 1, release());
    assert_eq!(effect(&released, 1, at_the_door()), Effect::Refused);
    after(&taken, 1, declined());
}

#[test]
fn rule_9_an_absent_operation_fails_for_the_driver_that_holds_it() {
    let taken = after(&after(&rows(), 1, left("timeout")), 1, recover(OTHER));
    assert_eq!(effect(&taken, 1, Change::SettleAbsent), Effect::Refused);

    let absent = after(&taken, 2, Change::SettleAbsent);

    let (operation, payment) = &absent;
    assert_eq!(payment.status, PaymentStatus::Failed);
    assert_eq!(operation.failure.as_ref().unwrap().code, "not_executed");
    assert_eq!(operation.answer.as_ref().unwrap().status, 402);
    assert!(!operation.in_doubt && operation.in_doubt_since.is_none());
    assert_eq!(
        effect(&absent, 2, Change::SettleAbsent),
        Effect::AlreadyWritten
    );
    let paid = after(&rows(), 1, captured("pi_1"));
    assert_eq!(effect(&paid, 1, Change::SettleAbsent), Effect::Refused);
    let released = after(&rows(), 1, release());
    assert_eq!(effect(&released, 1, Change::SettleAbsent), Effect::Refused);
}

#[test]
fn rule_7_a_failover_is_only_for_what_was_certainly_never_sent() {
    let change = || fail_over(second_route());
    let (operation, payment) = rows();
    let later = NOW.plus(Duration::from_secs(5));

    let turned = after_at((&operation, &payment), 1, change(), later);

    assert_eq!(turned.0.route, second_route());
    assert_eq!((turned.0.epoch, turned.0.first_sent_at), (1, later));
    assert_eq!(turned.0.lease_until, later.plus(LEASE));
    assert_eq!(turned.1.provider, "second");
    assert_eq!(turned.1.status, PaymentStatus::Processing);
    assert_eq!(effect(&turned, 1, change()), Effect::AlreadyWritten);
    let doubted = after(&rows(), 1, left("timeout"));
    assert_eq!(effect(&doubted, 1, change()), Effect::Refused);
    assert_eq!(
        effect(&rows(), 2, change()),
        Effect::Refused,
        "another's epoch"
    );
    let released = after(&rows(), 1, release());
    assert_eq!(effect(&released, 1, change()), Effect::Refused);
}

#[test]
fn rule_11_only_a_released_operation_expires_and_only_as_it_was_seen() {
    let released = after(&rows(), 1, release());
    assert_eq!(effect(&rows(), 1, Change::Expire), Effect::Refused, "open");

    let expired = after(&released, 1, Change::Expire);

    let (operation, payment) = &expired;
    assert_eq!(payment.status, PaymentStatus::Failed);
    assert_eq!(payment.failure.as_ref().unwrap().code, "payment_expired");
    assert_eq!(operation.failure, payment.failure);
    assert_eq!(operation.answer.as_ref().unwrap().status, 402);
    assert_eq!(effect(&expired, 1, Change::Expire), Effect::AlreadyWritten);
    let resumed = after(&released, 1, take_over(OTHER));
    assert_eq!(
        effect(&resumed, 1, Change::Expire),
        Effect::Refused,
        "its client came back"
    );
    let again = after(&resumed, 2, release());
    assert_eq!(
        effect(&again, 1, Change::Expire),
        Effect::Refused,
        "and was seen by nobody"
    );
    let failed = after(&rows(), 1, declined());
    assert_eq!(effect(&failed, 1, Change::Expire), Effect::Refused);
}

#[test]
fn rule_15_an_operator_takes_what_is_open_and_bars_sending() {
    let resolving = after(&rows(), 1, begin_resolving(OTHER));

    let (operation, payment) = &resolving;
    assert_eq!((operation.epoch, operation.owner), (2, OTHER));
    assert!(
        operation.resends_barred && operation.in_doubt,
        "its driver may be sending"
    );
    assert_eq!(
        operation.in_doubt_reason.as_deref(),
        Some("operator_resolves")
    );
    assert!(payment.in_doubt_since.is_some());
    assert_eq!(
        effect(&resolving, 1, begin_resolving(OTHER)),
        Effect::AlreadyWritten
    );
    assert_eq!(
        effect(&resolving, 1, begin_resolving(OWNER)),
        Effect::Refused
    );
    assert_eq!(
        effect(&resolving, 1, left("timeout")),
        Effect::Refused,
        "the fence"
    );
    for ended in [release(), declined()] {
        let ended = after(&rows(), 1, ended);
        assert_eq!(effect(&ended, 1, begin_resolving(OTHER)), Effect::Refused);
    }
}

#[test]
fn rule_15_a_resolution_is_told_with_who_and_why() {
    let resolving = after(&rows(), 1, begin_resolving(OTHER));
    let told = PaymentEvent::Resolved {
        operation: resolving.0.id.to_string(),
        by: "ada".into(),
        why: "seen in the dashboard".into(),
    };
    for (change, status) in [
        (captured("pi_1"), PaymentStatus::Succeeded),
        (declined(), PaymentStatus::Failed),
    ] {
        let change = resolve(verdict(change));
        assert_eq!(
            effect(&resolving, 1, change.clone()),
            Effect::Refused,
            "the fence"
        );
        assert_eq!(events(&resolving, change.clone())[0], told);
        let resolved = after(&resolving, 2, change.clone());
        assert_eq!(resolved.1.status, status);
        assert_eq!(effect(&resolved, 2, change), Effect::AlreadyWritten);
        let other = resolve(verdict(captured("pi_2")));
        assert_eq!(
            effect(&resolved, 2, other),
            Effect::Refused,
            "settled otherwise"
        );
    }
}

#[test]
fn rule_15_a_refusal_by_an_operator_leaves_a_second_look() {
    let resolving = after(&rows(), 1, begin_resolving(Owner([2; 16])));
    let again_at = NOW.plus(2 * LEASE);
    let resolve = |change: Change| Change::Resolve {
        verdict: verdict(change),
        by: "ada".into(),
        why: "seen in the dashboard".into(),
        look_again_at: Some(again_at),
    };
    let paid = after(&resolving, 2, resolve(captured("pi_1")));
    assert!(!paid.0.has_loose_end(), "what is there needs no look");
    let failed = after(&resolving, 2, resolve(declined()));
    assert!(failed.0.has_loose_end());
    assert_eq!(failed.0.next_recovery_at, again_at);

    let looked = after(&failed, 2, Change::LookedAgain);
    assert!(!looked.0.has_loose_end());
    assert_eq!((&looked.0.answer, &looked.1), (&failed.0.answer, &failed.1));
    assert_eq!(
        effect(&looked, 2, Change::LookedAgain),
        Effect::AlreadyWritten
    );

    let found = after(&failed, 2, captured("pi_2"));
    assert_eq!(found.0.stray_reference.as_deref(), Some("pi_2"));
    assert!(found.0.has_stray() && !found.0.look_again);
    assert_eq!(found.0.answer, failed.0.answer);
}

#[test]
fn rule_12_a_second_charge_is_stray_and_none_is_forgotten_over_another() {
    let paid = after(&rows(), 1, captured("pi_1"));
    let stray = after(&paid, 1, captured("pi_2"));
    assert_eq!(stray.0.stray_reference.as_deref(), Some("pi_2"));
    assert_eq!(stray.0.answer, paid.0.answer);
    assert_eq!(stray.1.amount_captured, 4_200, "what was asked for, once");
    assert_eq!(effect(&stray, 1, captured("pi_1")), Effect::AlreadyWritten);
    assert_eq!(effect(&stray, 1, captured("pi_3")), Effect::Refused);

    let reverse = |reference: &str| Change::ReverseStray {
        reference: reference.into(),
        reversed_as: "re_1".into(),
    };
    assert_eq!(effect(&stray, 1, reverse("pi_3")), Effect::Refused);
    let reversed = after(&stray, 1, reverse("pi_2"));

    assert_eq!(reversed.0.stray_reversed_at, Some(NOW));
    assert_eq!(
        effect(&reversed, 1, reverse("pi_2")),
        Effect::AlreadyWritten
    );
    assert_eq!(
        effect(&reversed, 1, captured("pi_2")),
        Effect::AlreadyWritten
    );
    let third = after(&reversed, 1, captured("pi_3"));
    assert_eq!(third.0.stray_reference.as_deref(), Some("pi_3"));
    assert_eq!(third.0.stray_reversed_at, None);
}

#[test]
fn rule_12_a_charge_after_an_expiry_is_stray() {
    let released = after(&rows(), 1, release());
    let expired = after(&released, 1, Change::Expire);
    let stray = after(&expired, 1, captured("pi_1"));
    assert_eq!(stray.1.status, PaymentStatus::Failed);
    assert_eq!(stray.0.stray_reference.as_deref(), Some("pi_1"));
}

#[test]
fn a_creation_of_before_amounts_captures_what_its_payment_says() {
    let (mut operation, payment) = rows();
    operation.amount = 0;
    let (_, payment) = after(&(operation, payment), 1, captured("pi_1"));
    assert_eq!(payment.amount_captured, 4_200);
}

#[test]
fn an_approval_that_its_kind_cannot_have_is_a_contradiction() {
    let (operation, payment) = rows();
    for approved_as in [ApprovedAs::Voided, ApprovedAs::Refunded] {
        let approved = Verdict::Approved(Approval {
            approved_as,
            reference: "x".into(),
        });
        let change = by(1, Change::Settle(approved));
        assert!(apply(&operation, &payment, &change, NOW).is_err());
    }
}

#[test]
fn a_creation_takes_no_word_about_how_it_stands() {
    let stands = Change::Settle(Verdict::Declined(Decline {
        code: "declined".into(),
        message: "Declined.".into(),
        reference: None,
        at_the_door: false,
        stands: Some(Stands::Captured { amount: 1 }),
    }));
    let (_, payment) = after(&rows(), 1, stands);
    assert_eq!(
        (payment.status, payment.amount_captured),
        (PaymentStatus::Failed, 0)
    );
}

#[test]
fn rule_12_of_several_that_would_give_a_stray_charge_back_one_has_the_turn() {
    let refused = after(&rows(), 1, declined());
    let turn = |n| Change::TakeTurn {
        owner: Owner([n; 16]),
        again_in: LEASE,
    };
    assert_eq!(
        effect(&refused, 1, turn(7)),
        Effect::Refused,
        "nothing stray"
    );
    let stray = after(&refused, 1, captured("pi_9"));
    let postponed = after(&stray, 1, turn(7));
    assert_eq!(postponed.0.next_recovery_at, NOW.plus(LEASE));
    assert_eq!(postponed.0.recovery_tries, 1);
    assert_eq!(
        postponed.1, stray.1,
        "the payment's history is not told of it"
    );
    assert_eq!(effect(&postponed, 1, turn(7)), Effect::AlreadyWritten);
    assert_eq!(effect(&postponed, 1, turn(8)), Effect::Refused);
}
