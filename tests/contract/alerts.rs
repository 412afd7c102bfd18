//! `deploy/alerts.yml` against what a server exposes that has done nothing yet.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;

use crate::harness::{Backend, Knobs, ProviderKnobs, World, eventually, send};

const ALERTS: &str = include_str!("../../deploy/alerts.yml");
const PROVIDERS: [&str; 2] = ["first", "second"];

type Labels = BTreeMap<String, String>;

/// What an alert looks at.
#[derive(Debug)]
struct Selector<'a> {
    metric: &'a str,
    /// Every set of labels that it names; one that names none has one empty set.
    labels: Vec<Labels>,
}

/// The alerts: the name of each, and its expression.
fn alerts() -> Vec<(&'static str, &'static str)> {
    let alerts = ALERTS.split("- alert: ").skip(1).map(|alert| {
        let (name, rest) = alert.split_once('\n').unwrap();
        let (_, rest) = rest.split_once("expr: ").unwrap();
        let ends = ["\n        for:", "\n        labels:"].map(|end| rest.find(end));
        (name, &rest[..ends.into_iter().flatten().min().unwrap()])
    });
    alerts.collect()
}

fn is_of_a_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn selectors(expression: &str) -> Vec<Selector<'_>> {
    let begins = expression.match_indices("oncepay_").map(|(at, _)| at);
    let selectors = begins.map(|at| {
        let rest = &expression[at..];
        let end = rest.find(|c| !is_of_a_name(c)).unwrap_or(rest.len());
        let (metric, rest) = rest.split_at(end);
        let matchers = rest.strip_prefix('{').map(|rest| rest.split_once('}'));
        let matchers = matchers.map_or("", |matchers| matchers.unwrap().0);
        let nothing_named = vec![Labels::new()];
        let labels = matchers.split_terminator(',').fold(nothing_named, with);
        Selector { metric, labels }
    });
    selectors.collect()
}

/// Each of the sets with each of the values that a matcher, `name="a"` or `name=~"a|b"`, lets pass.
fn with(sets: Vec<Labels>, matcher: &str) -> Vec<Labels> {
    let (name, value) = matcher.split_once('=').unwrap();
    assert!(name.chars().all(is_of_a_name), "not understood: {matcher}");
    let (several, quoted) = match value.strip_prefix('~') {
        Some(quoted) => (true, quoted),
        None => (false, value),
    };
    let values = quoted.strip_prefix('"').unwrap().strip_suffix('"').unwrap();
    let values: Vec<_> = if several {
        values.split('|').collect()
    } else {
        vec![values]
    };
    let named = |set: &Labels, value: &&str| {
        let mut set = set.clone();
        set.insert(name.to_owned(), (*value).to_owned());
        set
    };
    let sets = sets.iter();
    sets.flat_map(|set| values.iter().map(move |value| named(set, value)))
        .collect()
}

/// The series of a server: the labels of each, by their metric.
fn series(metrics: &str) -> BTreeMap<String, Vec<Labels>> {
    let mut series = BTreeMap::<_, Vec<_>>::new();
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let (name, _) = line.rsplit_once(' ').unwrap();
        let (metric, labels) = name.split_once('{').unwrap_or((name, "}"));
        let labels = labels.strip_suffix('}').unwrap();
        let labels = labels.split_terminator(',').map(|label| {
            let (name, value) = label.split_once('=').unwrap();
            (name.to_owned(), value.trim_matches('"').to_owned())
        });
        let labels = labels.collect::<Labels>();
        series.entry(metric.to_owned()).or_default().push(labels);
    }
    series
}

/// The labels that an expression groups by.
fn grouped_by(expression: &str) -> BTreeSet<&str> {
    let groups = expression.split("by (").skip(1);
    let groups = groups.map(|rest| rest.split_once(')').unwrap().0);
    groups.flat_map(|group| group.split(", ")).collect()
}

/// To Prometheus, a series that begins with its first event has not risen: who would be told of one
/// `key_mismatch` is told of none. So all that an alert looks at is there before anything happens, at
/// each provider, and with the labels that it is grouped by.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_an_alert_looks_at_is_there_before_it_happens() {
    let providers = PROVIDERS.map(ProviderKnobs::named).to_vec();
    let world = World::start_at(Backend::Sqlite, Knobs::default(), providers).await;
    let metrics = eventually("what is in doubt was counted once", || async {
        let answer = send(world.request(Method::GET, "/metrics")).await;
        let text = String::from_utf8(answer.expect(200).body).unwrap();
        let counted = "\noncepay_operations_in_doubt_oldest_age_seconds{";
        text.contains(counted).then_some(text)
    })
    .await;
    let series = series(&metrics);

    let (mut looked_at, mut missing) = (0, Vec::new());
    for (alert, expression) in alerts() {
        let groups = grouped_by(expression);
        for Selector { metric, mut labels } in selectors(expression) {
            looked_at += 1;
            let there = series.get(metric).map_or(&[][..], Vec::as_slice);
            if there.iter().any(|labels| labels.contains_key("provider")) {
                labels = with(labels, &format!("provider=~\"{}\"", PROVIDERS.join("|")));
            }
            for wanted in labels {
                let is_there = there.iter().any(|labels| {
                    let mut wanted = wanted.iter();
                    wanted.all(|(name, value)| labels.get(name) == Some(value))
                        && groups.iter().all(|name| labels.contains_key(*name))
                });
                if !is_there {
                    missing.push(format!("{alert}: {metric} {wanted:?}"));
                }
            }
        }
    }
    assert!(looked_at > 15, "the alerts are not understood: {looked_at}");
    assert!(missing.is_empty(), "{missing:#?}");
}

/// A series that the server has and that no event can have made.
#[tokio::test(flavor = "multi_thread")]
async fn every_actor_is_counted_before_it_crashes() {
    let world = World::start(Backend::Sqlite).await;
    let answer = send(world.request(Method::GET, "/metrics")).await;
    let series = series(&String::from_utf8(answer.expect(200).body).unwrap());
    let actors = &series["oncepay_actor_restarts_total"];
    let actors: BTreeSet<_> = actors.iter().map(|labels| &*labels["actor"]).collect();
    let every = ["db", "key_router", "provider", "recovery"];
    assert_eq!(actors, BTreeSet::from(every));
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

#[test]
fn an_expression_is_read_as_prometheus_reads_it() {
    let text = "sum by (le, kind) (rate(oncepay_a_bucket{b=\"1\",c=~\"2|3\"}[5m])) / oncepay_d > 0";
    let read: Vec<_> = selectors(text).into_iter().collect();
    let metrics: Vec<_> = read.iter().map(|selector| selector.metric).collect();
    assert_eq!(metrics, ["oncepay_a_bucket", "oncepay_d"]);
    let set = |c: &str| Labels::from([("b", "1"), ("c", c)].map(|(n, v)| (n.into(), v.into())));
    assert_eq!(read[0].labels, [set("2"), set("3")]);
    assert_eq!(read[1].labels, [Labels::new()]);
    assert_eq!(grouped_by(text), BTreeSet::from(["le", "kind"]));
}
