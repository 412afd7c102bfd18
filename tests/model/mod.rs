//! The protocol as a model: whatever is lost, late or done twice, in whatever order, a customer is
//! charged once. Each rule is then broken alone, and the checker finds what it is there for.
//!
//! The world (`world.rs`) is one idempotency key: its row, two drivers at a time, recovery, two
//! providers that remember keys and forget them, requests that arrive late or never, writes that the
//! store carries out after their driver is gone or without its hearing of it, clients, an operator,
//! and time in steps of an hour. The row is changed by the shipped `payment::apply` and
//! `payment::admit` (`shipped.rs`); what a driver may try is decided by the shipped `next_step`,
//! `send_until`, `judge_absence` and `SendWindow`. What drivers do around these, in `actors`, is
//! asynchronous code: `drives.rs` follows it step by step, with the same names.
//!
//! All of each scenario's world is looked at (`scenarios.rs` has the bounds), so what holds there,
//! holds there for sure. It rests on this: a request reaches its provider within an hour of the
//! check of its window, which is the margin before the provider may forget, and, where an operator
//! decides, within the time limit of an attempt; what the provider lists is all that it has carried
//! out; and the store commits or does not, but never loses a commit.
//!
//! Not modelled:
//! - rule 3, and objects that are known and inspected: what an answer means is `provider/stripe`'s;
//! - the content of rule 2's list: here is only that a refusal at the door is no answer to what
//!   was sent before;
//! - rule 14: amounts, captures and refunds have their own laws, tested beside `payment`;
//! - rules 16, 18 and the first half of 17: they are the database's, and its store commits one by one;
//! - the waits of rule 13, `next_recovery_at` among them: recovery may come at any time;
//! - that rule 15 bars re-sends, and rule 12 takes a definite answer from any epoch: without them
//!   nothing false is said, only later;
//! - rule 19: no backup is put back here; `tests/restores` does that, with real stores;
//! - rules 20 to 24: what a request and its answer are made of, and where the answer is kept, decides no
//!   charge of its key; they are tested beside the code that keeps them and in `tests/contract`, rule 23
//!   in `tests/redis`.

mod actions;
mod drives;
mod properties;
mod provider;
mod row;
mod rules;
mod scenarios;
mod shipped;
mod steps;
mod world;

use stateright::{Checker, HasDiscoveries, Model, Property};

use self::{
    actions::Action,
    properties::*,
    rules::Rule,
    scenarios::*,
    world::{Scenario, World},
};

impl Model for Scenario {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::default()]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        self.possible(world, actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        Some(self.after(world, action))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = always();
        properties.extend(sometimes(self));
        properties
    }
}

/// Nothing in the scenario breaks a promise, and everything that should be possible is.
fn holds(scenario: Scenario) {
    let checked = scenario.checker().spawn_bfs().join();
    println!("{} states", checked.unique_state_count());
    checked.assert_properties();
}

/// Without the rule, the promise is broken.
fn breaks(scenario: Scenario, rule: Rule, promise: &'static str) {
    println!("without {rule:?}");
    let rules = scenario.rules.without(rule);
    is_broken(Scenario { rules, ..scenario }, promise);
}

/// The promise is broken; the shortest way there is printed.
fn is_broken(scenario: Scenario, promise: &'static str) {
    let checked = scenario
        .checker()
        .finish_when(HasDiscoveries::AnyOf([promise].into()))
        .spawn_bfs()
        .join();
    println!("{} states", checked.unique_state_count());
    let found = checked.discovery(promise);
    let found = found.unwrap_or_else(|| panic!("and still: {promise}"));
    println!("not any more: {promise}");
    for action in found.into_actions() {
        println!("  {action:?}");
    }
}

#[test]
fn whatever_is_lost_a_customer_is_charged_once() {
    holds(LOSSES);
}

#[test]
fn what_is_released_is_not_charged_unless_its_client_comes_back() {
    holds(RELEASES);
}

#[test]
fn two_providers_charge_no_more_than_one() {
    holds(TWO_PROVIDERS);
}

#[test]
fn a_provider_that_forgets_keys_charges_once() {
    holds(RETENTION);
}

#[test]
fn a_stored_error_is_told_from_a_refusal() {
    holds(STORED_ERRORS);
}

#[test]
fn a_machine_that_sleeps_charges_once() {
    holds(SLEEPING);
}

#[test]
fn a_clock_that_is_set_back_charges_once() {
    holds(SET_BACK);
}

#[test]
fn an_operator_s_verdict_is_true() {
    holds(OPERATED);
}

#[test]
fn money_after_the_end_is_given_back() {
    holds(HASTY);
}

