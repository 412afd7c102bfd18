//! A doubt from long before the backup, at a provider that has many payments since.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use oncepay::{
    environment::Environment,
    sandbox::{ChargeFilter, FaultKind, FaultRule, Sandbox, SandboxConfig},
};
use reqwest::Method;

use super::{backed_up, expect_counted, recovered, stopped, world};
use crate::{
    downstream_fails::{order, quick_recovery, settled_by_itself},
    harness::{Backend, ProviderKnobs, World, client, eventually, on_both_stores, send},
};

on_both_stores! {
    rule_19_what_would_take_too_long_to_look_for_is_left_to_the_servers
    rule_19_a_recovery_that_cannot_be_whole_does_nothing_and_says_what_to_do
}

const OLD: &str = "older payments in doubt left to be looked for by the servers";
const DAYS_3_US: i64 = 3 * 86_400_000_000;

/// A provider whose clock is behind by what the counter says, in microseconds.
async fn provider_behind(behind: &Arc<AtomicI64>) -> Sandbox {
    let environment = Environment::of_the_machine();
    let (clock, behind) = (environment.clone(), Arc::clone(behind));
    let now = move || clock.now().as_micros() - behind.load(Ordering::Relaxed);
    let seed = u64::from_le_bytes(environment.random_bytes());
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = SandboxConfig::new(any_port, seed, Arc::new(now));
    Sandbox::start(config).await.unwrap()
}

/// Payments of the account that are not made by us, with such marks.
async fn beside_us(address: SocketAddr, count: usize, marks: &BTreeMap<String, String>) {
    let client = client();
    let marks = marks.iter();
    let marks = marks.map(|(name, value)| (format!("metadata[{name}]"), value.as_str()));
    let payment = [
        ("amount", "100"),
        ("currency", "eur"),
        ("payment_method", "pm_card_visa"),
        ("confirm", "true"),
    ];
    let payment = payment.map(|(name, value)| (name.to_owned(), value));
    let form: Vec<_> = marks.chain(payment).collect();
    for _ in 0..count {
        let url = format!("http://{address}/v1/payment_intents");
        let request = client.request(Method::POST, url);
        let request = request.bearer_auth("sandbox_secret").form(&form);
        send(request).await.expect(200);
    }
}

async fn rule_19_what_would_take_too_long_to_look_for_is_left_to_the_servers(backend: Backend) {
    let behind = Arc::new(AtomicI64::new(DAYS_3_US));
    let sandbox = provider_behind(&behind).await;
    let provider = ProviderKnobs {
        address: Some(sandbox.address()),
        key_retention_s: 60,
        absence_wait_s: 2,
        ..ProviderKnobs::named("main")
    };
    let mut world = World::start_at(backend, quick_recovery(), vec![provider]).await;
    sandbox
        .set_faults(FaultRule::new(FaultKind::HangAfter))
        .await;
    let asked = world.paying("old", &order("old"));
    send(asked.header("prefer", "respond-async"))
        .await
        .expect(202);
    eventually("it is charged", || async {
        (sandbox.charges(&ChargeFilter::all()).count == 1).then_some(())
    })
    .await;
    world.kill_server();
    sandbox.clear_faults().await;
    beside_us(sandbox.address(), 220, &BTreeMap::new()).await;
    let long_ago = format!(
        "update operations set created_at = created_at - {DAYS_3_US}, \
         first_sent_at = first_sent_at - {DAYS_3_US}"
    );
    world.database.execute(&long_ago).await;
    world.database.back_up().await;
    behind.store(0, Ordering::Relaxed);
    world.restart_server().await;
    world.pay("after", &order("after")).await.expect(201);
    let since = Environment::of_the_machine().now().to_string();
    stopped(&mut world).await;
    world.database.restore().await;

    let recover = async |more: &[&str]| {
        let start = ["recover", "--since", &since];
        let output = world.run(&[&start, more].concat());
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{told}");
        String::from_utf8(output.stdout).unwrap()
    };
    let said = recover(&["--dry-run"]).await;
    expect_counted(&said, OLD, 0);
    let said = recover(&["--payments-max", "100"]).await;
    expect_counted(&said, OLD, 1);
    let made_at = "select cast(min(created_at) as text) as text from operations";
    let made_at = world.database.text(made_at).await.parse().unwrap();
    let made_at = oncepay::payment::Timestamp::from_micros(made_at);
    assert!(said.contains(&format!("is of {made_at}")), "{said}");
    expect_counted(&said, "unsettled operations put in doubt", 1);
    expect_counted(&said, "payments imported", 1);

    world.restart_server().await;
    assert!(
        (world.pay("after", &order("after")).await)
            .expect(201)
            .is_replayed()
    );
    let old = settled_by_itself(&world, "old").await;
    assert_eq!(old["status"], "succeeded");
    let charged = sandbox.charges(&ChargeFilter::metadata("reference", "old"));
    assert_eq!(charged.count, 1);
    let reference = old["provider_reference"].as_str();
    assert_eq!(reference, Some(charged.charges[0].id.as_str()));
}

async fn rule_19_a_recovery_that_cannot_be_whole_does_nothing_and_says_what_to_do(
    backend: Backend,
) {
    let mut world = world(backend).await;
    backed_up(&mut world).await;
    world.pay("k", &order("k")).await.expect(201);
    let ours = world
        .sandbox
        .charges(&ChargeFilter::all())
        .charges
        .remove(0);
    let address = world.sandbox.address();
    beside_us(address, 120, &BTreeMap::new()).await;
    stopped(&mut world).await;
    world.database.restore().await;
    let incarnation = "select store_incarnation as text from installation";
    let before = world.database.text(incarnation).await;

    let at_most_50 = ["--payments-max", "50"];
    let said = recovered(&world, &[&at_most_50[..], &["--dry-run"]].concat());
    expect_counted(&said, "payments imported", 1);
    beside_us(address, 120, &ours.metadata).await;
    let since = ["recover", "--since", "2020-01-01T00:00:00Z"];
    let output = world.run(&[&since[..], &at_most_50].concat());
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    let told = told.replace('\n', " ");
    for part in [
        "has more than 50 payments",
        "nothing was done",
        "--payments-max",
    ] {
        assert!(told.contains(part), "{told}");
    }
    assert_eq!(world.database.text(incarnation).await, before);
    assert_eq!(world.database.operations_that_are("settled").await, 0);
}
