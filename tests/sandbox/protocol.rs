//! Authentication, validation, and the shape of what is answered.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Bed, CHARGE, charge_with, send};

#[tokio::test]
async fn a_charge_is_shaped_as_stripe_shapes_it() {
    let bed = Bed::new().await;
    let form = charge_with(&[("description", "Two chairs"), ("metadata[order]", "17")]);

    let reply = bed
        .post("/v1/payment_intents", &form, None)
        .await
        .expect(200);

    let intent = reply.body;
    assert!(intent["id"].as_str().unwrap().starts_with("pi_"));
    assert_eq!(intent["id"].as_str().unwrap().len(), 27);
    assert!(intent["latest_charge"].as_str().unwrap().starts_with("ch_"));
    assert!(reply.request_id.starts_with("req_"));
    for (member, expected) in [
        ("object", json!("payment_intent")),
        ("amount", json!(4200)),
        ("amount_received", json!(4200)),
        ("amount_capturable", json!(0)),
        ("capture_method", json!("automatic")),
        ("currency", json!("eur")),
        ("status", json!("succeeded")),
        ("payment_method", json!("pm_card_visa")),
        ("metadata", json!({"order": "17"})),
        ("description", json!("Two chairs")),
        ("created", json!(1_700_000_000)),
        ("last_payment_error", Value::Null),
        ("cancellation_reason", Value::Null),
        ("livemode", json!(false)),
    ] {
        assert_eq!(intent[member], expected, "{member}");
    }
    let path = format!("/v1/payment_intents/{}", intent["id"].as_str().unwrap());
    assert_eq!(bed.get(&path).await.expect(200).body, intent);
}

#[tokio::test]
async fn an_invalid_charge_is_refused_with_the_parameter_at_fault() {
    let bed = Bed::new().await;
    let long_key = format!("metadata[{}]", "k".repeat(41));
    let long_value = "v".repeat(501);
    let cases: &[(&str, &str, Value)] = &[
        ("amount", "", json!("parameter_invalid_integer")),
        ("amount", "12.5", json!("parameter_invalid_integer")),
        ("amount", "0", json!("parameter_invalid_integer")),
        ("amount", "-5", json!("parameter_invalid_integer")),
        ("amount", "1000000000000", json!("amount_too_large")),
        ("currency", "", json!("parameter_missing")),
        ("currency", "eurodollar", Value::Null),
        ("payment_method", "", json!("parameter_missing")),
        (
            "payment_method",
            "pm_card_unheard_of",
            json!("resource_missing"),
        ),
        ("confirm", "false", Value::Null),
        ("confirm", "yes", Value::Null),
        ("capture_method", "someday", Value::Null),
        ("colour", "red", json!("parameter_unknown")),
        ("metadata[k]", &long_value, Value::Null),
    ];
    for (name, value, code) in cases {
        let form = charge_with(&[(name, value)]);
        let reply = bed
            .post("/v1/payment_intents", &form, None)
            .await
            .expect(400);
        let error = &reply.body["error"];
        assert_eq!(error["type"], "invalid_request_error", "{name}={value}");
        assert_eq!(error["param"], *name, "{name}={value}");
        assert_eq!(error["code"], *code, "{name}={value}");
    }
    let form = charge_with(&[(&long_key, "v")]);
    let reply = bed
        .post("/v1/payment_intents", &form, None)
        .await
        .expect(400);
    assert_eq!(reply.body["error"]["param"], "metadata");
    for name in ["amount", "currency", "payment_method", "confirm"] {
        let form: Vec<_> = CHARGE
            .iter()
            .copied()
            .filter(|(given, _)| *given != name)
            .collect();
        let reply = bed
            .post("/v1/payment_intents", &form, None)
            .await
            .expect(400);
        assert_eq!(reply.body["error"]["param"], name);
    }
    assert_eq!(bed.sandbox.stats().executed, 0);
}

#[tokio::test]
async fn an_unknown_object_or_path_is_404() {
    let bed = Bed::new().await;

    bed.get("/v1/payment_intents/pi_none")
        .await
        .expect_error(404, "resource_missing");
    bed.get("/v1/refunds/re_none")
        .await
        .expect_error(404, "resource_missing");
    let refund = [("payment_intent", "pi_none")];
    bed.post("/v1/refunds", &refund, None)
        .await
        .expect_error(404, "resource_missing");
    for action in ["capture", "cancel"] {
        let path = format!("/v1/payment_intents/pi_none/{action}");
        bed.post(&path, &[], None)
            .await
            .expect_error(404, "resource_missing");
    }
    let unknown = bed.get("/v1/customers").await.expect(404);
    assert_eq!(unknown.body["error"]["type"], "invalid_request_error");
}

