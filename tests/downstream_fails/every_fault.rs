//! Every fault of the provider in every operation: never twice, and settled once it is over.

use oncepay::sandbox::{CallClass, ChargeFilter, FaultKind, FaultRule};
use serde_json::Value;

use super::{
    charges_of, follow_up, forgetful_world, held, order, settled_by_itself, until_definite,
};
use crate::harness::{Backend, World, eventually, on_both_stores};

on_both_stores! {
    every_fault_of_a_create_ends_in_at_most_one_charge
    every_fault_of_a_capture_ends_in_at_most_one_capture
    every_fault_of_a_cancel_ends_in_a_void_or_none
    every_fault_of_a_refund_ends_in_at_most_one_refund
}

/// Sending goes on for long enough that every fault but [`FaultKind::ErrorStored`] is outlived by it.
async fn struck_world(backend: Backend) -> World {
    forgetful_world(backend, 16, 1_500, 5_000).await
}

/// How a fault strikes: two calls of that kind.
fn twice(kind: FaultKind, on: CallClass) -> FaultRule {
    FaultRule::new(kind).times(2).on(&[on])
}

async fn every_fault_of_a_create_ends_in_at_most_one_charge(backend: Backend) {
    let world = struck_world(backend).await;
    for kind in FaultKind::ALL {
        let key = kind.name();
        world.inject(twice(kind, CallClass::Create)).await;
        let first = world.pay(key, &order(key)).await;
        world.sandbox.clear_faults().await;
        let first_status = first.status;
        let payment = match first_status {
            // Certainly not sent: only its client takes it up again.
            503 => {
                assert_eq!(first.json()["payment"]["status"], "pending", "{key}");
                assert_eq!(charges_of(&world, key), 0, "{key}");
                let answer = until_definite(async || Some(world.pay(key, &order(key)).await)).await;
                answer.expect(201).json()
            }
            _ => settled_by_itself(&world, key).await,
        };
        let charged = usize::from(payment["status"] == "succeeded");
        assert_eq!(charges_of(&world, key), charged, "{key}: {payment}");
        match kind {
            FaultKind::ErrorStored => assert_eq!(payment["failure"]["code"], "not_executed"),
            _ => assert_eq!(charged, 1, "{key} answered {first_status}: {payment}"),
        }
        let again = world.pay(key, &order(key)).await;
        assert_eq!(again.status, if charged == 1 { 201 } else { 402 }, "{key}");
        assert_eq!(charges_of(&world, key), charged, "{key}");
    }
}

async fn every_fault_of_a_capture_ends_in_at_most_one_capture(backend: Backend) {
    let world = struck_world(backend).await;
    for kind in FaultKind::ALL {
        let id = authorized(&world, kind).await;
        strike(&world, kind, CallClass::Capture, &id, "capture").await;
        let payment = payment_of(&world, &id).await;
        let charge = charge_of(&world, &id);
        let captured = payment["amount_captured"].as_i64().unwrap();
        assert_eq!(charge.amount_captured, captured, "{}", kind.name());
        assert!([0, 4_200].contains(&captured), "{}", kind.name());
        if kind != FaultKind::ErrorStored {
            assert_eq!(payment["status"], "succeeded", "{}", kind.name());
        }
    }
}

async fn every_fault_of_a_cancel_ends_in_a_void_or_none(backend: Backend) {
    let world = struck_world(backend).await;
    for kind in FaultKind::ALL {
        let id = authorized(&world, kind).await;
        strike(&world, kind, CallClass::Cancel, &id, "cancel").await;
        let payment = payment_of(&world, &id).await;
        let held = charges_of(&world, kind.name());
        let voided = payment["status"] == "canceled";
        assert_eq!(held, usize::from(!voided), "{}: {payment}", kind.name());
        if kind != FaultKind::ErrorStored {
            assert!(voided, "{}: {payment}", kind.name());
        }
    }
}

async fn every_fault_of_a_refund_ends_in_at_most_one_refund(backend: Backend) {
    let world = struck_world(backend).await;
    for kind in FaultKind::ALL {
        let made = world
            .pay(kind.name(), &order(kind.name()))
            .await
            .expect(201);
        let id = made.json()["id"].as_str().unwrap().to_owned();
        strike(&world, kind, CallClass::Refund, &id, "refunds").await;
        let payment = payment_of(&world, &id).await;
        let refunded = payment["amount_refunded"].as_i64().unwrap();
        assert_eq!(
            charge_of(&world, &id).amount_refunded,
            refunded,
            "{}",
            kind.name()
        );
        if kind != FaultKind::ErrorStored {
            assert_eq!(refunded, 4_200, "{}: {payment}", kind.name());
        }
    }
}

async fn authorized(world: &World, kind: FaultKind) -> String {
    let made = world.pay(kind.name(), &held(kind.name())).await.expect(201);
    made.json()["id"].as_str().unwrap().to_owned()
}

/// Asks for an operation while the fault is on, and waits until nothing of the payment is open.
async fn strike(world: &World, kind: FaultKind, class: CallClass, id: &str, what: &str) {
    let key = format!("{}-{what}", kind.name());
    world.inject(twice(kind, class)).await;
    let first = follow_up(world, id, what, &key).await;
    world.sandbox.clear_faults().await;
    if first.status == 503 {
        let answer = until_definite(async || Some(follow_up(world, id, what, &key).await)).await;
        assert!(answer.status < 300, "{key}: {}", answer.json());
        return;
    }
    eventually("the operation is settled", || async {
        let events = world.get(&format!("/payments/{id}/events")).await;
        let events = events.expect(200).json();
        let ends = ["captured", "voided", "refunded", "operation_failed"];
        let begun = position_of(&events, &["operation_begun"])?;
        let ended = position_of(&events, &ends)?;
        (ended > begun).then_some(())
    })
    .await;
}

/// Where the last event of one of these kinds stands.
fn position_of(events: &Value, kinds: &[&str]) -> Option<usize> {
    let events = events["data"].as_array()?;
    let is = |event: &Value| event["type"].as_str().is_some_and(|it| kinds.contains(&it));
    events.iter().rposition(is)
}

async fn payment_of(world: &World, id: &str) -> Value {
    world
        .get(&format!("/payments/{id}"))
        .await
        .expect(200)
        .json()
}

fn charge_of(world: &World, id: &str) -> oncepay::sandbox::Charge {
    let filter = ChargeFilter::metadata("oncepay_payment", id);
    let charges = world.sandbox.charges(&filter);
    assert_eq!(charges.count, 1);
    charges.charges.into_iter().next().unwrap()
}
