//! What holds in every story.

use super::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn jitter_never_makes_a_probe_come_early(failed_probes in 0..40_u32, chance in 0.0..1.0_f64) {
        let settings = BreakerSettings::default();
        let (shortest, wait) = (settings.wait(failed_probes, 0.0), settings.wait(failed_probes, chance));
        prop_assert!(shortest <= wait && wait <= shortest.mul_f64(1.25));
    }

    /// Any story: permits are never more than half-open has, every transition is one of the table,
    /// nothing is permitted while it is open, and left alone it always permits a call again.
    #[test]
    fn whatever_happens_the_machine_keeps_its_promises(
        story in prop::collection::vec((0..12_u8, 0..20_000_u64, 0.0..1.0_f64), 1..400),
    ) {
        let Bench { mut machine, mut now } = Bench::new();
        let mut held: Vec<(u64, Ticket)> = Vec::new();
        for (event, pause_ms, chance) in story {
            now += Duration::from_millis(pause_ms);
            let before = machine.state();
            match event {
                0..=4 => {
                    let may = machine.permits(Purpose::Client, now, 0.0);
                    let acquired = machine.acquire(Purpose::Client, now, chance);
                    // A half-open breaker found too late may be past its next wait already.
                    prop_assert!(acquired.is_ok() == may || before == S::HalfOpen);
                    held.extend(acquired.ok().map(|ticket| (machine.era, ticket)));
                }
                5..=9 => {
                    let result = [Success, Failure, Failure, Throttled, Ignored][usize::from(event - 5)];
                    if let Some((era, ticket)) = held.pop() {
                        let late = era != machine.era;
                        let overdue =
                            matches!(machine.phase, Phase::HalfOpen { until, .. } if now >= until);
                        machine.record(&ticket, result, Duration::from_millis(pause_ms), now, chance);
                        prop_assert!(!late || machine.state() == before || overdue);
                    }
                }
                10 => if let Some((_, ticket)) = held.pop() { machine.release(&ticket) },
                _ => {
                    let switches = [
                        OperatorSwitch::ForceOpen, OperatorSwitch::Disable,
                        OperatorSwitch::MetricsOnly, OperatorSwitch::Auto,
                    ];
                    machine.operate(switches[(pause_ms % 4) as usize], now);
                }
            }
            if let Phase::HalfOpen { permits, probes, .. } = machine.phase {
                let out = held.iter().filter(|(era, _)| *era == machine.era).count() as u32;
                prop_assert_eq!(permits + probes.calls + out, 3);
            }
            for transition in machine.take_transitions() {
                let by_operator = transition.reason == TransitionReason::Operator;
                let legal = matches!(
                    (transition.from, transition.to),
                    (S::Closed, S::Open) | (S::Open, S::HalfOpen)
                        | (S::HalfOpen, S::Closed | S::Open)
                );
                prop_assert!(legal || by_operator, "{:?}", transition);
            }
        }
        if machine.state() != S::ForcedOpen {
            // The longest wait with jitter, after half-open has ended.
            for _ in 0..2 {
                now += Duration::from_secs(30 + 375);
                if machine.acquire(Purpose::Client, now, 0.999).is_ok() {
                    return Ok(());
                }
            }
            prop_assert!(false, "it never permits a call again: {:?}", machine.phase);
        }
    }
}
