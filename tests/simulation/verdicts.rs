//! What an operator says of an operation in doubt.

use std::time::Duration;

use oncepay::{
    actors::{Resolution, ResolveRefusal, Resolver},
    payment::{Payment, PaymentStatus},
    provider::{Found, InDoubtReason},
};
use tokio::time::{Instant, sleep};

use super::{
    recovery::{found, lost, until},
    scripted_provider::{approved, declined, in_doubt},
    world::{DAY, HOUR, World, simulate_recovering},
};

fn operator() -> Resolver {
    Resolver {
        by: "ada".into(),
        why: "the provider's dashboard shows it".into(),
    }
}

async fn doubtful(world: &World) -> Payment {
    world
        .provider
        .always(in_doubt(InDoubtReason::StoredServerError, None));
    drop(world.pay("k").await);
    world.store.rows("k").unwrap().1
}

#[test]
fn rule_15_an_operator_s_failed_is_refused_once_anything_is_found() {
    simulate_recovering(|world| async move {
        let payment = doubtful(&world).await;
        world.provider.finds(found());
        let refused = world
            .payments
            .resolve(payment.id, None, Resolution::Failed, operator())
            .await;
        assert!(
            matches!(refused, Err(ResolveRefusal::Contradicted(_))),
            "{refused:?}"
        );
        let (_, payment) = world.store.rows("k").unwrap();
        assert_eq!(
            payment.status,
            PaymentStatus::Succeeded,
            "what was found stands"
        );
    });
}

#[test]
fn rule_15_an_operator_s_failed_bars_sending_waits_looks_and_is_recorded() {
    simulate_recovering(|world| async move {
        let payment = doubtful(&world).await;
        let (sent, begun) = (world.provider.calls().len(), Instant::now());
        let resolved = world
            .payments
            .resolve(payment.id, None, Resolution::Failed, operator())
            .await
            .unwrap();
        assert!(
            begun.elapsed() >= Duration::from_secs(10),
            "an attempt's time"
        );
        assert_eq!(resolved.status, PaymentStatus::Failed);
        let (operation, _) = world.store.rows("k").unwrap();
        assert!(operation.resends_barred);
        assert_eq!(world.provider.calls().len(), sent);
        let again = world
            .payments
            .resolve(payment.id, None, Resolution::Failed, operator())
            .await;
        assert_eq!(again, Err(ResolveRefusal::NotInDoubt));
    });
}

/// It looks later than any attempt can arrive, and as far back as the first may have been sent.
#[test]
fn rule_15_what_an_operator_called_failed_is_looked_for_once_more() {
    simulate_recovering(|world| async move {
        let payment = doubtful(&world).await;
        let begun = Instant::now();
        let failed = || {
            world
                .payments
                .resolve(payment.id, None, Resolution::Failed, operator())
        };
        failed().await.unwrap();
        let (looks, answer) = (
            world.provider.looks(),
            world.store.rows("k").unwrap().0.answer,
        );
        sleep(25 * HOUR).await;
        assert_eq!(world.provider.looks(), looks);

        // It tells nothing at first: then it is asked again.
        world
            .provider
            .finds(Found::Unanswered(in_doubt(InDoubtReason::Timeout, None)));
        world.provider.finds(found());
        world.provider.always(None);
        let given_back = async {
            while (world.store.rows("k").unwrap().0.stray_reversed_at).is_none() {
                sleep(Duration::from_secs(1)).await;
            }
        };
        tokio::time::timeout(2 * HOUR, given_back).await.unwrap();
        assert!(begun.elapsed() >= 26 * HOUR);
        let (operation, payment) = world.store.rows("k").unwrap();
        assert_eq!(operation.answer, answer, "the client's answer stands");
        assert_eq!(payment.status, PaymentStatus::Failed);
        assert_eq!(world.provider.reversed()[0].reference, "pi_1");
        assert!(world.provider.looked_between().first <= operation.created_at);
        let looks = world.provider.looks();
        sleep(DAY).await;
        assert_eq!(world.provider.looks(), looks, "once is enough");
    });
}

