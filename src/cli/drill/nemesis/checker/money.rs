//! The provider's charges against our own word.

use std::collections::BTreeMap;

use super::{
    super::{
        history::Kind,
        truth::{Charge, Ours, Payment, Truth},
    },
    Finding, Story, What,
};

/// Whether one payment has exactly the charge that it must have, and of the right size.
pub(super) fn of_one(story: &Story<'_>, ours: &Ours, truth: &Truth, findings: &mut Vec<Finding>) {
    let asked = story.creation.asked;
    let mut found = |what| findings.push(Finding::of(&asked.key, what));
    let charges = truth.charges.get(&asked.key).map_or(&[][..], Vec::as_slice);
    if charges.len() > 1 {
        let charges = charges.len();
        found(What::ChargedTwice { charges });
    }
    let payment = ours.payment(&asked.key);
    if ours
        .payments
        .get(&asked.key)
        .is_some_and(|all| all.len() > 1)
    {
        found(What::TwoPayments);
    }
    let status = payment.map_or("not recorded", |payment| payment.status.as_str());
    let stands = charges.iter().any(Charge::stands);
    match (status, charges.first()) {
        ("succeeded" | "authorized", None) => found(What::ChargeLost {
            status: status.to_owned(),
        }),
        // What was given back after the end does not stand.
        ("failed" | "canceled", Some(_)) if stands => found(What::Charged {
            status: status.to_owned(),
        }),
        // Certainly not sent: there cannot even have been a charge.
        ("pending" | "not recorded", Some(_)) => found(What::Charged {
            status: status.to_owned(),
        }),
        _ => {}
    }
    if let (Some(payment), [charge]) = (payment, charges)
        && ["succeeded", "authorized"].contains(&status)
    {
        amounts(story, payment, charge, findings);
    }
}

fn amounts(story: &Story<'_>, payment: &Payment, charge: &Charge, findings: &mut Vec<Finding>) {
    let asked = story.creation.asked;
    let mut compare = |which, ours: i64, theirs: i64| {
        if ours != theirs {
            findings.push(Finding::of(
                &asked.key,
                What::Amount {
                    which,
                    ours,
                    theirs,
                },
            ));
        }
    };
    compare("asked for", asked.amount, charge.amount);
    compare("captured", payment.amount_captured, charge.amount_captured);
    compare("refunded", payment.amount_refunded, charge.amount_refunded);
    let is_held = payment.status == "authorized";
    compare(
        "held",
        if is_held { asked.amount } else { 0 },
        charge.amount_capturable,
    );
    if !asked.manual {
        compare("paid", asked.amount, charge.amount_captured);
    }
    let captures = story.of_kind(Kind::Capture);
    for capture in captures.filter(|capture| capture.is_acknowledged()) {
        compare("capture", capture.asked.amount, charge.amount_captured);
    }
    let refunds = || story.of_kind(Kind::Refund);
    let sum = |sum: i64, amount: i64| sum.saturating_add(amount);
    let acknowledged = refunds().filter(|refund| refund.is_acknowledged());
    let least = acknowledged.map(|refund| refund.asked.amount).fold(0, sum);
    compare(
        "refunds acknowledged, at least",
        least,
        charge.amount_refunded.min(least),
    );
    // More than was ever asked to be given back.
    let known = refunds().map(|refund| refund.asked.amount).fold(0, sum);
    compare(
        "refunds asked for, at most",
        known,
        charge.amount_refunded.max(known),
    );
    let more_than_taken = charge.amount_refunded.max(charge.amount_captured);
    compare(
        "refunded, at most what was captured",
        charge.amount_captured,
        more_than_taken,
    );
}

/// Whether the provider's totals are the sums of what we know of.
pub(super) fn in_all(
    stories: &BTreeMap<&str, Story<'_>>,
    ours: &Ours,
    truth: &Truth,
    findings: &mut Vec<Finding>,
) {
    let known = truth.charges.iter();
    let known = known.filter(|(key, _)| stories.contains_key(key.as_str()));
    let known: Vec<_> = known
        .flat_map(|(key, charges)| charges.iter().map(move |c| (key, c)))
        .collect();
    let count = known.len() as u64;
    if truth.in_all.count != count {
        let count = truth.in_all.count.abs_diff(count);
        findings.push(Finding::of_all(What::StrayCharges { count }));
    }
    // What was taken too late and given back is in the provider's totals, and in none of ours.
    let is_stray = |key: &str| {
        let status = ours.payment(key).map(|payment| payment.status.as_str());
        !matches!(status, Some("succeeded" | "authorized"))
    };
    let strays = || known.iter().filter(|(key, _)| is_stray(key));
    let taken: i64 = strays().map(|(_, charge)| charge.amount_captured).sum();
    let given: i64 = strays().map(|(_, charge)| charge.amount_refunded).sum();
    let captured: i64 = ours.all().map(|payment| payment.amount_captured).sum();
    let refunded: i64 = ours.all().map(|payment| payment.amount_refunded).sum();
    for (which, ours, theirs) in [
        ("captured in all", captured, truth.in_all.captured - taken),
        ("refunded in all", refunded, truth.in_all.refunded - given),
    ] {
        if ours != theirs {
            let what = What::Amount {
                which,
                ours,
                theirs,
            };
            findings.push(Finding::of_all(what));
        }
    }
}
