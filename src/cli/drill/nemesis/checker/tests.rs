//! A checker that cannot fail is a defect: every kind of violation is fed to it.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{
    super::{
        history::{Answer, Came, Via},
        truth::{Charge, Payment},
    },
    *,
};

/// A campaign of a few requests, and how everything stands after it.
#[derive(Clone, Default)]
struct Tale {
    history: Vec<Entry>,
    ours: Ours,
    truth: Truth,
    asked: BTreeMap<String, Arc<Asked>>,
}

const AMOUNT: i64 = 100;

impl Tale {
    /// Asks for something, and has it answered; every request takes a second, one after the other.
    fn told(&mut self, key: &str, came: Came) -> &mut Self {
        let from = Duration::from_secs(2 * self.history.len() as u64);
        self.history.push(Entry {
            asked: Arc::clone(&self.asked[key]),
            via: Via::Node(0),
            from,
            until: from + Duration::from_secs(1),
            came,
        });
        self
    }

    fn answered(&mut self, key: &str, status: u16, body: &Value) -> &mut Self {
        let answer = Answer {
            status,
            replayed: false,
            body: body.to_string(),
        };
        self.told(key, Came::Answer(answer))
    }

    fn asks(&mut self, asked: Asked) -> &mut Self {
        self.asked.insert(asked.key.clone(), Arc::new(asked));
        self
    }

    fn stands(&mut self, key: &str, status: &str, amounts: (i64, i64)) -> &mut Self {
        let payment = Payment {
            id: format!("pay_{key}"),
            status: status.to_owned(),
            amount: AMOUNT,
            amount_captured: amounts.0,
            amount_refunded: amounts.1,
            idempotency_key: key.to_owned(),
        };
        self.ours.payments.insert(key.to_owned(), vec![payment]);
        self
    }

    fn charged(&mut self, key: &str, charge: Charge) -> &mut Self {
        self.truth.in_all.count += 1;
        self.truth.in_all.captured += charge.amount_captured;
        self.truth.in_all.refunded += charge.amount_refunded;
        self.truth
            .charges
            .entry(key.to_owned())
            .or_default()
            .push(charge);
        self
    }

    fn findings(&self) -> Vec<Finding> {
        check(&self.history, &self.ours, &self.truth, true)
    }

    #[track_caller]
    fn expect(&self, key: &str, what: &What) {
        let findings = self.findings();
        let is_found = |finding: &Finding| {
            let is_of = |found: &str| found == key || key.is_empty();
            finding.key.as_deref().is_none_or(is_of) && finding.what == *what
        };
        assert!(
            findings.iter().any(is_found),
            "{what:?} is not in {findings:?}"
        );
    }
}

fn creation(key: &str) -> Asked {
    Asked {
        key: key.to_owned(),
        kind: Kind::Create,
        amount: AMOUNT,
        payment_key: key.to_owned(),
        payment: None,
        manual: false,
        payment_method: "pm_card_visa",
    }
}

fn follow_up(key: &str, kind: Kind, of: &str, amount: i64) -> Asked {
    Asked {
        key: key.to_owned(),
        kind,
        amount,
        payment_key: of.to_owned(),
        payment: Some(format!("pay_{of}")),
        ..creation(key)
    }
}

fn payment(key: &str, status: &str) -> Value {
    json!({
        "id": format!("pay_{key}"), "object": "payment", "status": status, "amount": AMOUNT,
        "reference": key, "idempotency_key": key,
    })
}

fn problem(code: &str, payment: Option<Value>) -> Value {
    json!({"code": code, "payment": payment})
}

fn refund(of: &str, amount: i64) -> Value {
    json!({"id": "re_1", "object": "refund", "payment": format!("pay_{of}"), "amount": amount})
}

fn charge(captured: i64, refunded: i64) -> Charge {
    Charge {
        amount: AMOUNT,
        amount_capturable: 0,
        amount_captured: captured,
        amount_refunded: refunded,
    }
}

fn held() -> Charge {
    Charge {
        amount_capturable: AMOUNT,
        ..charge(0, 0)
    }
}

