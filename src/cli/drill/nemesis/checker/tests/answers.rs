//! What clients were told.

use super::*;

#[test]
fn answers_that_differ_or_are_forgotten_are_found() {
    let mut body = good();
    let mut other = payment("paid", "succeeded");
    other["updated_at"] = json!("later");
    body.answered("paid", 201, &other);
    body.expect("paid", &What::AnswersDiffer);
    let mut status = good();
    status.answered("refund", 402, &refund("paid", 30));
    status.expect("refund", &What::AnswersDiffer);

    let mut open = good();
    open.answered("paid", 202, &payment("paid", "processing"));
    open.expect("paid", &What::Forgotten { status: 202 });
    let mut pending = good();
    let body = problem("provider_unavailable", Some(payment("paid", "pending")));
    pending.answered("paid", 503, &body);
    pending.expect("paid", &What::Forgotten { status: 503 });
    // What was under way as the definite answer came may still say so.
    let mut before = good();
    before.answered("paid", 202, &payment("paid", "processing"));
    before.history.last_mut().unwrap().from = Duration::from_secs(3);
    assert_eq!(before.findings(), []);
}

#[test]
fn answers_about_something_else_are_found() {
    let mut other = payment("paid", "succeeded");
    other["id"] = json!("pay_other");
    let mut two = good();
    two.answered("paid", 201, &other);
    two.expect("paid", &What::TwoPayments);
    let mut shared = good();
    let mut theirs = payment("lost", "processing");
    theirs["id"] = json!("pay_paid");
    shared.answered("lost", 202, &theirs);
    shared.expect("", &What::SharedPayment);
    for (field, wrong) in [
        ("amount", json!(99)),
        ("currency", json!("JPY")),
        ("capture", json!("manual")),
        ("reference", json!("held")),
        ("idempotency_key", json!("held")),
    ] {
        let mut tale = good();
        let mut body = payment("paid", "succeeded");
        body[field] = wrong;
        tale.answered("paid", 201, &body);
        let is_found = |finding: &Finding| matches!(&finding.what, What::AnotherAnswer { field: found, .. } if *found == field);
        assert!(tale.findings().iter().any(is_found), "{field}");
    }
    let mut refunded = good();
    refunded.answered("refund", 201, &refund("paid", 31));
    let what = What::AnotherAnswer {
        field: "amount",
        asked: "30".to_owned(),
        told: "31".to_owned(),
    };
    refunded.expect("refund", &what);
    for (key, status, code) in [
        ("paid", 500, "internal"),
        ("paid", 422, "idempotency_key_reused"),
        ("refund", 404, "not_found"),
        ("paid", 409, "operation_in_progress"),
    ] {
        let mut tale = good();
        tale.answered(key, status, &problem(code, None));
        let code = Some(code.to_owned());
        tale.expect(key, &What::Unexpected { status, code });
    }
}

#[test]
fn answers_that_are_not_true_are_found() {
    for (key, status) in [
        ("paid", "failed"),
        ("paid", "pending"),
        ("declined", "succeeded"),
        ("held", "failed"),
        ("held", "succeeded"), // Nobody has asked for a capture.
        ("held", "canceled"),
    ] {
        let mut tale = good();
        tale.stands(key, status, (0, 0));
        let findings = tale.findings();
        let is_found = |finding: &Finding| {
            finding.key.as_deref() == Some(key)
                && matches!(&finding.what, What::Untrue { status: found, .. } if found == status)
        };
        assert!(
            findings.iter().any(is_found),
            "{key} {status}: {findings:?}"
        );
    }
    for (key, of, status) in [
        ("capture", "taken", "authorized"),
        ("cancel", "canceled", "authorized"),
        ("refund", "paid", "authorized"),
    ] {
        let mut tale = good();
        tale.stands(of, status, (0, 0));
        let is_found = |finding: &Finding| {
            finding.key.as_deref() == Some(key) && matches!(finding.what, What::Untrue { .. })
        };
        assert!(tale.findings().iter().any(is_found), "{key}");
    }
}

fn is_untrue(tale: &Tale, key: &str, told: &str) -> bool {
    let is_it = |finding: &Finding| {
        finding.key.as_deref() == Some(key)
            && matches!(&finding.what, What::Untrue { answered, .. } if answered == told)
    };
    tale.findings().iter().any(is_it)
}

#[test]
fn what_was_to_be_held_is_not_answered_as_paid_nor_the_other_way_round() {
    for (key, status) in [("held", "succeeded"), ("paid", "authorized")] {
        let mut tale = good();
        tale.history.retain(|entry| entry.asked.payment_key != key);
        let mut body = payment(key, status);
        // Even if it forgets what it was asked for.
        body.as_object_mut().unwrap().remove("capture");
        tale.answered(key, 201, &body).stands(key, status, (0, 0));
        assert!(is_untrue(&tale, key, &format!("201 {status}")), "{key}");
    }
}

#[test]
fn what_was_refused_and_done_all_the_same_is_found() {
    for (kind, of, done) in [
        (Kind::Capture, "taken", "capture"),
        (Kind::Cancel, "canceled", "cancel"),
    ] {
        let mut tale = good();
        tale.asks(follow_up("refused", kind, of, AMOUNT));
        let declined = problem("payment_declined", None);
        tale.answered("refused", 402, &declined);
        // Another one under its own key has done it.
        assert_eq!(tale.findings(), [], "{of}");
        tale.history.retain(|entry| entry.asked.key != done);
        tale.ours.operations.remove(done);
        assert!(is_untrue(&tale, "refused", "402"), "{of}");
        tale.stands(of, "authorized", (0, 0));
        assert!(!is_untrue(&tale, "refused", "402"), "{of}: not done");
    }
}

#[test]
fn a_refund_that_is_not_done_and_answered_as_done_is_found() {
    let mut tale = good();
    tale.history.retain(|entry| entry.asked.key != "refund");
    let mut body = refund("paid", 30);
    body["status"] = json!("processing");
    tale.answered("refund", 201, &body);
    assert!(is_untrue(&tale, "refund", "201"));
}
