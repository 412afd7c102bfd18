//! What is said to be a replay.

use super::*;

/// Has the request answered once more, said to be a replay or not.
fn answered_as(tale: &mut Tale, key: &str, status: u16, body: &Value, replayed: bool) {
    let answer = Answer {
        status,
        replayed,
        body: body.to_string(),
    };
    tale.told(key, Came::Answer(answer));
}

#[test]
fn a_replay_of_what_is_open_is_found() {
    let mut tale = good();
    tale.history.retain(|entry| entry.asked.key != "pending");
    let body = problem("provider_unavailable", Some(payment("pending", "pending")));
    answered_as(&mut tale, "pending", 503, &body, true);
    tale.expect("pending", &What::ReplayedOpen { status: 503 });
}

#[test]
fn a_replay_of_what_was_never_asked_before_is_found() {
    let told = |via| {
        let mut tale = good();
        tale.history.retain(|entry| entry.asked.key != "declined");
        let failed = Some(payment("declined", "failed"));
        let body = problem("payment_declined", failed);
        answered_as(&mut tale, "declined", 402, &body, true);
        tale.history.last_mut().unwrap().via = via;
        tale.answered("declined", 402, &body);
        tale
    };
    told(Via::Node(1)).expect("declined", &What::ReplayedFirst);
    // The balancer may have asked two nodes, of which the first was lost.
    assert_eq!(told(Via::Balancer).findings(), []);
}

#[test]
fn a_settled_operation_that_is_said_to_be_carried_out_again_is_found() {
    let mut tale = good();
    tale.recorded("paid").epoch = 9;
    let body = payment("paid", "succeeded");
    answered_as(&mut tale, "paid", 201, &body, false);
    tale.expect("paid", &What::DrivenAfterwards);
    // One that was under way already may have carried it out.
    tale.history.last_mut().unwrap().from = Duration::ZERO;
    assert_eq!(tale.findings(), []);
}
