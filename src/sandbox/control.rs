//! The sandbox's own side: faults, ground truth and counters. No fault ever strikes it.

use std::sync::Arc;

use hyper::{Method, StatusCode};
use serde::Serialize;

use super::answer::{Answer, Refusal};
use super::faults::FaultPlan;
use super::faults_json::{self, FaultsError};
use super::form::Form;
use super::ground_truth::{self, ChargeFilter};
use super::world::World;

const FAULTS: &str = "/sandbox/faults";
const CHARGES: &str = "/sandbox/charges";
const STATS: &str = "/sandbox/stats";

/// Whether this path belongs to the sandbox and not to the provider that it plays.
pub(super) fn is_own_side(path: &str) -> bool {
    path == "/sandbox" || path.starts_with("/sandbox/")
}

pub(super) async fn respond(
    world: &Arc<World>,
    method: &Method,
    path: &str,
    query: &[u8],
    body: &[u8],
) -> Answer {
    match (method, path) {
        (&Method::GET, FAULTS) => Answer::ok(&faults_json::view(&world.enter().faults)),
        (&Method::PUT, FAULTS) => match faults_json::parse(body) {
            Ok(plan) => {
                set_faults(world, plan).await;
                Answer::ok(&faults_json::view(&world.enter().faults))
            }
            Err(error) => bad_faults(&error),
        },
        (&Method::DELETE, FAULTS) => {
            set_faults(world, FaultPlan::default()).await;
            Answer::ok(&faults_json::view(&world.enter().faults))
        }
        (&Method::GET, CHARGES) => match ChargeFilter::parse(&Form::parse(query)) {
            Ok(filter) => Answer::ok(&ground_truth::charges(&world.enter().ledger, &filter)),
            Err(refusal) => refusal.answer(),
        },
        (&Method::DELETE, CHARGES) => {
            let mut state = world.enter();
            state.reset();
            Answer::ok(&ground_truth::charges(&state.ledger, &ChargeFilter::all()))
        }
        (&Method::GET, STATS) => {
            let stats = world.enter().stats();
            Answer::ok(&stats)
        }
        (_, FAULTS) => not_allowed("GET, PUT and DELETE"),
        (_, CHARGES) => not_allowed("GET and DELETE"),
        (_, STATS) => not_allowed("GET"),
        _ => Refusal::unknown_url(method.as_str(), path).answer(),
    }
}

/// Puts a plan in force and returns once the main port follows it.
pub(super) async fn set_faults(world: &World, plan: FaultPlan) {
    world.enter().faults.replace(plan);
    world.main_port.apply().await;
}

#[derive(Serialize)]
struct Problem<'a> {
    error: Detail<'a>,
}

#[derive(Serialize)]
struct Detail<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    param: Option<&'a str>,
    message: String,
}

fn bad_faults(error: &FaultsError) -> Answer {
    let param = Some(error.field.as_str()).filter(|field| !field.is_empty());
    let message = if param.is_some() {
        error.to_string()
    } else {
        error.message.clone()
    };
    problem(StatusCode::BAD_REQUEST, param, message)
}

fn not_allowed(allowed: &str) -> Answer {
    let message = format!("This path knows {allowed} only.");
    problem(StatusCode::METHOD_NOT_ALLOWED, None, message)
}

fn problem(status: StatusCode, param: Option<&str>, message: String) -> Answer {
    let error = Detail {
        kind: "invalid_request_error",
        param,
        message,
    };
    Answer::json(status, &Problem { error })
}
