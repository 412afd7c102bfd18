//! What a restored backup had unsettled.

use super::*;
use crate::payment::{Absence, ProviderTerms, Step, judge_absence, next_step};

const LATER: Timestamp = Timestamp::from_micros(500_000_000_000);
const TERMS: ProviderTerms = ProviderTerms {
    key_retention: Duration::from_secs(86_400),
    absence_wait: Duration::from_secs(7_200),
};

fn restore(found: Option<FoundAt>) -> Change {
    Change::Restore {
        owner: OTHER,
        found,
    }
}

#[test]
fn rule_19_what_was_released_is_in_doubt_and_never_sent_again() {
    let released = after(&rows(), 1, release());
    let (operation, payment) = after_at((&released.0, &released.1), 1, restore(None), LATER);
    assert_eq!(payment.status, PaymentStatus::Processing);
    assert!(payment.in_doubt_since.is_some() && operation.in_doubt);
    assert_eq!(operation.epoch, 2);
    assert_eq!(next_step(&operation, TERMS, LATER), Step::LookUp);
    let rows = (operation, payment);
    assert_eq!(
        effect(&rows, 1, release()),
        Effect::Refused,
        "its old driver is fenced"
    );
    assert_eq!(effect(&rows, 2, release()), Effect::Refused);
    assert_eq!(effect(&rows, 2, restore(None)), Effect::AlreadyWritten);
    let (_, payment) = after(&rows, 1, captured("pi_1"));
    assert_eq!(
        payment.status,
        PaymentStatus::Succeeded,
        "a definite answer is true all the same"
    );
}

#[test]
fn rule_19_an_absence_counts_from_the_restore() {
    let (operation, payment) = rows();
    let (operation, _) = after_at((&operation, &payment), 1, restore(None), LATER);
    let day = Duration::from_secs(86_400);
    let before = judge_absence(&operation, TERMS, LATER.plus(day));
    assert!(matches!(before, Absence::MeansNothing { .. }));
    let late = judge_absence(&operation, TERMS, LATER.plus(day + TERMS.absence_wait));
    assert!(matches!(late, Absence::First { .. }));
}

#[test]
fn rule_19_what_another_provider_has_is_its_own_from_then_on() {
    let (operation, payment) = rows();
    let route = ProviderRoute {
        provider: "second".into(),
        ..operation.route.clone()
    };
    let found = FoundAt {
        route: route.clone(),
        reference: "pi_2".into(),
    };
    let (operation, payment) = after(&(operation, payment), 1, restore(Some(found)));
    assert_eq!(
        (operation.route.clone(), payment.provider),
        (route, "second".to_owned())
    );
    let reference = "pi_2".to_owned();
    assert_eq!(
        next_step(&operation, TERMS, NOW),
        Step::Inspect { reference }
    );
}

#[test]
fn rule_19_what_is_settled_stays_as_it_is() {
    let settled = after(&rows(), 1, captured("pi_1"));
    assert_eq!(effect(&settled, 1, restore(None)), Effect::Refused);
}
