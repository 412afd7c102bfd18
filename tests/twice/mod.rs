//! What happens if this request runs twice?

mod nodes;

use futures_util::future::join_all;
use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::harness::{API_KEY, Backend, World, eur, eventually, on_both_stores, send};

on_both_stores! {
    the_same_request_again_replays_the_answer_byte_for_byte
    two_hundred_at_once_are_one_charge_and_equal_answers
    another_body_under_the_key_is_refused_in_every_order
    a_killed_server_replays_the_same_bytes_after_its_restart
    a_client_that_leaves_right_after_sending_is_charged_once_and_replayed
    the_two_forms_of_a_key_are_one_key
    keys_of_two_merchants_have_nothing_to_do_with_each_other
}

async fn the_same_request_again_replays_the_answer_byte_for_byte(backend: Backend) {
    let world = World::start(backend).await;
    let first = world.pay("order-17", &eur(4_200)).await.expect(201);
    assert!(!first.is_replayed());
    let location = first.header("location").unwrap();
    assert_eq!(
        location,
        format!("/payments/{}", first.json()["id"].as_str().unwrap())
    );

    let again = world.pay("order-17", &eur(4_200)).await.expect(201);
    assert!(again.is_replayed());
    assert_eq!(again.body, first.body);
    assert_eq!(again.header("location"), first.header("location"));
    assert_ne!(again.header("x-request-id"), first.header("x-request-id"));
    assert_eq!(world.charges(), 1);

    let declined =
        json!({"amount": 1, "currency": "EUR", "payment_method": "pm_card_chargeDeclined"});
    let first = world.pay("order-18", &declined).await.expect(402);
    let again = world.pay("order-18", &declined).await.expect(402);
    assert!(again.is_replayed() && again.body == first.body);
    assert_eq!(
        again.header("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(world.charges(), 1, "a decline moves nothing");
}

async fn two_hundred_at_once_are_one_charge_and_equal_answers(backend: Backend) {
    let world = World::start(backend).await;
    world.latency_ms(300.0).await;
    let body = eur(4_200);
    let answers = join_all((0..200).map(|_| world.pay("k", &body))).await;
    assert_eq!(answers.len(), 200);
    let first = answers[0].clone().expect(201);
    for answer in &answers {
        assert_eq!((answer.status, &answer.body), (201, &first.body));
    }
    assert_eq!(
        answers
            .iter()
            .filter(|answer| !answer.is_replayed())
            .count(),
        1
    );
    assert_eq!(world.charges(), 1);
    assert_eq!(world.sandbox.stats().requests_by_key_max, 1);
}

async fn another_body_under_the_key_is_refused_in_every_order(backend: Backend) {
    let world = World::start(backend).await;
    world.latency_ms(50.0).await;
    world.pay("one-then-other", &eur(1)).await.expect(201);
    world
        .pay("one-then-other", &eur(2))
        .await
        .expect_problem(422, "idempotency_key_reused");
    world.pay("one-then-other", &eur(1)).await.expect(201);
    assert_eq!(world.charges(), 1);

    for round in 0..10 {
        let key = format!("at-once-{round}");
        let bodies: Vec<_> = (1..=8).map(|n| eur(1 + n % 4)).collect();
        let answers = join_all(bodies.iter().map(|body| world.pay(&key, body))).await;
        let made: Vec<_> = answers
            .iter()
            .filter(|answer| answer.status == 201)
            .collect();
        assert_eq!(
            made.len(),
            2,
            "one amount was executed, and both its requests know"
        );
        assert_eq!(made[0].body, made[1].body);
        for refused in answers.into_iter().filter(|answer| answer.status != 201) {
            drop(refused.expect_problem(422, "idempotency_key_reused"));
        }
        assert_eq!(world.charges(), 2 + round);
    }
}

async fn a_killed_server_replays_the_same_bytes_after_its_restart(backend: Backend) {
    let mut world = World::start(backend).await;
    let first = world.pay("k", &eur(4_200)).await.expect(201);
    world.kill_server();
    world.restart_server().await;
    let again = world.pay("k", &eur(4_200)).await.expect(201);
    assert!(again.is_replayed());
    assert_eq!(again.body, first.body);
    assert_eq!(world.charges(), 1);
}

async fn a_client_that_leaves_right_after_sending_is_charged_once_and_replayed(backend: Backend) {
    let world = World::start(backend).await;
    world.latency_ms(200.0).await;
    let body = eur(4_200).to_string();
    let request = format!(
        "POST /payments HTTP/1.1\r\nHost: oncepay\r\nAuthorization: Bearer {API_KEY}\r\n\
         Idempotency-Key: left\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut client = TcpStream::connect(world.server.address()).await.unwrap();
    client.set_zero_linger().unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    eventually("the provider is asked", || async {
        (world.sandbox.stats().distinct_keys > 0).then_some(())
    })
    .await;
    drop(client); // A reset, which makes actix-web drop its handler.

    let again = world.pay("left", &eur(4_200)).await.expect(201);
    assert!(again.is_replayed());
    assert_eq!(again.json()["status"], "succeeded");
    assert_eq!(world.charges(), 1);
}

async fn the_two_forms_of_a_key_are_one_key(backend: Backend) {
    let world = World::start(backend).await;
    let bare = world.pay("order-17", &eur(1)).await.expect(201);
    let quoted = world.pay("\"order-17\"", &eur(1)).await.expect(201);
    assert!(quoted.is_replayed() && quoted.body == bare.body);
    assert_eq!(world.charges(), 1);
}

async fn keys_of_two_merchants_have_nothing_to_do_with_each_other(backend: Backend) {
    let world = World::start(backend).await;
    let ours = world.pay("k", &eur(1)).await.expect(201);
    let stranger = world.new_merchant("stranger");
    let theirs = send(world.paying_as(&stranger, "k", &eur(2)))
        .await
        .expect(201);
    assert!(!theirs.is_replayed());
    assert_ne!(theirs.json()["id"], ours.json()["id"]);
    assert_eq!(world.charges(), 2);
}
