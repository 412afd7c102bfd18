//! `GET /admin/payments` and `POST /admin/payments/{id}/resolve`.

use oncepay::sandbox::{CallClass, ChargeFilter, FaultKind, FaultRule};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::asking::{asking, impatient, quick, succeeded, told};
use crate::harness::{
    ADMIN_KEY, API_KEY, Backend, Knobs, ProviderKnobs, World, eur, eventually, on_both_stores, send,
};

on_both_stores! {
    what_is_in_doubt_is_listed_with_the_oldest_first
    rule_15_what_never_happened_is_resolved_as_failed
    rule_15_failed_is_refused_when_the_charge_exists
    rule_15_succeeded_needs_the_reference_of_this_very_payment
    one_of_several_operations_in_doubt_must_be_named
    a_verdict_is_taken_though_its_operator_leaves
}

/// A server whose recovery leaves what it has looked at once alone for a minute.
fn patient() -> Knobs {
    let mut knobs = quick();
    knobs
        .0
        .push(("ONCEPAY_RECOVERY__BACKOFF_BASE_MS", "60000".into()));
    knobs
        .0
        .push(("ONCEPAY_RECOVERY__BACKOFF_MAX_S", "3600".into()));
    knobs
}

async fn admin(world: &World, query: &str) -> Value {
    let path = format!("/admin/payments?in_doubt=true{query}");
    let request = world.request(Method::GET, &path).bearer_auth(ADMIN_KEY);
    send(request).await.expect(200).json()
}

fn resolving(world: &World, payment: &str, body: &Value) -> RequestBuilder {
    world
        .request(Method::POST, &format!("/admin{payment}/resolve"))
        .bearer_auth(ADMIN_KEY)
        .header("content-type", "application/json")
        .body(body.to_string())
}

fn failed() -> Value {
    json!({"verdict": "failed", "by": "ada@example.org", "why": "not in the provider's list"})
}

fn succeeded_as(reference: &str) -> Value {
    json!({"verdict": "succeeded", "provider_reference": reference, "by": "ada@example.org", "why": "seen"})
}

/// The path of a payment that is in doubt as long as the fault lasts.
async fn doubtful(world: &World, key: &str) -> String {
    let answer = world.pay(key, &eur(900)).await.expect(202);
    let payment = answer.header("location").unwrap().to_owned();
    eventually("it is in doubt", || async {
        let payment = world.get(&payment).await.expect(200).json();
        payment["in_doubt_since"].is_string().then_some(())
    })
    .await;
    payment
}

fn path_of(payment: &Value) -> String {
    format!("/payments/{}", payment["id"].as_str().unwrap())
}

async fn what_is_in_doubt_is_listed_with_the_oldest_first(backend: Backend) {
    let world = impatient(backend, patient()).await;
    succeeded(&world, "settled", 100).await;
    assert_eq!(
        admin(&world, "").await,
        json!({"data": [], "has_more": false})
    );
    world.inject(FaultRule::new(FaultKind::HangBefore)).await;
    let (one, two) = (doubtful(&world, "one").await, doubtful(&world, "two").await);

    let list = admin(&world, "").await;
    assert_eq!(list["has_more"], false);
    let listed: Vec<_> = list["data"].as_array().unwrap().iter().collect();
    let paths: Vec<_> = listed
        .iter()
        .map(|doubt| path_of(&doubt["payment"]))
        .collect();
    assert_eq!(paths, [one.clone(), two]);
    let operation = &listed[0]["operation"];
    assert!(
        operation["id"].as_str().unwrap().starts_with("opn_"),
        "{operation}"
    );
    assert_eq!(
        (&operation["kind"], &operation["provider"]),
        (&json!("create"), &json!("stripe"))
    );
    assert!(
        operation["reason"].is_string() && operation["in_doubt_since"].is_string(),
        "{operation}"
    );
    assert!(operation["next_recovery_at"].is_string() && operation["recovery_tries"].is_number());
    assert_eq!(operation["resends_barred"], false);
    assert_eq!(operation["provider_reference"], Value::Null);

    let first = admin(&world, "&limit=1").await;
    assert_eq!(path_of(&first["data"][0]["payment"]), one);
    assert_eq!(
        (first["data"].as_array().unwrap().len(), &first["has_more"]),
        (1, &json!(true))
    );
}

