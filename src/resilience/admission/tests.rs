use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

type Gate = Admission<u8, (u8, u16)>;
type Held = AdmissionPermit<u8, (u8, u16)>;

fn gate(places_max: usize, seats_max: usize) -> Gate {
    Gate::new(AdmissionBounds {
        places_max,
        seats_max,
    })
}

/// Takes places for `tenant`, each for an operation of its own, until it is refused.
fn greedy(gate: &Gate, tenant: u8) -> (Vec<Held>, NotAdmitted) {
    let mut held = Vec::new();
    for key in 0.. {
        match gate.admit(tenant, (tenant, key)) {
            Ok(permit) => held.push(permit),
            Err(refused) => return (held, refused),
        }
    }
    unreachable!("the range of keys is larger than any house here")
}

#[test]
fn a_tenant_grows_while_it_has_less_than_alpha_times_the_room_that_would_be_left() {
    use NotAdmitted::{Full, Share};
    // Its own places, all that are taken, and all there are.
    for (own, taken, places_max, expected) in [
        (0, 0, 1, Ok(())),
        (1, 1, 1, Err(Full)),
        (0, 1, 1, Err(Full)),
        (0, 0, 2, Ok(())),
        (1, 1, 2, Err(Share)),
        (0, 1, 2, Ok(())),
        (1, 1, 3, Ok(())),
        (2, 2, 3, Err(Share)),
        (2, 2, 4, Ok(())),
        (3, 3, 4, Err(Share)),
        (79, 79, 100, Ok(())),
        (80, 80, 100, Err(Share)),
        (1, 80, 100, Ok(())),
        (75, 80, 100, Ok(())),
        (76, 80, 100, Err(Share)),
        (0, 99, 100, Ok(())),
        (1, 99, 100, Err(Share)),
        (0, 100, 100, Err(Full)),
        (5, 200, 100, Err(Full)),
    ] {
        let got = may_grow(own, taken, places_max);
        assert_eq!(got, expected, "{own} of {taken} of {places_max}");
    }
}

#[test]
fn one_greedy_tenant_gets_four_fifths_and_two_get_four_ninths_each() {
    let gate = gate(900, 1);
    let (alone, refused) = greedy(&gate, 1);
    assert_eq!((alone.len(), refused), (720, NotAdmitted::Share));
    drop(alone);

    let (mut one, mut other) = (Vec::new(), Vec::new());
    for key in 0..900 {
        one.extend(gate.admit(1, (1, key)));
        other.extend(gate.admit(2, (2, key)));
    }
    assert_eq!((one.len(), other.len()), (400, 400));
}

#[test]
fn duplicates_share_a_place_and_take_room_from_nobody() {
    let gate = gate(10, 3);
    let seats: Vec<_> = (0..3).map(|_| gate.admit(1, (1, 0)).unwrap()).collect();
    assert_eq!(gate.in_flight(), 1);
    assert_eq!(gate.admit(1, (1, 0)).unwrap_err(), NotAdmitted::Seats);
    let other = gate.admit(1, (1, 1)).unwrap();
    assert_eq!(gate.in_flight(), 2);
    drop(seats);
    assert_eq!(gate.in_flight(), 1);
    drop(other);
    assert_eq!(gate.in_flight(), 0);
}

#[test]
fn a_duplicate_is_let_in_even_when_its_tenant_may_not_grow() {
    let gate = gate(5, 2);
    let (_held, refused) = greedy(&gate, 1);
    assert_eq!(refused, NotAdmitted::Share);
    assert!(gate.admit(1, (1, 0)).is_ok());
}

#[test]
fn a_closed_house_lets_nobody_in_and_those_inside_leave_as_they_like() {
    let gate = gate(5, 5);
    let inside = gate.admit(1, (1, 0)).unwrap();
    gate.close();
    assert_eq!(gate.admit(1, (1, 0)).unwrap_err(), NotAdmitted::Closed);
    assert_eq!(gate.admit(2, (2, 0)).unwrap_err(), NotAdmitted::Closed);
    drop(inside);
    assert_eq!(gate.in_flight(), 0);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Comes { tenant: u8, key: u16 },
    Leaves { which: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let comes = (0..4_u8, 0..40_u16).prop_map(|(tenant, key)| Step::Comes { tenant, key });
    let leaves = any::<usize>().prop_map(|which| Step::Leaves { which });
    prop::collection::vec(prop_oneof![2 => comes, 1 => leaves], 0..400)
}

proptest! {
    #[test]
    fn counts_are_exact_within_the_bounds_and_all_is_given_back(
        places_max in 1..30_usize, seats_max in 1..4_usize, steps in steps(),
    ) {
        let gate = gate(places_max, seats_max);
        let mut inside: Vec<Held> = Vec::new();
        for step in steps {
            match step {
                Step::Comes { tenant, key } => inside.extend(gate.admit(tenant, (tenant, key))),
                Step::Leaves { which } if !inside.is_empty() => {
                    drop(inside.swap_remove(which % inside.len()));
                }
                Step::Leaves { .. } => {}
            }
            let keys: HashSet<_> = inside.iter().map(|permit| permit.key).collect();
            let house = held(&gate.house);
            prop_assert!(house.places.len() <= places_max);
            prop_assert_eq!(house.places.len(), keys.len());
            for (key, seats) in &house.places {
                let holders = inside.iter().filter(|permit| permit.key == *key).count();
                prop_assert_eq!(*seats, holders);
                prop_assert!(*seats <= seats_max);
            }
            let tenants: HashSet<_> = keys.iter().map(|(tenant, _)| *tenant).collect();
            prop_assert_eq!(house.tenants.len(), tenants.len(), "none is remembered at zero");
            for (tenant, places) in &house.tenants {
                prop_assert_eq!(*places, keys.iter().filter(|(of, _)| of == tenant).count());
            }
        }
        drop(inside);
        let house = held(&gate.house);
        prop_assert!(house.places.is_empty() && house.tenants.is_empty());
    }

    #[test]
    fn beside_a_greedy_tenant_there_is_always_room_for_another(places_max in 2..500_usize) {
        let gate = gate(places_max, 1);
        let (hoard, refused) = greedy(&gate, 1);
        prop_assert_eq!(refused, NotAdmitted::Share);
        prop_assert!(hoard.len() < places_max);
        let other = gate.admit(2, (2, 0));
        prop_assert!(other.is_ok());
        // What the newcomer gives back is not the hoarder's.
        drop(other);
        let again = gate.admit(1, (1, u16::MAX));
        prop_assert_eq!(again.unwrap_err(), NotAdmitted::Share);
    }

    #[test]
    fn a_newcomer_is_let_in_as_long_as_there_is_a_place(
        places_max in 1..50_usize, others in prop::collection::vec((1..20_u8, 0..100_u16), 0..200),
    ) {
        let gate = gate(places_max, 1);
        let inside: Vec<_> = others.iter()
            .filter_map(|&(tenant, key)| gate.admit(tenant, (tenant, key)).ok())
            .collect();
        let full = inside.len() == places_max;
        prop_assert_eq!(gate.admit(0, (0, 0)).is_err(), full);
    }
}
