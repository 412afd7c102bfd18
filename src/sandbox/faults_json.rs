//! The fault plan as JSON, read so strictly that a typing error cannot pass for a quiet provider.

use serde::Serialize;
use serde_json::{Map, Value};

use super::faults::{CallClass, FaultKind, FaultPlan, FaultRule};
use super::faults_in_force::Faults;
use super::latency::{Latency, LatencyError};

/// What is wrong with a body, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{field}: {message}")]
pub(super) struct FaultsError {
    /// For example `rules[0].kind`; empty for the body as a whole.
    pub(super) field: String,
    /// For example ``must be one of `error_before`, ..``.
    pub(super) message: String,
}

fn wrong(field: impl Into<String>, message: impl Into<String>) -> FaultsError {
    FaultsError {
        field: field.into(),
        message: message.into(),
    }
}

/// Reads `{"latency_ms":{"p50":..,"p99":..},"rules":[..]}`; both members may be left out.
pub(super) fn parse(body: &[u8]) -> Result<FaultPlan, FaultsError> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| wrong("", format!("the body is not JSON: {error}")))?;
    let members = object(&value, "", &["latency_ms", "rules"])?;
    let latency = match members.get("latency_ms") {
        None | Some(Value::Null) => None,
        Some(latency) => Some(parse_latency(latency)?),
    };
    let rules = match members.get("rules") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(rules)) => rules
            .iter()
            .enumerate()
            .map(|(at, rule)| parse_rule(at, rule))
            .collect::<Result<_, _>>()?,
        Some(_) => return Err(wrong("rules", "must be a list")),
    };
    Ok(FaultPlan { latency, rules })
}

fn parse_latency(value: &Value) -> Result<Latency, FaultsError> {
    let members = object(value, "latency_ms", &["p50", "p99"])?;
    let percentile = |name: &str| match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_f64() {
            Some(ms) => Ok(Some(ms)),
            None => Err(wrong(
                format!("latency_ms.{name}"),
                "must be a number (milliseconds)",
            )),
        },
    };
    let p50 = percentile("p50")?.ok_or_else(|| wrong("latency_ms.p50", "is required"))?;
    let latency = match percentile("p99")? {
        None => Latency::constant(p50),
        Some(p99) => Latency::log_normal(p50, p99),
    };
    latency.map_err(|error| {
        let field = match error {
            LatencyError::P50 => "latency_ms.p50",
            LatencyError::P99 => "latency_ms.p99",
        };
        wrong(field, error.to_string())
    })
}

fn parse_rule(at: usize, value: &Value) -> Result<FaultRule, FaultsError> {
    let field = |name: &str| format!("rules[{at}].{name}");
    let known = &["kind", "rate", "times", "on", "lag_ms"];
    let members = object(value, &format!("rules[{at}]"), known)?;
    let given = |name: &str| members.get(name).filter(|value| !value.is_null());

    let kind = one_of(
        &field("kind"),
        members.get("kind"),
        &FaultKind::ALL,
        FaultKind::name,
    )?;
    let mut rule = FaultRule::new(kind);
    if let Some(rate) = given("rate") {
        let rate = rate.as_f64().filter(|rate| (0.0..=1.0).contains(rate));
        rule.rate = rate.ok_or_else(|| wrong(field("rate"), "must be a number from 0 to 1"))?;
    }
    if let Some(times) = given("times") {
        let message = "must be a whole number from 0, or null for ever";
        rule.times = Some(
            times
                .as_u64()
                .ok_or_else(|| wrong(field("times"), message))?,
        );
    }
    if let Some(lag_ms) = given("lag_ms") {
        if kind != FaultKind::LookupLag {
            return Err(wrong(field("lag_ms"), "belongs to `lookup_lag` only"));
        }
        let message = "must be a whole number of milliseconds";
        rule.lag_ms = lag_ms
            .as_u64()
            .ok_or_else(|| wrong(field("lag_ms"), message))?;
    }
    if let Some(on) = given("on") {
        rule.on = parse_on(&field("on"), on, kind)?;
    }
    Ok(rule)
}

fn parse_on(field: &str, value: &Value, kind: FaultKind) -> Result<Vec<CallClass>, FaultsError> {
    if kind == FaultKind::RefuseConnection {
        let message = "is not for `refuse_connection`: a refused connection carries no call";
        return Err(wrong(field, message));
    }
    let allowed: &[CallClass] = match kind {
        FaultKind::LookupLag => &[CallClass::Lookup],
        FaultKind::ForgetKeys => &CallClass::MONEY,
        _ => &CallClass::ALL,
    };
    let names = value
        .as_array()
        .filter(|names| !names.is_empty())
        .ok_or_else(|| {
            wrong(
                field,
                format!("must be a list of {}", names_of(allowed, CallClass::name)),
            )
        })?;
    let classes = names.iter().enumerate().map(|(at, name)| {
        one_of(
            &format!("{field}[{at}]"),
            Some(name),
            allowed,
            CallClass::name,
        )
    });
    classes.collect()
}

fn object<'a>(
    value: &'a Value,
    field: &str,
    known: &[&str],
) -> Result<&'a Map<String, Value>, FaultsError> {
    let members = value
        .as_object()
        .ok_or_else(|| wrong(field, "must be an object"))?;
    match members.keys().find(|name| !known.contains(&name.as_str())) {
        None => Ok(members),
        Some(name) => {
            let dot = if field.is_empty() { "" } else { "." };
            let message = format!("unknown field; allowed are `{}`", known.join("`, `"));
            Err(wrong(format!("{field}{dot}{name}"), message))
        }
    }
}