async fn rule_15_what_never_happened_is_resolved_as_failed(backend: Backend) {
    let world = impatient(backend, patient()).await;
    world.inject(FaultRule::new(FaultKind::HangBefore)).await;
    let payment = doubtful(&world, "k").await;
    let resolved = resolve(&world, &payment, &failed())
        .await
        .expect(200)
        .json();
    assert_eq!(resolved["status"], "failed");
    assert_eq!(resolved["failure"]["code"], "resolved_by_operator");
    let event = &told(&world, &payment, "resolved").await[0]["data"];
    assert_eq!(event["by"], "ada@example.org");
    assert_eq!(event["why"], "not in the provider's list");
    world.sandbox.clear_faults().await;

    let replay = world.pay("k", &eur(900)).await;
    assert!(replay.is_replayed());
    drop(replay.expect_problem(402, "payment_declined"));
    let again = send(resolving(&world, &payment, &failed())).await;
    drop(again.expect_problem(409, "illegal_state"));
    assert_eq!(admin(&world, "").await["data"], json!([]));
    assert_eq!(world.charges(), 0);
}

/// A request that was on its way for longer than an attempt may last.
#[tokio::test(flavor = "multi_thread")]
async fn rule_15_a_charge_that_came_after_the_verdict_is_found_and_given_back() {
    let provider = ProviderKnobs {
        attempt_timeout_ms: 800,
        key_retention_s: 20,
        absence_wait_s: 4,
        ..ProviderKnobs::named("stripe")
    };
    let world = World::start_at(Backend::Postgres, patient(), vec![provider]).await;
    world.inject(FaultRule::new(FaultKind::HangBefore)).await;
    let payment = doubtful(&world, "k").await;
    let resolved = resolve(&world, &payment, &failed()).await.expect(200);
    assert_eq!(resolved.json()["status"], "failed");
    world.sandbox.clear_faults().await;

    arrives_late(&world).await;
    assert_eq!(world.charges(), 1, "the operator was wrong");
    eventually("it is given back", || async {
        let told = told(&world, &payment, "stray_charge_reversed").await;
        (!told.is_empty()).then_some(())
    })
    .await;
    let charges = world.sandbox.charges(&ChargeFilter::all()).charges;
    assert_eq!(charges[0].amount_refunded, 900, "{charges:?}");
    let replay = world.pay("k", &eur(900)).await;
    drop(replay.expect_problem(402, "payment_declined"));
}

/// Brings the provider the request that is recorded, as it was sent.
async fn arrives_late(world: &World) {
    let column = async |column: &str| {
        let sql = format!("select {column} as text from operations");
        world.database.text(&sql).await
    };
    let url = format!("http://{}/v1/payment_intents", world.sandbox.address());
    let request = reqwest::Client::new()
        .post(url)
        .bearer_auth("sandbox_secret")
        .header("idempotency-key", column("provider_key").await)
        .header("stripe-version", column("api_version").await)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(column("convert_from(provider_request, 'UTF8')").await);
    assert_eq!(send(request).await.status, 200);
}

/// Sends a verdict, again while a driver happens to have the operation.
async fn resolve(world: &World, payment: &str, body: &Value) -> crate::harness::Answer {
    eventually("no driver has the operation", || async {
        let answer = send(resolving(world, payment, body)).await;
        let busy = answer.status == 409 && answer.json()["code"] == "operation_in_progress";
        (!busy).then_some(answer)
    })
    .await
}

async fn rule_15_failed_is_refused_when_the_charge_exists(backend: Backend) {
    let world = impatient(backend, patient()).await;
    world.inject(FaultRule::new(FaultKind::HangAfter)).await;
    let payment = doubtful(&world, "k").await;
    assert_eq!(world.charges(), 1);
    let answer = resolve(&world, &payment, &failed()).await;
    let problem = answer.expect_problem(409, "illegal_state");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("was carried out"),
        "{problem}"
    );
    world.sandbox.clear_faults().await;

    // The provider's own word stands.
    assert_eq!(
        world.get(&payment).await.expect(200).json()["status"],
        "succeeded"
    );
    assert!(told(&world, &payment, "resolved").await.is_empty());
    assert!(world.pay("k", &eur(900)).await.expect(201).is_replayed());
    assert_eq!(world.charges(), 1);
}

