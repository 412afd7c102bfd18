use std::collections::BTreeSet;

use super::*;

#[path = "../../../../../tests/campaign/short.rs"]
mod short;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn the_same_seed_is_the_same_plan_and_another_is_another() {
    for duration in [10, 40, 180, 600].map(seconds) {
        let plan = Plan::of(7, duration);
        assert_eq!(plan, Plan::of(7, duration));
        assert_ne!(plan.actions, Plan::of(8, duration).actions);
        assert!(plan.actions.is_sorted_by_key(|action| action.from));
    }
}

#[test]
fn a_quarter_of_every_round_is_healthy() {
    for seed in 0..50 {
        for duration in [10, 40, 50, 180].map(seconds) {
            let rounds = rounds(duration);
            for action in Plan::of(seed, duration).actions {
                let end = action.from + action.lasts;
                let fits =
                    |(start, over): &(Duration, Duration)| *start <= action.from && end <= *over;
                assert!(rounds.iter().any(fits), "{seed}: {action}");
            }
            assert_eq!(rounds.last().unwrap().1.as_millis(), duration.as_millis());
        }
    }
}

#[test]
fn a_long_campaign_does_everything_and_several_things_at_once() {
    let plan = Plan::of(1, seconds(600));
    let kinds: BTreeSet<_> = plan
        .actions
        .iter()
        .map(|action| action.what.kind())
        .collect();
    let lanes = [nodes(), database(), balancer(), redis(), links(), faults()];
    let all: BTreeSet<_> = lanes.iter().flatten().map(|card| card.0.kind()).collect();
    assert_eq!(kinds, all);
    let overlaps = |one: &Action| {
        let others = plan.actions.iter().filter(|other| {
            other.from < one.from + one.lasts && one.from < other.from + other.lasts
        });
        others.count() > 3 // Itself among them.
    };
    assert!(plan.actions.iter().any(overlaps));
    let long = Duration::from_millis(settings::LONG_STOP_MS.0);
    let is_long_stop =
        |action: &&Action| matches!(action.what, What::StopNodes(_)) && action.lasts >= long;
    assert!(plan.actions.iter().filter(is_long_stop).count() > 5);
}

#[test]
fn nothing_that_takes_long_to_settle_comes_late() {
    for seed in 0..50 {
        let plan = Plan::of(seed, seconds(180));
        for action in plan.actions {
            let end = action.from + action.lasts;
            assert!(!action.what.takes_long_to_settle() || end <= seconds(90));
        }
    }
}

#[test]
fn a_short_campaign_breaks_every_part_of_the_world() {
    for seed in 0..50 {
        let plan = Plan::of(seed, seconds(short::SHORT_S));
        let has = |what: fn(&What) -> bool| plan.actions.iter().any(|a| what(&a.what));
        assert!(has(|what| matches!(
            what,
            What::KillNodes(_) | What::StopNodes(_)
        )));
        assert!(has(|what| matches!(what, What::KillDatabase)), "{seed}");
        assert!(has(|what| matches!(what, What::StopDatabase)), "{seed}");
        assert!(has(|what| matches!(what, What::KillBalancer)), "{seed}");
        assert!(has(|what| matches!(what, What::StopBalancer)), "{seed}");
        assert!(has(|what| matches!(what, What::Link(..))));
        assert!(has(|what| matches!(what, What::Provider { .. })));
    }
}
