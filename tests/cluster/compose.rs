//! `deploy/compose.yaml` against the program and the balancer that it starts.

use std::collections::BTreeMap;

use oncepay::config::{Config, Flags};

use crate::harness::{ADMIN_KEY, API_KEY, check_configuration};

const COMPOSE: &str = include_str!("../../deploy/compose.yaml");
const HAPROXY: &str = include_str!("../../deploy/haproxy.cfg");

/// The variables whose name `is_ours`, as the file sets them for a container.
fn variables(is_ours: impl Fn(&str) -> bool) -> BTreeMap<&'static str, String> {
    let pairs = COMPOSE
        .lines()
        .filter_map(|line| line.trim().split_once(": "));
    pairs
        .filter(|(name, _)| is_ours(name))
        .map(|(name, value)| (name, interpolated(value.trim_matches('"'))))
        .collect()
}

/// `${NAME:?}` as somebody would set it, and `${NAME:-default}` as nobody did.
fn interpolated(value: &str) -> String {
    let Some((before, rest)) = value.split_once("${") else {
        return value.to_owned();
    };
    let (name, after) = rest.split_once('}').unwrap();
    let set = match name.split_once(":-") {
        Some((_, default)) => default,
        None => match name.strip_suffix(":?").expect("no secret has a default") {
            "ONCEPAY_BOOTSTRAP_API_KEY" => API_KEY,
            "ONCEPAY_BOOTSTRAP_ADMIN_KEY" => ADMIN_KEY,
            _ => "secret",
        },
    };
    format!("{before}{set}{after}")
}

#[test]
fn the_program_knows_every_variable_that_it_is_given() {
    let given = variables(|name| name.starts_with("ONCEPAY_") || name == "DATABASE_URL");
    assert!(given.len() >= 7, "{given:?}");
    let given = given
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()));
    let config = Config::load(Flags::default(), given, None).unwrap();
    assert_eq!(config.providers[0].url, "http://sandbox:8081");
    assert!(config.bootstrap.api_key.is_some() && config.bootstrap.admin_key.is_some());
}

#[test]
fn the_balancer_takes_every_variable_that_it_is_given() {
    let given = variables(|name| name.starts_with("LB_"));
    assert!(given.len() >= 4, "{given:?}");
    for name in given.keys() {
        assert!(HAPROXY.contains(&format!("\"${{{name}")), "{name}");
    }
    let given: Vec<_> = given
        .iter()
        .map(|(name, value)| (*name, &**value))
        .collect();
    let checked = check_configuration(&given);
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{said}");
}