async fn rule_15_succeeded_needs_the_reference_of_this_very_payment(backend: Backend) {
    let world = impatient(backend, patient()).await;
    succeeded(&world, "other", 900).await;
    let charges = || world.sandbox.charges(&ChargeFilter::all()).charges;
    let other = charges()[0].id.clone();
    world.inject(FaultRule::new(FaultKind::HangAfter)).await;
    let payment = doubtful(&world, "k").await;
    for wrong in ["pi_nonsense", other.as_str()] {
        let answer = resolve(&world, &payment, &succeeded_as(wrong)).await;
        drop(answer.expect_problem(503, "outcome_unknown"));
        assert_eq!(
            world.get(&payment).await.expect(200).json()["status"],
            "processing"
        );
    }
    let list = admin(&world, "").await;
    assert_eq!(list["data"][0]["operation"]["resends_barred"], true);

    let right = charges()
        .into_iter()
        .find(|charge| charge.id != other)
        .unwrap();
    let resolved = resolve(&world, &payment, &succeeded_as(&right.id))
        .await
        .expect(200)
        .json();
    assert_eq!(resolved["status"], "succeeded");
    assert_eq!(resolved["provider_reference"], right.id);
    assert_eq!(told(&world, &payment, "resolved").await.len(), 1);
    world.sandbox.clear_faults().await;
    assert!(world.pay("k", &eur(900)).await.expect(201).is_replayed());
    assert_eq!(world.charges(), 2);
}

