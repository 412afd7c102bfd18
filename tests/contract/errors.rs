//! Every error that a client can bring about, and its body.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{ADMIN_KEY, API_KEY, Backend, Knobs, World, eur, send};

/// A world on SQLite: what is refused here never gets as far as a store.
async fn world() -> World {
    World::start(Backend::Sqlite).await
}

/// The pointers of a validation error, sorted.
async fn pointers(world: &World, body: &Value) -> Vec<String> {
    let problem = world
        .pay("never-spent", body)
        .await
        .expect_problem(422, "validation_failed");
    let errors = problem["errors"].as_array().unwrap();
    let mut pointers: Vec<_> = errors
        .iter()
        .map(|error| error["pointer"].as_str().unwrap().to_owned())
        .collect();
    assert!(errors.iter().all(|error| error["detail"].is_string()));
    pointers.sort_unstable();
    pointers
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_22_a_body_with_wrong_fields_names_each_of_them_and_spends_no_key() {
    let world = world().await;
    assert_eq!(
        pointers(&world, &json!({})).await,
        ["/amount", "/currency", "/payment_method"]
    );
    let wrong = json!({
        "amount": 0, "currency": "eur", "payment_method": "", "capture": "later",
        "reference": 7, "description": "x".repeat(1_001), "metadata": {"a/b": 1, "c": "d".repeat(501)},
        "surprise": true,
    });
    assert_eq!(
        pointers(&world, &wrong).await,
        [
            "/amount",
            "/capture",
            "/currency",
            "/description",
            "/metadata/a~1b",
            "/metadata/c",
            "/payment_method",
            "/reference",
            "/surprise",
        ]
    );
    for amount in [
        json!(-1),
        json!(100_000_000),
        json!(1.5),
        json!("4200"),
        json!(1e3),
        Value::Null,
    ] {
        let mut request = eur(1);
        request["amount"] = amount;
        assert_eq!(pointers(&world, &request).await, ["/amount"], "{request}");
    }
    let mut request = eur(1);
    request["reference"] = json!("nul\0");
    assert_eq!(pointers(&world, &request).await, ["/reference"]);
    request["reference"] = Value::Null;
    request["metadata"] = (0..51).map(|n| (n.to_string(), json!("v"))).collect();
    assert_eq!(pointers(&world, &request).await, ["/metadata"]);

    world.pay("never-spent", &eur(1)).await.expect(201);
    assert_eq!(world.charges(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_that_the_database_would_not_take_is_refused_by_name() {
    let large = Knobs(vec![("ONCEPAY_LIMITS__BODY_BYTES_MAX", "1048576".into())]);
    let world = World::start_with(Backend::Postgres, large).await;
    let mut request = eur(1);
    // A control character is one character, and six bytes as JSON.
    let filled = |value: &str| -> Value {
        let member = |n: i32| (n.to_string(), json!(value.repeat(500)));
        Value::Object((0..50).map(member).collect())
    };
    request["metadata"] = filled("\u{1}");

    let refused = world.pay("k", &request).await;

    let problem = refused.expect_problem(422, "validation_failed");
    let error = &problem["errors"][0];
    assert_eq!(error["pointer"], "/metadata");
    assert!(
        error["detail"].as_str().unwrap().contains("65536 bytes"),
        "{error}"
    );
    request["metadata"] = filled("é");
    world.pay("k", &request).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_number_is_refused_and_neither_answered_nor_logged() {
    let world = world().await;
    let number = "4242 4242 4242 4242";
    // Longer than the digits of an id or of a time that may happen to be the same.
    let told = |text: &str| text.contains("42424242") || text.contains("4242 4242");
    for body in [
        json!({"amount": 1, "currency": "EUR", "payment_method": "4242424242424242"}),
        json!({"amount": 1, "currency": "EUR", "payment_method": "pm", "description": number}),
        json!({"amount": 1, "currency": "EUR", "payment_method": "pm", "metadata": {number: "x"}}),
        json!({"amount": 4_242_424_242_424_242_i64, "currency": "EUR", "payment_method": "pm"}),
        json!({"card": {"number": number}}),
    ] {
        let answer = world.pay("k", &body).await;
        assert!(!told(&String::from_utf8_lossy(&answer.body)));
        drop(answer.expect_problem(422, "card_number_refused"));
    }
    assert!(!told(&world.server.output()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_no_json_object_is_malformed() {
    let world = world().await;
    for body in [
        "",
        "{",
        "[]",
        "null",
        "\"x\"",
        r#"{"amount":1,"amount":2}"#,
        "{}{}",
    ] {
        let request = world
            .request(Method::POST, "/payments")
            .bearer_auth(API_KEY)
            .header("idempotency-key", "k")
            .header("content-type", "application/json; charset=utf-8")
            .body(body);
        drop(send(request).await.expect_problem(400, "malformed_request"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_24_the_key_must_be_there_once_and_parse() {
    let world = world().await;
    let post = || {
        world
            .request(Method::POST, "/payments")
            .bearer_auth(API_KEY)
            .header("content-type", "application/json")
            .body(eur(1).to_string())
    };
    drop(
        send(post())
            .await
            .expect_problem(400, "idempotency_key_missing"),
    );
    let twice = post()
        .header("idempotency-key", "a")
        .header("idempotency-key", "b");
    drop(
        send(twice)
            .await
            .expect_problem(400, "idempotency_key_invalid"),
    );
    for key in ["\"open", "a b", &"k".repeat(256)] {
        let answer = send(post().header("idempotency-key", key)).await;
        drop(answer.expect_problem(400, "idempotency_key_invalid"));
    }
    assert_eq!(world.charges(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_must_prove_who_it_is_and_keep_to_its_own() {
    let world = world().await;
    let unknown = format!("{API_KEY}x");
    for authorization in [
        None,
        Some("Basic b3A6"),
        Some(unknown.as_str()),
        Some("Bearer nonsense"),
    ] {
        let request = world.request(Method::GET, "/payments");
        let request = match authorization {
            Some(value) => request.header("authorization", value),
            None => request,
        };
        let answer = send(request).await;
        assert!(
            answer
                .header("www-authenticate")
                .is_some_and(|how| how.starts_with("Bearer"))
        );
        drop(answer.expect_problem(401, "unauthenticated"));
    }
    let unknown = world
        .request(Method::GET, "/payments")
        .bearer_auth(&unknown);
    drop(send(unknown).await.expect_problem(401, "unauthenticated"));
    let admin = world
        .request(Method::GET, "/payments")
        .bearer_auth(ADMIN_KEY);
    drop(send(admin).await.expect_problem(403, "forbidden"));

    let location = world
        .pay("k", &eur(1))
        .await
        .expect(201)
        .header("location")
        .unwrap()
        .to_owned();
    let stranger = world.new_merchant("stranger");
    for path in [location.clone(), format!("{location}/events")] {
        let theirs = world.request(Method::GET, &path).bearer_auth(&stranger);
        drop(send(theirs).await.expect_problem(404, "not_found"));
        drop(world.get(&path).await.expect(200));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_paths_and_methods_are_problems_too() {
    let world = world().await;
    for path in [
        "/",
        "/nothing",
        "/payments/",
        "/payments/pay_x",
        "/payments/x/events",
    ] {
        drop(world.get(path).await.expect_problem(404, "not_found"));
    }
    let unknown = "/payments/pay_01h455vb4pex5vsknk084sn02q";
    drop(world.get(unknown).await.expect_problem(404, "not_found"));
    for (method, path, allow) in [
        (Method::DELETE, "/payments", "GET, POST"),
        (Method::POST, unknown, "GET"),
        (Method::PUT, "/healthz", "GET"),
    ] {
        let answer = send(world.request(method, path).bearer_auth(API_KEY)).await;
        assert_eq!(answer.header("allow"), Some(allow));
        drop(answer.expect_problem(405, "method_not_allowed"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_bounded_and_must_say_that_it_is_json() {
    let world = world().await;
    let mut request = eur(1);
    request["description"] = json!("x".repeat(70_000));
    let problem = world
        .pay("k", &request)
        .await
        .expect_problem(413, "body_too_large");
    assert!(problem["detail"].as_str().unwrap().contains("65536"));
    for content_type in [
        None,
        Some("application/x-www-form-urlencoded"),
        Some("text/plain"),
    ] {
        let post = world
            .request(Method::POST, "/payments")
            .bearer_auth(API_KEY)
            .header("idempotency-key", "k")
            .body(eur(1).to_string());
        let post = match content_type {
            Some(content_type) => post.header("content-type", content_type),
            None => post,
        };
        drop(
            send(post)
                .await
                .expect_problem(415, "unsupported_media_type"),
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_problem_s_type_leads_to_a_page() {
    let world = world().await;
    for code in oncepay::payment::ProblemCode::ALL {
        let path = format!("/problems/{}", code.as_str());
        let page = send(world.request(Method::GET, &path)).await.expect(200);
        assert!(String::from_utf8_lossy(&page.body).contains(code.title()));
    }
    let unknown = send(world.request(Method::GET, "/problems/none")).await;
    drop(unknown.expect_problem(404, "not_found"));
}