#[tokio::test]
async fn a_caller_without_the_secret_is_401() {
    let bed = Bed::with(|config| config.secret = Some("sk_right".to_owned().into())).await;
    let list = || bed.request(Method::GET, "/v1/payment_intents");

    let without = send(list()).await.unwrap().expect(401);
    let basic = send(list().header("Authorization", "Basic c2s6"))
        .await
        .unwrap()
        .expect(401);
    let wrong = send(list().bearer_auth("sk_wrong"))
        .await
        .unwrap()
        .expect(401);
    send(list().bearer_auth("sk_right"))
        .await
        .unwrap()
        .expect(200);

    for refused in [without, basic, wrong] {
        assert_eq!(refused.body["error"]["type"], "invalid_request_error");
    }
}

#[tokio::test]
async fn any_secret_will_do_if_none_is_configured_but_one_must_be_there() {
    let bed = Bed::new().await;

    send(bed.request(Method::GET, "/v1/refunds"))
        .await
        .unwrap()
        .expect(401);
    send(bed.request(Method::GET, "/v1/refunds").bearer_auth("x"))
        .await
        .unwrap()
        .expect(200);
}

#[tokio::test]
async fn a_body_beyond_all_bounds_is_413() {
    let bed = Bed::new().await;
    let form = charge_with(&[("description", "x")]);
    let request = bed.posting("/v1/payment_intents", &form, None);

    let reply = send(request.body("x".repeat(300_000))).await.unwrap();

    reply.expect(413);
}

#[tokio::test]
async fn a_list_is_newest_first_in_pages_and_sees_what_was_just_written() {
    let bed = Bed::new().await;
    let mut ids = Vec::new();
    for number in 0..5 {
        let reply = bed.charge(&format!("key-{number}")).await.expect(200);
        ids.insert(0, reply.id().to_owned());
        bed.pass(std::time::Duration::from_secs(10));
    }
    let listed = async |query: &str| {
        let page = bed
            .get(&format!("/v1/payment_intents?{query}"))
            .await
            .expect(200)
            .body;
        let data = page["data"].as_array().unwrap().clone();
        let ids: Vec<_> = data
            .iter()
            .map(|i| i["id"].as_str().unwrap().to_owned())
            .collect();
        (ids, page["has_more"] == true)
    };

    assert_eq!(listed("").await, (ids.clone(), false));
    assert_eq!(listed("limit=2").await, (ids[..2].to_vec(), true));
    let after = format!("limit=2&starting_after={}", ids[1]);
    assert_eq!(listed(&after).await, (ids[2..4].to_vec(), true));
    let last = format!("limit=2&starting_after={}", ids[3]);
    assert_eq!(listed(&last).await, (ids[4..].to_vec(), false));
    let window = "created[gte]=1700000010&created[lte]=1700000030";
    assert_eq!(listed(window).await, (ids[1..4].to_vec(), false));
    let open_window = "created%5Bgt%5D=1700000010&created%5Blt%5D=1700000030";
    assert_eq!(listed(open_window).await, (ids[2..3].to_vec(), false));
    for wrong in [
        "limit=0",
        "limit=101",
        "starting_after=pi_none",
        "created[x]=1",
        "colour=red",
    ] {
        let reply = bed.get(&format!("/v1/payment_intents?{wrong}")).await;
        assert!(matches!(reply.status, 400 | 404), "{wrong}: {}", reply.body);
    }
}

#[tokio::test]
async fn a_search_finds_by_all_of_the_metadata() {
    let bed = Bed::new().await;
    let create = async |order: &str, shop: &str| {
        let form = charge_with(&[("metadata[order]", order), ("metadata[shop]", shop)]);
        bed.post("/v1/payment_intents", &form, None)
            .await
            .expect(200)
            .id()
            .to_owned()
    };
    let first = create("1", "a").await;
    let second = create("2", "a").await;
    create("1", "b").await;
    let search = async |query: &str, limit: &str| {
        let request = bed
            .request(Method::GET, "/v1/payment_intents/search")
            .bearer_auth("sk");
        let request = request.query(&[("query", query), ("limit", limit)]);
        send(request).await.unwrap()
    };

    let both = search("metadata['order']:'1' AND metadata['shop']:'a'", "10")
        .await
        .expect(200);
    let shop = search(r#"metadata["shop"]:"a""#, "1").await.expect(200);
    let none = search("metadata['order']:'3'", "10").await.expect(200);
    let wrong = search("status:'succeeded'", "10").await.expect(400);

    assert_eq!(both.body["data"].as_array().unwrap().len(), 1);
    assert_eq!(both.body["data"][0]["id"], *first);
    assert_eq!(both.body["object"], "search_result");
    assert_eq!(shop.body["data"][0]["id"], *second);
    assert_eq!(shop.body["has_more"], true);
    let page = shop.body["next_page"].as_str().unwrap();
    let next = format!("/v1/payment_intents/search?query=metadata['shop']:'a'&page={page}");
    let next = bed.get(&next).await.expect(200);
    assert_eq!(next.body["data"][0]["id"], *first);
    assert_eq!(next.body["next_page"], Value::Null);
    assert_eq!(none.body["data"], json!([]));
    assert_eq!(wrong.body["error"]["param"], "query");
}
