//! Whose is what the provider shows?

use oncepay::sandbox::ChargeFilter;

use super::{backed_up, expect_counted, forget_keys, id, restored, stopped, world};
use crate::{
    downstream_fails::{follow_up, order, quick_recovery},
    harness::{Backend, ProviderKnobs, World, on_both_stores, send},
    reconcile::{beside_us, expect_equal},
};

on_both_stores! {
    rule_19_two_installations_on_one_account_leave_each_other_s_payments_alone
    rule_19_what_does_not_say_whose_it_is_is_reported_and_not_imported
    rule_19_a_merchant_made_since_the_backup_comes_back_with_its_payments
}

async fn rule_19_two_installations_on_one_account_leave_each_other_s_payments_alone(
    backend: Backend,
) {
    let mut ours = world(backend).await;
    let same_account = ProviderKnobs {
        address: Some(ours.sandbox.address()),
        ..ProviderKnobs::named("main")
    };
    let theirs = World::start_at(backend, quick_recovery(), vec![same_account]).await;
    backed_up(&mut ours).await;
    ours.pay("ours", &order("ours")).await.expect(201);
    let refunded = theirs.pay("theirs", &order("theirs")).await.expect(201);
    follow_up(&theirs, &id(&refunded), "refunds", "back")
        .await
        .expect(201);
    theirs.pay("kept", &order("kept")).await.expect(201);
    expect_equal(&ours);
    expect_equal(&theirs);

    let said = restored(&mut ours).await;
    expect_counted(&said, "payments imported", 1);
    expect_counted(&said, "refunds imported", 0);
    expect_counted(&said, "objects of other installations left alone", 3);
    forget_keys(&ours).await;
    let again = ours.pay("ours", &order("ours")).await.expect(201);
    assert!(again.is_replayed());
    expect_equal(&ours);
    expect_equal(&theirs);
}

async fn rule_19_what_does_not_say_whose_it_is_is_reported_and_not_imported(backend: Backend) {
    let mut world = world(backend).await;
    backed_up(&mut world).await;
    world.pay("after", &order("after")).await.expect(201);
    let marked = world
        .sandbox
        .charges(&ChargeFilter::all())
        .charges
        .remove(0);
    assert!(marked.metadata.contains_key("oncepay_installation"));
    world.sandbox.reset();
    let form = marked.metadata.iter();
    let form = form.filter(|(name, _)| *name != "oncepay_installation");
    let form = form.map(|(name, value)| (format!("metadata[{name}]"), value.as_str()));
    let form: Vec<_> = form.collect();
    let mut form: Vec<_> = form.iter().map(|(name, it)| (name.as_str(), *it)).collect();
    form.extend([
        ("amount", "4200"),
        ("currency", "eur"),
        ("payment_method", "pm_card_visa"),
        ("confirm", "true"),
    ]);
    beside_us(&world, "payment_intents", &form).await;
    stopped(&mut world).await;
    world.database.restore().await;

    let output = world.run(&["recover", "--since", "2020-01-01T00:00:00Z"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("which does not say whose it is"), "{told}");
    let said = String::from_utf8(output.stdout).unwrap();
    expect_counted(&said, "payments imported", 0);
}

async fn rule_19_a_merchant_made_since_the_backup_comes_back_with_its_payments(backend: Backend) {
    let mut world = world(backend).await;
    backed_up(&mut world).await;
    let lost_key = world.new_merchant("newcomer");
    let paying = send(world.paying_as(&lost_key, "k", &order("k"))).await;
    let paid = id(&paying.expect(201));

    restored(&mut world).await;
    forget_keys(&world).await;
    let refused = send(world.paying_as(&lost_key, "k", &order("k"))).await;
    assert_eq!(refused.status, 401);
    let merchants = world.oncepay(&["merchants", "list"]);
    let mut words = merchants.split_whitespace();
    words.find(|word| *word == "restored").unwrap();
    let name = format!("restored {}", words.next().unwrap());
    let new_key = world.oncepay(&["keys", "create", "--test", "--merchant", &name]);
    let again = send(world.paying_as(&new_key, "k", &order("k"))).await;
    let again = again.expect(201);
    assert!(again.is_replayed());
    assert_eq!(id(&again), paid);
    assert_eq!(world.charges(), 1);
    expect_equal(&world);
}
