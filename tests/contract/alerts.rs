//! `deploy/alerts.yml` against the metrics that there are.

use std::{collections::BTreeSet, time::Duration};

use oncepay::{
    lookups::{Found, LookupWatch, Refused, Tier},
    provider::{NotSent, NotSentReason, Outcome},
    telemetry::{BatchKind, Metrics},
};

const ALERTS: &str = include_str!("../../deploy/alerts.yml");

/// Every series, each counted once.
fn exposed() -> String {
    let (metrics, took) = (Metrics::default(), Duration::from_millis(1));
    metrics.http.answered("/payments", "POST", 201, took);
    metrics.http.payment_answered("succeeded");
    metrics.store.written(BatchKind::Begin, 1, took);
    let outcome = Outcome::NotSent(NotSent {
        reason: NotSentReason::Unauthorized,
        detail: String::new(),
        retry_after: None,
    });
    metrics.provider.called("stripe", &outcome, took);
    drop(metrics.provider.call_begins("stripe"));
    metrics.provider.gate("stripe").transition("closed", "open");
    let forged = Found::Refused(Refused::Forged);
    metrics.lookups.looked_up(Tier::Redis, forged, took);
    metrics.actors.restarted("db");
    metrics.actors.in_doubt("stripe", 1, took);
    metrics.encode()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
}

#[test]
fn every_metric_of_the_alerts_is_exposed() {
    let text = exposed();
    let exposed: BTreeSet<_> = text
        .lines()
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    let named: BTreeSet<_> = words(ALERTS)
        .filter(|word| word.starts_with("oncepay_"))
        .collect();
    assert!(named.len() > 10, "{named:?}");
    let unknown: Vec<_> = named.difference(&exposed).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

/// A label or value that does not exist would make an alert that never fires.
#[test]
fn every_label_of_the_alerts_is_one_of_the_metric() {
    let text = exposed();
    for selector in ALERTS.split("oncepay_").skip(1) {
        let Some((name, rest)) = selector.split_once('{') else {
            continue;
        };
        if words(name).count() > 1 {
            continue; // The brace belongs to something else.
        }
        let (labels, _) = rest.split_once('}').unwrap();
        let series = text
            .lines()
            .find(|line| line.starts_with(&format!("oncepay_{name}{{")));
        let series = series.unwrap_or_else(|| panic!("{name} has no labels"));
        for label in labels
            .split(',')
            .map(|pair| pair.split(['=', '!']).next().unwrap())
        {
            assert!(
                series.contains(&format!("{label}=\"")),
                "{label} of {series}"
            );
        }
    }
}

#[test]
fn every_alert_says_how_grave_it_is_and_what_happened() {
    let alerts: Vec<_> = ALERTS.split("- alert: ").skip(1).collect();
    assert!(alerts.len() > 10);
    let names: BTreeSet<_> = alerts.iter().map(|alert| alert.lines().next()).collect();
    assert_eq!(names.len(), alerts.len(), "two have one name");
    for alert in alerts {
        let graded = ["critical", "warning"].map(|grade| format!("severity: {grade}\n"));
        assert!(graded.iter().any(|grade| alert.contains(grade)), "{alert}");
        assert!(
            alert.contains("expr: ") && alert.contains("summary: "),
            "{alert}"
        );
    }
}
