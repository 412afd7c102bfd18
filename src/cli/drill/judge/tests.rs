use super::*;

const QUIET: Option<u64> = None;

fn answer(status: u16, body: &str) -> Definite {
    Definite {
        status,
        body: body.into(),
    }
}

fn case(fate: Fate, charges: &[i64]) -> Case {
    let answers = match fate {
        Fate::Succeeded => vec![answer(201, "a"), answer(201, "a")],
        Fate::Failed => vec![answer(402, "a")],
        _ => vec![],
    };
    Case {
        key: "k".into(),
        amount: 5,
        answers,
        fate,
        charges: charges.into(),
    }
}

fn key() -> String {
    "k".into()
}

#[test]
fn one_charge_for_each_that_succeeded_and_none_for_the_others_is_once() {
    let cases = [
        case(Fate::Succeeded, &[5]),
        case(Fate::Failed, &[]),
        case(Fate::Pending, &[]),
        case(Fate::NotRecorded, &[]),
    ];
    assert_eq!(judge(&cases, Some(1)), []);
    assert_eq!(strays(cases.iter(), Some(1)), []);
}

/// What the provider counts, by what the server says.
#[test]
fn every_fate_with_every_number_of_charges() {
    use Fate::{Failed, NotRecorded, Pending, Succeeded, Undecided};
    let twice = || Finding::ChargedTwice {
        key: key(),
        charges: 2,
    };
    let charged_for = |fate| Finding::ChargedFor { key: key(), fate };
    let undecided = || Finding::Undecided { key: key() };
    let table = [
        (Succeeded, 0, vec![Finding::ChargeLost { key: key() }]),
        (Succeeded, 1, vec![]),
        (Succeeded, 2, vec![twice()]),
        (Failed, 0, vec![]),
        (Failed, 1, vec![charged_for(Failed)]),
        (Failed, 2, vec![twice()]),
        (Pending, 0, vec![]),
        (Pending, 1, vec![charged_for(Pending)]),
        (NotRecorded, 0, vec![]),
        (NotRecorded, 1, vec![charged_for(NotRecorded)]),
        (Undecided, 0, vec![undecided()]),
        (Undecided, 1, vec![undecided()]),
        (Undecided, 2, vec![twice(), undecided()]),
    ];
    for (fate, charges, expected) in table {
        let found = judge(&[case(fate, &vec![5; charges])], QUIET);
        assert_eq!(found, expected, "{fate} with {charges} charges");
    }
}

#[test]
fn a_charge_of_another_amount_is_told() {
    let found = judge(&[case(Fate::Succeeded, &[6])], QUIET);
    let wrong = Finding::WrongAmount {
        key: key(),
        asked: 5,
        charged: 6,
    };
    assert_eq!(found, [wrong]);
}

#[test]
fn definite_answers_of_one_key_must_be_the_same_bytes() {
    for other in [answer(201, "b"), answer(402, "a")] {
        let mut case = case(Fate::Succeeded, &[5]);
        case.answers.push(other);
        let found = judge(&[case], QUIET);
        assert_eq!(found, [Finding::AnswersDiffer { key: key() }]);
    }
}

#[test]
fn a_definite_answer_must_be_how_the_payment_stands() {
    let untrue = [
        (201, Fate::Failed),
        (201, Fate::Pending),
        (201, Fate::NotRecorded),
        (402, Fate::Succeeded),
        (402, Fate::Pending),
    ];
    for (status, fate) in untrue {
        let charges: &[i64] = if fate == Fate::Succeeded { &[5] } else { &[] };
        let case = Case {
            answers: vec![answer(status, "a")],
            ..case(fate, charges)
        };
        let found = judge(&[case], QUIET);
        let expected = Finding::AnswerUntrue {
            key: key(),
            status,
            fate,
        };
        assert_eq!(found, [expected]);
    }
}

#[test]
fn a_decided_payment_must_have_an_answer() {
    let case = Case {
        answers: vec![],
        ..case(Fate::Succeeded, &[5])
    };
    assert_eq!(judge(&[case], QUIET), [Finding::Unanswered { key: key() }]);
}

#[test]
fn a_charge_that_belongs_to_no_payment_is_told() {
    let cases = [case(Fate::Succeeded, &[5])];
    assert_eq!(
        strays(cases.iter(), Some(3)),
        [Finding::StrayCharges { count: 2 }]
    );
    assert_eq!(
        strays(cases.iter(), None),
        [],
        "others may charge there, too"
    );
}

#[test]
fn a_row_in_which_nothing_happened_shows_nothing() {
    let found = judge(&[case(Fate::Succeeded, &[5])], Some(0));
    assert_eq!(found, [Finding::NeverStruck]);
    assert_eq!(judge(&[], QUIET), [Finding::NothingAsked]);
}
