//! What the database has recorded.

use super::*;

#[test]
fn what_nobody_took_over_is_found_before_anyone_asks_again() {
    // The payment shows nothing of it, and nobody has put it in doubt yet.
    let mut open = good();
    open.recorded("refund").state = "open".to_owned();
    let findings = check(&open.history, &open.ours, &open.truth, false);
    let status = "recorded as open".to_owned();
    let found = Finding::of("refund", What::Unsettled { status });
    assert_eq!(findings, [found]);
    let mut stray = good();
    stray.recorded("declined").has_stray = true;
    let status = "a charge that came too late is not given back".to_owned();
    stray.expect("declined", &What::Unsettled { status });
}

#[test]
fn what_is_recorded_twice_or_otherwise_is_found() {
    let mut twice = good();
    let again = twice.recorded("refund").clone();
    twice.ours.operations.get_mut("refund").unwrap().push(again);
    twice.expect("refund", &What::RecordedTwice);
    let changed = |change: fn(&mut Recorded)| {
        let mut tale = good();
        change(tale.recorded("refund"));
        tale
    };
    for (field, tale) in [
        ("kind", changed(|recorded| recorded.kind = Kind::Capture)),
        (
            "payment",
            changed(|recorded| recorded.payment_key = "taken".to_owned()),
        ),
        ("amount", changed(|recorded| recorded.amount = 31)),
    ] {
        tale.expect("refund", &What::RecordedOtherwise { field });
    }
}

/// Answers two requests at once, both of which are told that they have carried it out.
#[test]
fn more_requests_that_carried_it_out_than_drivers_are_found() {
    let mut tale = good();
    tale.answered("paid", 201, &payment("paid", "succeeded"));
    let first = tale
        .history
        .iter()
        .position(|entry| entry.asked.key == "paid");
    let last = tale.history.last_mut().unwrap();
    last.from = Duration::ZERO;
    let Came::Answer(answer) = &mut last.came else {
        panic!("it was answered");
    };
    answer.replayed = false;
    assert_eq!(first, Some(0));
    let (answers, drivers) = (2, 1);
    tale.expect("paid", &What::DrivenByMore { answers, drivers });
    // The second has taken it over from the first.
    tale.recorded("paid").epoch = 2;
    assert_eq!(tale.findings(), []);
}