#[test]
fn rule_1_without_the_join_a_later_refusal_hides_what_was_sent() {
    breaks(LOSSES, Rule::DoubtIsJoined, PENDING);
}

#[test]
fn rule_1_without_doubt_from_the_start_who_takes_over_releases_what_was_sent() {
    breaks(LOSSES, Rule::TakenOverInDoubt, PENDING);
}

#[test]
fn rule_2_a_refusal_at_the_door_says_nothing_of_what_was_sent_before() {
    breaks(LOSSES, Rule::DoorOnlyAtFirst, FAILED);
}

#[test]
fn rule_4_without_evidence_silence_is_taken_for_not_sent() {
    breaks(LOSSES, Rule::NotSentNeedsEvidence, PENDING);
}

#[test]
fn rule_5_without_a_look_a_charge_stays_behind_its_stored_error() {
    let rules = STORED_ERRORS.rules.without(Rule::StoredErrorIsLookedUp);
    let scenario = Scenario {
        rules,
        ..STORED_ERRORS
    };
    let checked = scenario.checker().spawn_bfs().join();
    assert!(checked.discovery(SEES_THROUGH).is_none());
}

#[test]
fn rule_6_without_the_intent_first_a_charge_has_no_row() {
    breaks(LOSSES, Rule::IntentFirst, INTENT);
}

#[test]
fn rule_7_without_its_commit_a_failover_charges_twice() {
    breaks(TWO_PROVIDERS, Rule::FailoverCommitsFirst, ONCE);
}

#[test]
fn rule_7_without_the_row_s_provider_a_take_over_charges_twice() {
    breaks(TWO_PROVIDERS, Rule::RowDecidesProvider, ONCE);
}

#[test]
fn rule_8_without_the_monotonic_clock_a_clock_that_is_set_back_charges_twice() {
    breaks(SET_BACK, Rule::MonotonicWindow, ONCE);
}

#[test]
fn rule_8_without_the_wall_clock_a_machine_that_sleeps_charges_twice() {
    breaks(SLEEPING, Rule::WallWindow, ONCE);
}

#[test]
fn rule_9_without_the_wait_an_early_absence_is_a_lie() {
    let early = Scenario {
        horizon: 2,
        ..RETENTION
    };
    breaks(early, Rule::AbsenceWaits, FAILED);
}

#[test]
fn rule_9_seen_once_an_absence_may_be_an_old_one() {
    breaks(RETENTION, Rule::AbsenceIsSeenTwice, FAILED);
}

#[test]
fn rule_10_without_its_client_nobody_may_take_up_what_is_pending() {
    breaks(RELEASES, Rule::ClientAloneResumes, BEHIND);
}

#[test]
fn rule_11_an_expiry_that_does_not_compare_ends_what_was_sent() {
    let expiring = Scenario {
        drives: 2,
        ..RELEASES
    };
    breaks(expiring, Rule::ExpiryCompares, FAILED);
}

#[test]
fn rule_12_without_the_fence_an_old_release_hides_what_was_sent() {
    breaks(RELEASES, Rule::ReleaseIsFenced, PENDING);
}

#[test]
fn rule_12_money_after_the_end_is_not_forgotten() {
    breaks(HASTY, Rule::StrayIsGivenBack, FAILED);
}

#[test]
fn rule_13_without_the_lease_s_end_a_driver_sends_behind_the_operator_s_back() {
    breaks(OPERATED_ONCE, Rule::WindowEndsWithLease, FAILED);
}

#[test]
fn rule_15_an_operator_waits_for_what_is_on_its_way() {
    breaks(OPERATED, Rule::OperatorWaits, FAILED);
}

#[test]
fn rule_15_an_operator_takes_nothing_from_a_driver_that_may_send_again() {
    breaks(OPERATED_ONCE, Rule::OperatorFollows, FAILED);
}

#[test]
fn rule_15_an_operator_looks_before_the_verdict() {
    breaks(OPERATED, Rule::OperatorLooks, FAILED);
}

/// A limit, not a rule: who does not want to wait until an absence settles by itself takes this risk.
#[test]
fn an_operator_s_failed_may_be_overtaken_by_a_request_that_outlasts_an_attempt() {
    let slow = Scenario {
        transit: 2,
        ..OPERATED_ONCE
    };
    is_broken(slow, FAILED);
}

#[test]
fn rule_17_with_a_shared_mark_two_drivers_believe_that_they_won() {
    breaks(LOSSES, Rule::OwnerIsUnique, PENDING);
}

#[test]
fn an_answer_before_its_commit_may_be_forgotten() {
    breaks(LOSSES, Rule::AnswerAfterCommit, COMMITTED);
}
