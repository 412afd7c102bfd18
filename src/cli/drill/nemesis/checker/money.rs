//! The provider's charges against our own word.

use std::collections::BTreeMap;

use super::{
    super::{
        history::{Asked, Kind},
        truth::{Charge, Ours, Payment, Truth},
    },
    Finding, Operation, Story, What,
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
    for what in other_than_asked(asked, payment, charges) {
        found(what);
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
        amounts(story, ours, payment, charge, findings);
    }
}

/// What is recorded or charged in another size or currency than was asked for, whatever became of it.
fn other_than_asked(asked: &Asked, payment: Option<&Payment>, charges: &[Charge]) -> Vec<What> {
    let mut all = Vec::new();
    let ours = payment.map(|payment| ("recorded", payment.amount, payment.currency.clone()));
    let theirs = charges.iter().map(|charge| {
        let currency = charge.currency.to_ascii_uppercase();
        ("asked for", charge.amount, currency)
    });
    for (which, amount, currency) in ours.into_iter().chain(theirs) {
        if amount != asked.amount {
            let (ours, theirs) = (asked.amount, amount);
            all.push(What::Amount {
                which,
                ours,
                theirs,
            });
        }
        if currency != asked.currency {
            let (asked, found) = (asked.currency, currency);
            all.push(What::Currency { asked, found });
        }
    }
    all
}

fn amounts(
    story: &Story<'_>,
    ours: &Ours,
    payment: &Payment,
    charge: &Charge,
    findings: &mut Vec<Finding>,
) {
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
    compare("captured", payment.amount_captured, charge.amount_captured);
    compare("refunded", payment.amount_refunded, charge.amount_refunded);
    let is_held = payment.status == "authorized";
    compare(
        "held",
        if is_held { asked.amount } else { 0 },
        charge.amount_capturable,
    );
    let captures = || story.of_kind(Kind::Capture);
    if !asked.manual {
        compare("paid", asked.amount, charge.amount_captured);
    } else if !captures().any(|capture| may_have_moved(capture, ours, charge.amount_captured)) {
        // Held until a capture takes it: nobody has asked for one of that much.
        compare("captured as asked for", 0, charge.amount_captured);
    }
    for capture in captures().filter(|capture| capture.is_acknowledged()) {
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
    // More than was ever asked to be given back, and not refused.
    let may_be = refunds().filter(|refund| may_have_moved(refund, ours, refund.asked.amount));
    let known = may_be.map(|refund| refund.asked.amount).fold(0, sum);
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

/// Whether the capture or refund may have moved that much: what was refused for good, or never
/// recorded, moves nothing.
fn may_have_moved(operation: &Operation<'_>, ours: &Ours, amount: i64) -> bool {
    let asked = operation.asked;
    asked.amount == amount && !operation.is_refused() && ours.has_recorded(&asked.key)
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
    let mut captured: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    let mut refunded = captured.clone();
    for payment in ours.all() {
        let currency = payment.currency.to_ascii_lowercase();
        captured.entry(currency.clone()).or_default().0 += payment.amount_captured;
        refunded.entry(currency).or_default().0 += payment.amount_refunded;
    }
    for (_, charge) in known.iter().filter(|(key, _)| is_stray(key)) {
        let currency = &charge.currency;
        captured.entry(currency.clone()).or_default().0 += charge.amount_captured;
        refunded.entry(currency.clone()).or_default().0 += charge.amount_refunded;
    }
    for (currency, amount) in &truth.in_all.captured {
        captured.entry(currency.clone()).or_default().1 += amount;
    }
    for (currency, amount) in &truth.in_all.refunded {
        refunded.entry(currency.clone()).or_default().1 += amount;
    }
    let sums = |which, sums: BTreeMap<String, (i64, i64)>| {
        sums.into_values()
            .map(move |(ours, theirs)| (which, ours, theirs))
    };
    let all = sums("captured in all", captured).chain(sums("refunded in all", refunded));
    for (which, ours, theirs) in all.filter(|(_, ours, theirs)| ours != theirs) {
        let what = What::Amount {
            which,
            ours,
            theirs,
        };
        findings.push(Finding::of_all(what));
    }
}