async fn one_of_several_operations_in_doubt_must_be_named(backend: Backend) {
    let world = impatient(backend, patient()).await;
    // So many attempts that hang would open it, and the operator's questions would wait for it.
    let breaker = world
        .request(Method::PUT, "/admin/providers/stripe/breaker")
        .bearer_auth(ADMIN_KEY)
        .header("content-type", "application/json")
        .body(r#"{"state":"disabled"}"#);
    send(breaker).await.expect(200);
    let payment = succeeded(&world, "k", 900).await;
    world
        .inject(FaultRule::new(FaultKind::HangBefore).on(&[CallClass::Refund]))
        .await;
    let refunds = format!("{payment}/refunds");
    let body = json!({"amount": 100});
    let (one, two) = tokio::join!(
        send(asking(&world, &refunds, "r-1", &body)),
        send(asking(&world, &refunds, "r-2", &body)),
    );
    drop((one.expect(202), two.expect(202)));
    let operations: Vec<String> = eventually("both are in doubt", || async {
        let list = admin(&world, "").await;
        let ids = list["data"].as_array().unwrap().iter();
        let ids: Vec<_> = ids
            .map(|doubt| doubt["operation"]["id"].as_str().unwrap().to_owned())
            .collect();
        (ids.len() == 2).then_some(ids)
    })
    .await;
    let problem = send(resolving(&world, &payment, &failed())).await;
    let problem = problem.expect_problem(422, "validation_failed");
    assert_eq!(problem["errors"][0]["pointer"], "/operation");
    let detail = problem["errors"][0]["detail"].as_str().unwrap();
    assert!(
        operations.iter().all(|id| detail.contains(id.as_str())),
        "{detail}"
    );

    let mut named = failed();
    named["operation"] = json!(operations[0]);
    resolve(&world, &payment, &named).await.expect(200);
    let refund = world
        .get(&operations[0].replace("opn_", "/refunds/ref_"))
        .await
        .expect(200);
    assert_eq!(refund.json()["status"], "failed");
    // One is left, which needs no name.
    resolve(&world, &payment, &failed()).await.expect(200);
    world.sandbox.clear_faults().await;
    // What they held back is free again.
    send(asking(&world, &refunds, "r-3", &json!({"amount": 900})))
        .await
        .expect(201);
}

async fn a_verdict_is_taken_though_its_operator_leaves(backend: Backend) {
    // The operator leaves while a look at the provider hangs.
    let mut knobs = patient();
    knobs
        .0
        .push(("ONCEPAY_LIMITS__DEADLINE_MS", "10000".into()));
    let provider = ProviderKnobs {
        attempt_timeout_ms: 5_000,
        ..ProviderKnobs::named("stripe")
    };
    let world = World::start_at(backend, knobs, vec![provider]).await;
    world.inject(FaultRule::new(FaultKind::HangBefore)).await;
    let payment = doubtful(&world, "k").await;
    let mut verdict = tokio::spawn(send(resolving(&world, &payment, &failed())));
    eventually("sending is barred, or the verdict answered", || async {
        let list = admin(&world, "").await;
        (list["data"][0]["operation"]["resends_barred"] == true).then_some(())
    })
    .await;
    verdict.abort();
    assert!((&mut verdict).await.is_err(), "it left before its answer");
    eventually("the verdict is taken", || async {
        let payment = world.get(&payment).await.expect(200).json();
        (payment["status"] == "failed").then_some(())
    })
    .await;
    assert_eq!(told(&world, &payment, "resolved").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_s_request_that_is_not_as_it_should_be_is_refused_by_name() {
    let world = World::start(Backend::Sqlite).await;
    for (query, pointers) in [
        ("", &["/in_doubt"][..]),
        ("?in_doubt=false", &["/in_doubt"]),
        ("?in_doubt=true&limit=0", &["/limit"]),
        ("?in_doubt=true&limit=101", &["/limit"]),
        ("?in_doubt=true&status=failed", &["/status"]),
    ] {
        let request = world.request(Method::GET, &format!("/admin/payments{query}"));
        let answer = send(request.bearer_auth(ADMIN_KEY)).await;
        assert_eq!(
            named(&answer.expect_problem(422, "validation_failed")),
            pointers
        );
    }
    let payment = succeeded(&world, "k", 100).await;
    for (body, pointers) in [
        (json!({}), &["/by", "/verdict", "/why"][..]),
        (
            json!({"verdict": "maybe", "by": "a", "why": "b"}),
            &["/verdict"],
        ),
        (
            json!({"verdict": "succeeded", "by": "a", "why": "b"}),
            &["/provider_reference"],
        ),
        (
            json!({"verdict": "failed", "provider_reference": "pi", "by": "a", "why": "b"}),
            &["/provider_reference"],
        ),
        (
            json!({"verdict": "failed", "by": "", "why": null}),
            &["/by", "/why"],
        ),
        (
            json!({"verdict": "failed", "by": "a".repeat(256), "why": "b".repeat(1_001)}),
            &["/by", "/why"],
        ),
        (
            json!({"verdict": "failed", "by": "a", "why": "b", "operation": "pay_1", "x": 1}),
            &["/operation", "/x"],
        ),
    ] {
        let answer = send(resolving(&world, &payment, &body)).await;
        assert_eq!(
            named(&answer.expect_problem(422, "validation_failed")),
            pointers,
            "{body}"
        );
    }
    let unknown = "/payments/pay_01h455vb4pex5vsknk084sn02q";
    for payment in [payment.as_str(), unknown] {
        let answer = send(resolving(&world, payment, &failed())).await;
        drop(answer.expect_problem(409, "illegal_state"));
    }
    drop(
        send(resolving(&world, "/payments/nonsense", &failed()))
            .await
            .expect_problem(404, "not_found"),
    );
    for (method, path) in [
        (Method::GET, "/admin/payments?in_doubt=true".to_owned()),
        (Method::POST, format!("/admin{payment}/resolve")),
    ] {
        let merchant = world.request(method.clone(), &path).bearer_auth(API_KEY);
        drop(send(merchant).await.expect_problem(403, "forbidden"));
        drop(
            send(world.request(method, &path))
                .await
                .expect_problem(401, "unauthenticated"),
        );
    }
}

/// The pointers of a validation error, sorted.
fn named(problem: &Value) -> Vec<String> {
    let errors = problem["errors"].as_array().unwrap().iter();
    let mut pointers: Vec<_> = errors
        .map(|error| error["pointer"].as_str().unwrap().to_owned())
        .collect();
    pointers.sort_unstable();
    pointers
}
