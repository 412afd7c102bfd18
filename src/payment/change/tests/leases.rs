//! Renewals, and what a lease that ran out must not hide.

use super::*;

fn renew(owner: Owner) -> Change {
    Change::Renew {
        owner,
        lease: LEASE,
    }
}

fn effect_at(rows: &(Operation, Payment), epoch: i64, change: Change, now: Timestamp) -> Effect {
    apply(&rows.0, &rows.1, &by(epoch, change), now).unwrap()
}

#[test]
fn rule_13_only_the_driver_renews_its_lease_and_only_while_it_lives() {
    let (operation, payment) = rows();
    let later = NOW.plus(LEASE / 3);
    let renewed = after_at((&operation, &payment), 1, renew(OWNER), later);
    assert_eq!(renewed.0.lease_until, later.plus(LEASE));
    assert_eq!(
        renewed.0.next_recovery_at, operation.next_recovery_at,
        "recovery keeps its turn"
    );
    assert_eq!(renewed.1, payment, "nothing to tell of the payment");
    let again = effect_at(&renewed, 1, renew(OWNER), later);
    assert_eq!(again, Effect::AlreadyWritten);

    for (epoch, owner, now) in [
        (2, OWNER, later),
        (0, OWNER, later),
        (1, OTHER, later),
        (1, OWNER, NOW.plus(LEASE)),
    ] {
        let refused = effect_at(&rows(), epoch, renew(owner), now);
        assert_eq!(refused, Effect::Refused, "{epoch} {owner:?} {now:?}");
    }
}

#[test]
fn rule_13_a_renewal_that_comes_late_holds_nothing() {
    let doubt = Change::LeaveInDoubt(LeftInDoubt {
        reason: "timeout".into(),
        ..LeftInDoubt::default()
    });
    for end in [doubt, release(), captured("pi_1"), declined()] {
        let ended = after(&rows(), 1, end);
        assert_eq!(effect(&ended, 1, renew(OWNER)), Effect::Refused);
    }
}

/// Who took an operation over starts in doubt: a lease that ran out since does not mean that its
/// last word was written.
#[test]
fn rule_1_what_a_driver_says_after_its_lease_is_written_all_the_same() {
    let (operation, payment) = rows();
    let taken = after_at((&operation, &payment), 1, take_over(OTHER), NOW.plus(LEASE));
    let ran_out = NOW.plus(3 * LEASE);
    let bar = Change::LeaveInDoubt(LeftInDoubt {
        reason: "key_mismatch".into(),
        bar_resends: true,
        again_in: LEASE,
        ..LeftInDoubt::default()
    });
    let barred = after_at((&taken.0, &taken.1), 2, bar.clone(), ran_out);
    assert!(barred.0.resends_barred);
    assert_eq!(barred.0.next_recovery_at, ran_out.plus(LEASE));
    let again = effect_at(&barred, 2, bar, ran_out.plus(LEASE / 2));
    assert_eq!(again, Effect::AlreadyWritten);
}
