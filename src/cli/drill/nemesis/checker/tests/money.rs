//! Charges and sums.

use super::*;

#[test]
fn a_second_charge_is_found_whatever_became_of_it() {
    for second in [charge(AMOUNT, 0), charge(AMOUNT, AMOUNT), held()] {
        let mut tale = good();
        tale.charged("paid", second);
        tale.expect("paid", &What::ChargedTwice { charges: 2 });
    }
}

#[test]
fn a_charge_that_is_lost_or_should_not_be_is_found() {
    for key in ["paid", "held"] {
        let mut tale = good();
        tale.truth.charges.remove(key);
        let status = tale.ours.payment(key).unwrap().status.clone();
        tale.expect(key, &What::ChargeLost { status });
    }
    for (key, status, charge) in [
        ("declined", "failed", charge(AMOUNT, 0)),
        ("declined", "failed", charge(AMOUNT, 10)),
        ("canceled", "canceled", held()),
        // Even if it was given back: it was said not to have been sent at all.
        ("pending", "pending", charge(AMOUNT, AMOUNT)),
        ("lost", "not recorded", charge(AMOUNT, AMOUNT)),
    ] {
        let mut tale = good();
        tale.charged(key, charge);
        let status = status.to_owned();
        tale.expect(key, &What::Charged { status });
    }
}

#[test]
fn sums_that_differ_are_found() {
    let amount = |which, ours, theirs| What::Amount {
        which,
        ours,
        theirs,
    };
    let changed = |key: &str, change: fn(&mut Charge)| {
        let mut tale = good();
        change(&mut tale.truth.charges.get_mut(key).unwrap()[0]);
        tale
    };
    changed("paid", |charge| charge.amount = 99).expect("paid", &amount("asked for", 100, 99));
    let less = changed("paid", |charge| charge.amount_captured = 60);
    less.expect("paid", &amount("captured", 100, 60));
    less.expect("paid", &amount("paid", 100, 60));
    let unrefunded = changed("paid", |charge| charge.amount_refunded = 0);
    unrefunded.expect("paid", &amount("refunded", 30, 0));
    unrefunded.expect("paid", &amount("refunds acknowledged, at least", 30, 0));
    let refunded_twice = changed("paid", |charge| charge.amount_refunded = 60);
    refunded_twice.expect("paid", &amount("refunds asked for, at most", 30, 60));
    let too_much = changed("paid", |charge| charge.amount_refunded = 130);
    too_much.expect(
        "paid",
        &amount("refunded, at most what was captured", 100, 130),
    );
    changed("held", |charge| charge.amount_capturable = 1).expect("held", &amount("held", 100, 1));
    changed("taken", |charge| charge.amount_captured = 60)
        .expect("taken", &amount("capture", 100, 60));

    let mut totals = good();
    *totals.truth.in_all.captured.get_mut("eur").unwrap() += 7;
    totals.expect("", &amount("captured in all", 200, 207));
    *totals.truth.in_all.refunded.get_mut("eur").unwrap() += 7;
    totals.expect("", &amount("refunded in all", 30, 37));
}

#[test]
fn what_was_to_be_held_and_was_charged_is_found() {
    let which = "captured as asked for";
    let (ours, theirs) = (0, AMOUNT);
    let what = What::Amount {
        which,
        ours,
        theirs,
    };
    let captured_at_once = || {
        let mut tale = good();
        tale.stands("held", "succeeded", (AMOUNT, 0));
        tale.truth.charges.remove("held");
        tale.charged("held", charge(AMOUNT, 0));
        tale
    };
    captured_at_once().expect("held", &what);
    // Nor is it charged by a capture of another amount, one that was refused, or one never recorded.
    let mut other = captured_at_once();
    other.asks(follow_up("take", Kind::Capture, "held", 40));
    other.told("take", Came::Cut);
    other.expect("held", &what);
    let mut refused = captured_at_once();
    refused.asks(follow_up("take", Kind::Capture, "held", AMOUNT));
    refused.answered("take", 402, &problem("payment_declined", None));
    refused.expect("held", &what);
    let mut unrecorded = captured_at_once();
    unrecorded.asks(follow_up("take", Kind::Capture, "held", AMOUNT));
    unrecorded.told("take", Came::Cut);
    assert!(!unrecorded.finds("held", &what));
    unrecorded.ours.operations.remove("take");
    unrecorded.expect("held", &what);
}

#[test]
fn money_of_another_currency_is_found() {
    let what = |found: &str| What::Currency {
        asked: "EUR",
        found: found.to_owned(),
    };
    let mut theirs = good();
    theirs.truth.charges.get_mut("paid").unwrap()[0].currency = "usd".to_owned();
    theirs.expect("paid", &what("USD"));
    let mut ours = good();
    ours.ours.payments.get_mut("declined").unwrap()[0].currency = "JPY".to_owned();
    ours.expect("declined", &what("JPY"));
    // Sums of two currencies that are equal together, and not each.
    let mut sums = good();
    let captured = &mut sums.truth.in_all.captured;
    *captured.get_mut("eur").unwrap() -= 5;
    captured.insert("usd".to_owned(), 5);
    for (ours, theirs) in [(200, 195), (0, 5)] {
        let which = "captured in all";
        let what = What::Amount {
            which,
            ours,
            theirs,
        };
        sums.expect("", &what);
    }
}

#[test]
fn what_is_recorded_with_another_amount_is_found() {
    let mut tale = good();
    tale.ours.payments.get_mut("declined").unwrap()[0].amount = 99;
    let which = "recorded";
    let (ours, theirs) = (100, 99);
    let what = What::Amount {
        which,
        ours,
        theirs,
    };
    tale.expect("declined", &what);
}

#[test]
fn a_refund_that_was_refused_or_never_recorded_gives_nothing_back() {
    let given_back_twice = || {
        let mut tale = good();
        tale.asks(follow_up("again", Kind::Refund, "paid", 30));
        tale.stands("paid", "succeeded", (AMOUNT, 60));
        tale.truth.charges.remove("paid");
        tale.charged("paid", charge(AMOUNT, 60));
        tale
    };
    let which = "refunds asked for, at most";
    let (ours, theirs) = (30, 60);
    let what = What::Amount {
        which,
        ours,
        theirs,
    };
    let mut unknown = given_back_twice();
    unknown.told("again", Came::Cut);
    assert!(!unknown.finds("paid", &what));
    let mut refused = given_back_twice();
    refused.answered("again", 402, &problem("payment_declined", None));
    refused.expect("paid", &what);
    let mut unrecorded = given_back_twice();
    unrecorded.answered("again", 422, &problem("amount_exceeds_available", None));
    unrecorded.ours.operations.remove("again");
    unrecorded.expect("paid", &what);
}