fn one_of<T: Copy>(
    field: &str,
    value: Option<&Value>,
    allowed: &[T],
    name: fn(T) -> &'static str,
) -> Result<T, FaultsError> {
    let given = value.and_then(Value::as_str);
    let found = allowed
        .iter()
        .copied()
        .find(|one| Some(name(*one)) == given);
    found.ok_or_else(|| wrong(field, format!("must be one of {}", names_of(allowed, name))))
}

fn names_of<T: Copy>(allowed: &[T], name: fn(T) -> &'static str) -> String {
    let names: Vec<_> = allowed.iter().map(|one| name(*one)).collect();
    format!("`{}`", names.join("`, `"))
}

/// The plan in force as JSON, with what is left of each rule and how often it fired.
#[derive(Debug, Serialize)]
pub(super) struct FaultsView {
    latency_ms: Option<LatencyView>,
    rules: Vec<RuleView>,
}

#[derive(Debug, Serialize)]
struct LatencyView {
    p50: f64,
    p99: f64,
}

#[derive(Debug, Serialize)]
struct RuleView {
    kind: &'static str,
    rate: f64,
    times: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    on: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lag_ms: Option<u64>,
    remaining: Option<u64>,
    fired: u64,
}

pub(super) fn view(faults: &Faults) -> FaultsView {
    let (latency, rules) = faults.in_force();
    let rules = rules.iter().map(|active| {
        let rule = &active.rule;
        let has_on = rule.kind != FaultKind::RefuseConnection;
        let classes = rule.on.iter().filter(|_| has_on);
        RuleView {
            kind: rule.kind.name(),
            rate: rule.rate,
            times: rule.times,
            on: classes.map(|class| class.name()).collect(),
            lag_ms: (rule.kind == FaultKind::LookupLag).then_some(rule.lag_ms),
            remaining: active.remaining,
            fired: active.fired,
        }
    });
    FaultsView {
        latency_ms: latency.map(|l| LatencyView {
            p50: l.p50_ms(),
            p99: l.p99_ms(),
        }),
        rules: rules.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_with_its_defaults() {
        let body = br#"{"latency_ms":{"p50":300},"rules":[{"kind":"error_after"},
            {"kind":"reset_after","rate":0.5,"times":3,"on":["refund","lookup"]},
            {"kind":"lookup_lag","times":null,"lag_ms":5}]}"#;

        let plan = parse(body).unwrap();

        let expected = FaultPlan {
            latency: Some(Latency::constant(300.0).unwrap()),
            rules: vec![
                FaultRule::new(FaultKind::ErrorAfter),
                FaultRule::new(FaultKind::ResetAfter)
                    .rate(0.5)
                    .times(3)
                    .on(&[CallClass::Refund, CallClass::Lookup]),
                FaultRule::new(FaultKind::LookupLag).lag_ms(5),
            ],
        };
        assert_eq!(plan, expected);
        assert_eq!(parse(b"{}").unwrap(), FaultPlan::default());
    }

    #[test]
    fn every_kind_and_class_is_read_by_its_name() {
        for kind in FaultKind::ALL {
            let body = format!(r#"{{"rules":[{{"kind":"{}"}}]}}"#, kind.name());
            assert_eq!(
                parse(body.as_bytes()).unwrap().rules,
                [FaultRule::new(kind)]
            );
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_what_is_allowed() {
        let cases = [
            ("[]", "", "must be an object"),
            ("{", "", "not JSON"),
            (
                r#"{"rule":[]}"#,
                "rule",
                "allowed are `latency_ms`, `rules`",
            ),
            (r#"{"rules":{}}"#, "rules", "must be a list"),
            (
                r#"{"rules":[{}]}"#,
                "rules[0].kind",
                "must be one of `refuse_connection`",
            ),
            (
                r#"{"rules":[{"kind":"oops"}]}"#,
                "rules[0].kind",
                "`lookup_lag`",
            ),
            (
                r#"{"rules":[{"kind":"unavailable","rate":2}]}"#,
                "rules[0].rate",
                "0 to 1",
            ),
            (
                r#"{"rules":[{"kind":"unavailable","times":-1}]}"#,
                "rules[0].times",
                "whole number",
            ),
            (
                r#"{"rules":[{"kind":"unavailable","on":["pay"]}]}"#,
                "rules[0].on[0]",
                "`capture`",
            ),
            (
                r#"{"rules":[{"kind":"unavailable","on":[]}]}"#,
                "rules[0].on",
                "list of",
            ),
            (
                r#"{"rules":[{"kind":"unavailable","x":1}]}"#,
                "rules[0].x",
                "unknown field",
            ),
            (
                r#"{"rules":[{"kind":"unavailable","lag_ms":1}]}"#,
                "rules[0].lag_ms",
                "lookup_lag",
            ),
            (
                r#"{"rules":[{"kind":"refuse_connection","on":["create"]}]}"#,
                "rules[0].on",
                "not for",
            ),
            (r#"{"latency_ms":5}"#, "latency_ms", "must be an object"),
            (r#"{"latency_ms":{"p99":5}}"#, "latency_ms.p50", "required"),
            (
                r#"{"latency_ms":{"p50":-5}}"#,
                "latency_ms.p50",
                "0 to 60000",
            ),
            (
                r#"{"latency_ms":{"p50":5,"p99":4}}"#,
                "latency_ms.p99",
                "from p50",
            ),
            (
                r#"{"latency_ms":{"p50":"5"}}"#,
                "latency_ms.p50",
                "must be a number",
            ),
        ];
        for (body, field, message) in cases {
            let error = parse(body.as_bytes()).unwrap_err();
            assert_eq!(error.field, field, "{body}");
            assert!(error.message.contains(message), "{body}: {error}");
        }
    }
}
