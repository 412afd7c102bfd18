//! Rows that were lost and not recovered, as by a failover to a standby that was behind: the provider
//! knows their keys, with the ids of the rows that are gone.

use reqwest::Method;
use serde_json::{Value, json};

use super::{backed_up, expect_counted, recovered, stopped, world};
use crate::{
    downstream_fails::{charges_of, follow_up, held, order, payment_under, until_definite},
    harness::{ADMIN_KEY, Answer, Backend, World, eventually, on_both_stores, send},
    reconcile::expect_equal,
};

on_both_stores! {
    rule_6_a_request_whose_row_was_lost_is_found_under_its_key
    rule_15_another_request_under_the_key_of_a_lost_row_is_a_person_s_to_settle
}

/// Puts the backup back, and recovers nothing.
async fn rows_lost(world: &mut World) {
    stopped(world).await;
    world.database.restore().await;
    world.restart_server().await;
}

async fn paid(world: &World, key: &str, body: &Value) -> Answer {
    until_definite(async || Some(world.pay(key, body).await)).await
}

async fn rule_6_a_request_whose_row_was_lost_is_found_under_its_key(backend: Backend) {
    let mut world = world(backend).await;
    let old = world.pay("old", &order("old")).await.expect(201).json();
    let old = old["id"].as_str().unwrap();
    backed_up(&mut world).await;
    world.pay("k", &order("k")).await.expect(201);
    world.pay("hold", &held("hold")).await.expect(201);
    follow_up(&world, old, "refunds", "back").await.expect(201);
    let charges = world.charges();
    rows_lost(&mut world).await;

    let again = paid(&world, "k", &order("k")).await.expect(201).json();
    let hold = paid(&world, "hold", &held("hold")).await.expect(201).json();
    assert_eq!(
        (&again["status"], &hold["status"]),
        (&json!("succeeded"), &json!("authorized"))
    );
    let refund =
        until_definite(async || Some(follow_up(&world, old, "refunds", "back").await)).await;
    refund.expect(201);
    assert_eq!((charges_of(&world, "k"), world.charges()), (1, charges));

    // What was found is whole: it can be captured and refunded.
    let (again, hold) = (again["id"].as_str().unwrap(), hold["id"].as_str().unwrap());
    follow_up(&world, again, "refunds", "all").await.expect(201);
    follow_up(&world, hold, "capture", "take").await.expect(200);
    for key in ["old", "k", "hold"] {
        let payment = payment_under(&world, key).await;
        assert_eq!(payment["in_doubt_since"], Value::Null, "{payment}");
    }
    expect_equal(&world);

    // Nor is there anything left for those who recover late.
    stopped(&mut world).await;
    let said = recovered(&world, &[]);
    expect_counted(&said, "payments imported", 0);
    world.restart_server().await;
    paid(&world, "k", &order("k")).await.expect(201);
    assert_eq!((charges_of(&world, "k"), world.charges()), (1, charges));
}

/// What the key was used for is not what this request asks for: that was never carried out.
async fn rule_15_another_request_under_the_key_of_a_lost_row_is_a_person_s_to_settle(
    backend: Backend,
) {
    let mut world = world(backend).await;
    backed_up(&mut world).await;
    world.pay("k", &order("k")).await.expect(201);
    rows_lost(&mut world).await;
    let mut other = order("k");
    other["amount"] = json!(900);
    world.pay("k", &other).await.expect(202);
    let path = eventually("it is looked for in vain", || async {
        let payment = payment_under(&world, "k").await;
        let path = format!("/admin/payments/{}/resolve", payment["id"].as_str()?);
        let looked = world.sandbox.stats().requests.get("list").copied();
        (payment["in_doubt_since"].is_string() && looked > Some(0)).then_some(path)
    })
    .await;
    assert_eq!(payment_under(&world, "k").await["status"], "processing");

    let verdict = json!({"verdict": "failed", "by": "ada@example.org", "why": "another's key"});
    let resolved = eventually("no driver has the operation", || async {
        let request = world.request(Method::POST, &path).bearer_auth(ADMIN_KEY);
        let request = request.header("content-type", "application/json");
        let answer = send(request.body(verdict.to_string())).await;
        let busy = answer.status == 409 && answer.json()["code"] == "operation_in_progress";
        (!busy).then_some(answer)
    })
    .await;
    assert_eq!(resolved.expect(200).json()["status"], "failed");
    assert_eq!(world.charges(), 1, "the first request's");
}