#[test]
fn rule_15_a_verdict_that_was_right_is_left_alone_after_the_second_look() {
    simulate_recovering(|world| async move {
        let payment = doubtful(&world).await;
        let resolved = world
            .payments
            .resolve(payment.id, None, Resolution::Failed, operator())
            .await;
        let looks = world.provider.looks();
        sleep(3 * DAY).await;
        assert_eq!(world.provider.looks(), looks + 1);
        assert_eq!(world.store.rows("k").unwrap().1, resolved.unwrap());
    });
}

/// A restore begins the time in which it may still arrive anew; it may have been sent long before.
#[test]
fn rule_19_a_verdict_on_what_was_restored_looks_back_to_when_it_was_made() {
    simulate_recovering(|world| async move {
        let payment = doubtful(&world).await;
        let (mut operation, _) = world.store.rows("k").unwrap();
        operation.first_sent_at = operation.created_at.plus(12 * HOUR);
        world.store.plant(operation.clone(), payment.clone());
        sleep(12 * HOUR).await;
        world
            .payments
            .resolve(payment.id, None, Resolution::Failed, operator())
            .await
            .unwrap();
        assert!(world.provider.looked_between().first <= operation.created_at);
    });
}

#[test]
fn rule_15_a_verdict_waits_for_the_driver_that_may_send_again() {
    simulate_recovering(|world| async move {
        world.provider.always(lost());
        drop(world.pay("k").await);
        let payment = world.store.rows("k").unwrap().1;
        let sent = world.provider.calls().len();
        let wait = Duration::from_secs(8);
        world.provider.then(wait, lost());
        world.provider.then(wait, approved());
        let recovers = || world.provider.calls().len() > sent;
        while !recovers() {
            sleep(Duration::from_secs(1)).await;
        }
        let refused = world
            .payments
            .resolve(payment.id, None, Resolution::Failed, operator())
            .await;
        assert_eq!(refused, Err(ResolveRefusal::NotInDoubt));
        let (operation, payment) = world.store.rows("k").unwrap();
        assert_eq!(payment.status, PaymentStatus::Succeeded);
        assert_eq!(operation.stray_reference, None);
    });
}

/// Of a key that the provider had forgotten there may be two.
#[test]
fn rule_15_a_refused_object_that_an_operator_names_ends_nothing_for_the_others() {
    simulate_recovering(|world| async move {
        let payment = doubtful(&world).await;
        let succeeded = Resolution::Succeeded {
            reference: "pi_9".into(),
        };
        world.provider.always(declined());
        let resolved = (world.payments)
            .resolve(payment.id, None, succeeded, operator())
            .await;
        assert!(
            matches!(resolved, Err(ResolveRefusal::Contradicted(_))),
            "{resolved:?}"
        );
        world.provider.finds(found());
        until(&world, "k", PaymentStatus::Succeeded, HOUR).await;
    });
}

#[test]
fn rule_15_an_operator_s_succeeded_needs_a_reference_that_the_provider_confirms() {
    simulate_recovering(|world| async move {
        let payment = doubtful(&world).await;
        let succeeded = || Resolution::Succeeded {
            reference: "pi_9".into(),
        };
        let resolve = |resolution| {
            world
                .payments
                .resolve(payment.id, None, resolution, operator())
        };
        let mismatch = in_doubt(InDoubtReason::Mismatch, Some("pi_9"));
        world.provider.always(mismatch);
        let refused = resolve(succeeded()).await;
        assert!(
            matches!(refused, Err(ResolveRefusal::Unanswered(_))),
            "{refused:?}"
        );
        world.provider.always(None);
        let resolved = resolve(succeeded()).await.unwrap();
        assert_eq!(resolved.status, PaymentStatus::Succeeded);
    });
}
