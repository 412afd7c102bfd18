//! `GET /payments`.

use serde_json::{Value, json};

use crate::harness::{Backend, World, eur, on_both_stores};

on_both_stores! {
    pages_are_walked_in_both_directions_without_gap_or_repetition
    every_filter_lets_through_what_it_names
    a_parameter_that_is_wrong_is_named
}

fn references(page: &Value) -> Vec<String> {
    let data = page["data"].as_array().unwrap();
    data.iter()
        .map(|payment| payment["reference"].as_str().unwrap().to_owned())
        .collect()
}

fn id(page: &Value, place: usize) -> String {
    page["data"][place]["id"].as_str().unwrap().to_owned()
}

async fn pay_in_order(world: &World, count: usize) {
    for n in 0..count {
        let mut request = eur(100);
        request["reference"] = json!(format!("order-{n}"));
        drop(world.pay(&format!("k-{n}"), &request).await.expect(201));
    }
}

async fn pages_are_walked_in_both_directions_without_gap_or_repetition(backend: Backend) {
    let world = World::start(backend).await;
    pay_in_order(&world, 7).await;
    let first = world.get("/payments?limit=3").await.expect(200).json();
    assert_eq!(references(&first), ["order-6", "order-5", "order-4"]);
    assert_eq!(first["has_more"], true);
    let path = format!("/payments?limit=3&starting_after={}", id(&first, 2));
    let second = world.get(&path).await.expect(200).json();
    assert_eq!(references(&second), ["order-3", "order-2", "order-1"]);
    let path = format!("/payments?limit=3&starting_after={}", id(&second, 2));
    let last = world.get(&path).await.expect(200).json();
    assert_eq!(
        (references(&last), &last["has_more"]),
        (vec!["order-0".into()], &json!(false))
    );

    let path = format!("/payments?limit=2&ending_before={}", id(&last, 0));
    let back = world.get(&path).await.expect(200).json();
    assert_eq!(references(&back), ["order-2", "order-1"]);
    assert_eq!(back["has_more"], true);
    let path = format!("/payments?limit=100&ending_before={}", id(&back, 0));
    let newest = world.get(&path).await.expect(200).json();
    assert_eq!(
        references(&newest),
        ["order-6", "order-5", "order-4", "order-3"]
    );
    assert_eq!(newest["has_more"], false);
}

async fn every_filter_lets_through_what_it_names(backend: Backend) {
    let world = World::start(backend).await;
    pay_in_order(&world, 3).await;
    let usd = json!({"amount": 5, "currency": "USD", "payment_method": "pm_card_visa", "reference": "usd"});
    drop(world.pay("k-usd", &usd).await.expect(201));
    let declined = json!({"amount": 5, "currency": "EUR", "payment_method": "pm_card_chargeDeclined", "reference": "declined"});
    drop(world.pay("k-declined", &declined).await.expect(402));

    let all = world.get("/payments").await.expect(200).json();
    assert_eq!(
        references(&all),
        ["declined", "usd", "order-2", "order-1", "order-0"]
    );
    let created_at = all["data"][2]["created_at"].as_str().unwrap();
    for (filter, expected) in [
        ("status=failed".to_owned(), &["declined"][..]),
        ("status=succeeded&limit=2".to_owned(), &["usd", "order-2"]),
        ("currency=USD".to_owned(), &["usd"]),
        ("currency=BGN".to_owned(), &[]), // Nobody pays in it any more; who did is found.
        ("reference=order-1".to_owned(), &["order-1"]),
        ("idempotency_key=k-2".to_owned(), &["order-2"]),
        ("idempotency_key=none".to_owned(), &[]),
        (
            format!("created_from={created_at}&created_to={created_at}"),
            &["order-2"],
        ),
        (
            format!("created_from={created_at}&currency=EUR"),
            &["declined", "order-2"],
        ),
        ("created_to=2020-01-01T00:00:00Z".to_owned(), &[]),
    ] {
        let page = world
            .get(&format!("/payments?{filter}"))
            .await
            .expect(200)
            .json();
        assert_eq!(references(&page), expected, "{filter}");
    }
}

async fn a_parameter_that_is_wrong_is_named(backend: Backend) {
    let world = World::start(backend).await;
    for (query, pointer) in [
        ("limit=0", "/limit"),
        ("limit=101", "/limit"),
        ("limit=x", "/limit"),
        (
            "starting_after=mer_01h455vb4pex5vsknk084sn02q",
            "/starting_after",
        ),
        ("status=paid", "/status"),
        ("currency=euro", "/currency"),
        ("created_from=today", "/created_from"),
        ("sort=amount", "/sort"),
        ("limit=1&limit=2", "/limit"),
    ] {
        let answer = world.get(&format!("/payments?{query}")).await;
        let problem = answer.expect_problem(422, "validation_failed");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{query}");
    }
    let id = "pay_01h455vb4pex5vsknk084sn02q";
    let both = world
        .get(&format!("/payments?starting_after={id}&ending_before={id}"))
        .await;
    drop(both.expect_problem(422, "validation_failed"));
    let unknown = world
        .get(&format!("/payments?starting_after={id}"))
        .await
        .expect(200);
    assert_eq!(unknown.json()["data"], json!([]));
}
