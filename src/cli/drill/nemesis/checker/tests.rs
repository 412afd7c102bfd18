//! A checker that cannot fail is a defect: every kind of violation is fed to it.

mod answers;
mod money;
mod recorded;
mod replays;

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{
    super::{
        history::{Answer, Came, Via},
        truth::{Charge, Payment, Recorded},
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

    /// A definite answer is a replay if one came before.
    fn answered(&mut self, key: &str, status: u16, body: &Value) -> &mut Self {
        let is_of = |entry: &&Entry| entry.asked.key == key;
        let mut own = self.history.iter().filter(is_of);
        let is_settled = own.any(|entry| entry.definite().is_some());
        let mut answer = Answer {
            status,
            replayed: false,
            body: body.to_string(),
        };
        answer.replayed = is_settled && answer.is_definite();
        self.told(key, Came::Answer(answer))
    }

    /// Asks for something that is recorded and settled.
    fn asks(&mut self, asked: Asked) -> &mut Self {
        let recorded = Recorded {
            key: asked.key.clone(),
            kind: asked.kind,
            payment_key: asked.payment_key.clone(),
            amount: asked.amount,
            state: "settled".to_owned(),
            epoch: 1,
            has_stray: false,
        };
        let key = asked.key.clone();
        self.ours.operations.insert(key.clone(), vec![recorded]);
        self.asked.insert(key, Arc::new(asked));
        self
    }

    fn recorded(&mut self, key: &str) -> &mut Recorded {
        &mut self.ours.operations.get_mut(key).unwrap()[0]
    }

    fn stands(&mut self, key: &str, status: &str, amounts: (i64, i64)) -> &mut Self {
        let payment = Payment {
            id: format!("pay_{key}"),
            status: status.to_owned(),
            amount: AMOUNT,
            amount_captured: amounts.0,
            amount_refunded: amounts.1,
            idempotency_key: key.to_owned(),
            currency: "EUR".to_owned(),
        };
        self.ours.payments.insert(key.to_owned(), vec![payment]);
        self
    }

    fn charged(&mut self, key: &str, charge: Charge) -> &mut Self {
        self.truth.in_all.count += 1;
        let of = |sums: &mut BTreeMap<String, i64>, amount| {
            *sums.entry(charge.currency.clone()).or_default() += amount;
        };
        of(&mut self.truth.in_all.captured, charge.amount_captured);
        of(&mut self.truth.in_all.refunded, charge.amount_refunded);
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

    /// Whether that is among the findings; about the key, unless it concerns all.
    fn finds(&self, key: &str, what: &What) -> bool {
        let is_it = |finding: &Finding| {
            let is_of = |found: &str| found == key || key.is_empty();
            finding.key.as_deref().is_none_or(is_of) && finding.what == *what
        };
        self.findings().iter().any(is_it)
    }

    #[track_caller]
    fn expect(&self, key: &str, what: &What) {
        let findings = self.findings();
        assert!(self.finds(key, what), "{what:?} is not in {findings:?}");
    }
}

fn creation(key: &str) -> Asked {
    Asked {
        key: key.to_owned(),
        kind: Kind::Create,
        amount: AMOUNT,
        currency: "EUR",
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

/// Those that are held only, at first.
const MANUAL: [&str; 3] = ["held", "taken", "canceled"];

fn payment(key: &str, status: &str) -> Value {
    let capture = if MANUAL.contains(&key) {
        "manual"
    } else {
        "automatic"
    };
    json!({
        "id": format!("pay_{key}"), "object": "payment", "status": status, "amount": AMOUNT,
        "currency": "EUR", "capture": capture, "reference": key, "idempotency_key": key,
    })
}

fn problem(code: &str, payment: Option<Value>) -> Value {
    json!({"code": code, "payment": payment})
}

fn refund(of: &str, amount: i64) -> Value {
    json!({
        "id": "re_1", "object": "refund", "payment": format!("pay_{of}"), "amount": amount,
        "status": "succeeded",
    })
}

fn charge(captured: i64, refunded: i64) -> Charge {
    Charge {
        amount: AMOUNT,
        amount_capturable: 0,
        amount_captured: captured,
        amount_refunded: refunded,
        currency: "eur".to_owned(),
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
    tale.ours.operations.remove("lost");
    tale.recorded("pending").state = "pending".to_owned();
    for key in MANUAL {
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
    let mut operation = good();
    let recorded = operation.recorded("refund").clone();
    let key = "refund-nobody-asked-for".to_owned();
    operation
        .ours
        .operations
        .insert(key.clone(), vec![recorded]);
    operation.expect(&key, &What::NeverAsked);
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

/// Its server was killed before it could answer, and the others do not find what it has recorded.
#[test]
fn a_settled_follow_up_that_is_refused_ever_after_is_found() {
    for (key, status, code) in [
        ("capture", 409, "illegal_state"),
        ("cancel", 409, "illegal_state"),
        ("refund", 422, "amount_exceeds_available"),
    ] {
        let mut tale = good();
        tale.history.retain(|entry| entry.asked.key != key);
        tale.told(key, Came::Cut)
            .answered(key, status, &problem(code, None));
        assert_eq!(tale.findings(), [Finding::of(key, What::Unanswered)]);
        // Before everyone has asked again, nobody need have been told.
        let early = check(&tale.history, &tale.ours, &tale.truth, false);
        assert_eq!(early, [], "{key}");
        // What was refused and never recorded has no other answer.
        tale.ours.operations.remove(key);
        assert!(!tale.finds(key, &What::Unanswered), "{key}");
    }
}