/// Everything that may rightly happen: paid and refunded in part, declined, held, canceled, pending,
/// and never recorded.
fn good() -> Tale {
    let mut tale = Tale::default();
    for key in ["paid", "declined", "pending", "lost"] {
        tale.asks(creation(key));
    }
    for key in ["held", "taken", "canceled"] {
        let asked = creation(key);
        tale.asks(Asked {
            manual: true,
            ..asked
        });
    }
    tale.asks(follow_up("refund", Kind::Refund, "paid", 30));
    tale.asks(follow_up("capture", Kind::Capture, "taken", AMOUNT));
    tale.asks(follow_up("cancel", Kind::Cancel, "canceled", 0));

    tale.told("paid", Came::Cut)
        .answered("paid", 202, &payment("paid", "processing"))
        .answered("paid", 201, &payment("paid", "succeeded"))
        .answered("paid", 201, &payment("paid", "succeeded"))
        .answered("refund", 503, &problem("store_unavailable", None))
        .answered("refund", 201, &refund("paid", 30))
        .stands("paid", "succeeded", (AMOUNT, 30))
        .charged("paid", charge(AMOUNT, 30));
    let failed = Some(payment("declined", "failed"));
    tale.answered("declined", 402, &problem("payment_declined", failed))
        .stands("declined", "failed", (0, 0));
    let pending = Some(payment("pending", "pending"));
    tale.answered("pending", 503, &problem("provider_unavailable", pending))
        .stands("pending", "pending", (0, 0));
    tale.answered("lost", 503, &problem("store_unavailable", None));
    tale.answered("held", 201, &payment("held", "authorized"))
        .stands("held", "authorized", (0, 0))
        .charged("held", held());
    tale.answered("taken", 201, &payment("taken", "authorized"))
        .answered("capture", 200, &payment("taken", "succeeded"))
        .stands("taken", "succeeded", (AMOUNT, 0))
        .charged("taken", charge(AMOUNT, 0));
    tale.answered("canceled", 201, &payment("canceled", "authorized"))
        .answered("cancel", 200, &payment("canceled", "canceled"))
        .stands("canceled", "canceled", (0, 0));
    tale
}

#[test]
fn what_may_rightly_happen_is_no_finding() {
    assert_eq!(good().findings(), []);
    // Nor is a charge that came after the end and was given back.
    let mut given_back = good();
    given_back.charged("declined", charge(AMOUNT, AMOUNT));
    assert_eq!(given_back.findings(), []);
}

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
    totals.truth.in_all.captured += 7;
    totals.expect("", &amount("captured in all", 200, 207));
    totals.truth.in_all.refunded += 7;
    totals.expect("", &amount("refunded in all", 30, 37));
}

#[test]
fn money_and_payments_that_nobody_asked_for_are_found() {
    let mut stray = good();
    stray.charged("nobody", charge(AMOUNT, 0));
    stray.expect("", &What::StrayCharges { count: 1 });
    let mut unknown = good();
    unknown.stands("nobody", "failed", (0, 0));
    unknown.expect("nobody", &What::NeverAsked);
    let mut orphan = good();
    orphan.asks(follow_up("orphan", Kind::Refund, "nobody", 1));
    orphan.answered("orphan", 201, &refund("nobody", 1));
    orphan.expect("orphan", &What::NeverAsked);
    let mut double = good();
    let again = double.ours.payment("paid").unwrap().clone();
    double.ours.payments.get_mut("paid").unwrap().push(again);
    double.expect("paid", &What::TwoPayments);
}

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

#[test]
fn a_charge_behind_the_clients_back_is_found() {
    let mut tale = good();
    tale.stands("pending", "succeeded", (AMOUNT, 0));
    tale.charged("pending", charge(AMOUNT, 0));
    tale.expect("pending", &What::DoneBehindTheBack);
    // Who has left a request on its way may have asked for it.
    let mut left = good();
    left.told("pending", Came::Left);
    let pending = problem("provider_unavailable", Some(payment("pending", "pending")));
    left.answered("pending", 503, &pending);
    left.stands("pending", "succeeded", (AMOUNT, 0));
    left.charged("pending", charge(AMOUNT, 0));
    let is_found = |finding: &Finding| finding.what == What::DoneBehindTheBack;
    assert!(!left.findings().iter().any(is_found));
}

#[test]
fn what_is_not_settled_is_found() {
    let mut tale = good();
    tale.stands("pending", "processing", (0, 0));
    let status = "processing".to_owned();
    tale.expect("pending", &What::Unsettled { status });
    let mut unanswered = good();
    unanswered.stands("lost", "failed", (0, 0));
    unanswered.expect("lost", &What::Unanswered);
    let mut open = good();
    open.asks(follow_up("again", Kind::Refund, "paid", 10));
    open.answered("again", 202, &refund("paid", 10));
    let status = "answered 202 to the last".to_owned();
    open.expect("again", &What::Unsettled { status });
    let mut in_doubt = good();
    in_doubt.ours.in_doubt.push("a refund".to_owned());
    in_doubt.expect("", &What::InDoubt("a refund".to_owned()));
    Tale::default().expect("", &What::NothingDone);
}
