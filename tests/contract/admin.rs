//! What an operator sees of the providers, and sets.

use futures_util::future::join_all;
use oncepay::sandbox::{FaultKind, FaultPlan, FaultRule};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::harness::{ADMIN_KEY, API_KEY, Backend, World, eur, send};

const PATHS: [(Method, &str); 4] = [
    (Method::GET, "/admin/providers"),
    (Method::GET, "/admin/providers/stripe"),
    (Method::PUT, "/admin/providers/stripe/breaker"),
    (Method::GET, "/admin/events"),
];

fn as_admin(world: &World, method: Method, path: &str) -> RequestBuilder {
    world.request(method, path).bearer_auth(ADMIN_KEY)
}

async fn provider(world: &World) -> Value {
    let request = as_admin(world, Method::GET, "/admin/providers/stripe");
    send(request).await.expect(200).json()
}

fn setting(world: &World, body: &str) -> RequestBuilder {
    as_admin(world, Method::PUT, "/admin/providers/stripe/breaker")
        .header("content-type", "application/json")
        .body(body.to_owned())
}

async fn set(world: &World, state: &str) -> Value {
    let body = json!({ "state": state }).to_string();
    send(setting(world, &body)).await.expect(200).json()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_paths_are_for_admin_keys() {
    let world = World::start(Backend::Sqlite).await;
    for (method, path) in PATHS {
        let nobody = send(world.request(method.clone(), path)).await;
        drop(nobody.expect_problem(401, "unauthenticated"));
        let merchant = world.request(method, path).bearer_auth(API_KEY);
        drop(send(merchant).await.expect_problem(403, "forbidden"));
    }
    let wrong = as_admin(&world, Method::POST, "/admin/providers/stripe/breaker");
    let wrong = send(wrong).await;
    assert_eq!(wrong.header("allow"), Some("PUT"));
    drop(wrong.expect_problem(405, "method_not_allowed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_provider_shows_its_numbers() {
    let world = World::start(Backend::Sqlite).await;
    // At once: what a call adds to the retry budget is forgotten after some seconds.
    let (keys, body) = (
        (0..20).map(|n| format!("k-{n}")).collect::<Vec<_>>(),
        eur(1),
    );
    for answer in join_all(keys.iter().map(|key| world.pay(key, &body))).await {
        drop(answer.expect(201));
    }
    let shown = provider(&world).await;
    let expected = json!({
        "object": "provider", "name": "stripe", "routed": true, "available": true,
        "breaker": {
            "state": "closed", "retry_at": null, "failure_rate": 0.0, "slow_call_rate": 0.0,
            "window_s": 30, "calls": 20, "failed": 0, "slow": 0, "not_permitted": 0,
            "transitions": [],
        },
        "concurrency": {"limit": 512, "in_flight": 0, "settling": 0},
        "retry_budget": {"tokens": 12},
    });
    assert_eq!(shown, expected);
    let list = send(as_admin(&world, Method::GET, "/admin/providers")).await;
    assert_eq!(list.expect(200).json(), json!({ "data": [expected] }));
    let other = as_admin(&world, Method::GET, "/admin/providers/other");
    drop(send(other).await.expect_problem(404, "not_found"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_breaker_shows_why_and_until_when() {
    let world = World::start(Backend::Sqlite).await;
    world
        .inject(FaultRule::new(FaultKind::RefuseConnection))
        .await;
    for n in 0..3 {
        let answer = world.pay(&format!("k-{n}"), &eur(1)).await;
        drop(answer.expect_problem(503, "provider_unavailable"));
    }
    let refused = world.pay("k-3", &eur(1)).await;
    let retry_after: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    // The breaker's ten seconds and its jitter, spread up to their double.
    assert!((5..=26).contains(&retry_after), "{retry_after}");
    let shown = provider(&world).await;
    assert_eq!(shown["available"], false);
    let breaker = &shown["breaker"];
    assert_eq!(
        (&breaker["state"], &breaker["failed"]),
        (&json!("open"), &json!(5))
    );
    assert_eq!(
        breaker["failure_rate"],
        Value::Null,
        "too few calls for a rate"
    );
    assert!(breaker["not_permitted"].as_u64().unwrap() > 0);
    let transition = &breaker["transitions"][0];
    assert_eq!(transition["reason"], "consecutive_failures");
    // RFC 3339 in UTC sorts as text.
    assert!(breaker["retry_at"].as_str() > transition["at"].as_str());

    world.inject(FaultPlan::default()).await;
    set(&world, "auto").await;
    drop(world.pay("k-3", &eur(1)).await.expect(201));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_holds_the_breaker_open_and_gives_it_back() {
    let world = World::start(Backend::Sqlite).await;
    let shown = set(&world, "forced_open").await;
    assert_eq!(shown["breaker"]["state"], "forced_open");
    assert_eq!(shown["breaker"]["transitions"][0]["reason"], "operator");
    let answer = world.pay("k", &eur(1)).await;
    let problem = answer.expect_problem(503, "provider_unavailable");
    assert_eq!(problem["payment"]["status"], "pending");
    assert_eq!(world.sandbox.stats().distinct_keys, 0);

    let again = set(&world, "forced_open").await;
    let transitions = again["breaker"]["transitions"].as_array().unwrap().len();
    assert_eq!(transitions, 1, "what is set already is no transition");
    for state in ["disabled", "metrics_only"] {
        assert_eq!(set(&world, state).await["breaker"]["state"], state);
    }
    assert_eq!(set(&world, "auto").await["breaker"]["state"], "closed");
    drop(world.pay("k", &eur(1)).await.expect(201));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_that_is_not_one_is_refused_and_changes_nothing() {
    let world = World::start(Backend::Sqlite).await;
    for (body, status, code, says) in [
        ("", 400, "malformed_request", "not one valid JSON value"),
        ("[]", 400, "malformed_request", "must be a JSON object"),
        (
            r#"{"state":"auto","state":"disabled"}"#,
            400,
            "malformed_request",
            "twice",
        ),
        ("{}", 422, "validation_failed", "/state is required"),
        (
            r#"{"state":null}"#,
            422,
            "validation_failed",
            "/state is required",
        ),
        (
            r#"{"state":"open"}"#,
            422,
            "validation_failed",
            "must be `forced_open`",
        ),
        (
            r#"{"state":1}"#,
            422,
            "validation_failed",
            "must be a string",
        ),
        (
            r#"{"state":"disabled","for_s":60}"#,
            422,
            "validation_failed",
            "/for_s is not a known field",
        ),
    ] {
        let problem = send(setting(&world, body))
            .await
            .expect_problem(status, code);
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(says), "{body}: {detail}");
    }
    let bare = as_admin(&world, Method::PUT, "/admin/providers/stripe/breaker");
    drop(
        send(bare)
            .await
            .expect_problem(415, "unsupported_media_type"),
    );
    let other = as_admin(&world, Method::PUT, "/admin/providers/other/breaker")
        .header("content-type", "application/json")
        .body(r#"{"state":"disabled"}"#);
    drop(send(other).await.expect_problem(404, "not_found"));
    assert_eq!(provider(&world).await["breaker"]["transitions"], json!([]));
}

/// A stream of events, and what came of it so far.
struct Events {
    response: Response,
    text: String,
}

impl Events {
    async fn open(world: &World) -> Self {
        let response = as_admin(world, Method::GET, "/admin/events")
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut events = Self {
            response,
            text: String::new(),
        };
        assert!(events.piece().await.unwrap().starts_with("retry: "));
        events
    }

    /// The next piece, up to the empty line that ends it; none at the stream's end.
    async fn piece(&mut self) -> Option<String> {
        loop {
            if let Some((piece, rest)) = self.text.split_once("\n\n") {
                let (piece, rest) = (piece.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(piece);
            }
            let chunk = self.response.chunk().await.unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_listener_hears_every_change_in_order() {
    let world = World::start(Backend::Sqlite).await;
    let mut listeners = [Events::open(&world).await, Events::open(&world).await];
    for state in ["forced_open", "disabled", "auto"] {
        set(&world, state).await;
    }
    for events in &mut listeners {
        for (id, from, to) in [
            (1, "closed", "forced_open"),
            (2, "forced_open", "disabled"),
            (3, "disabled", "closed"),
        ] {
            let piece = events.piece().await.unwrap();
            let lines: Vec<_> = piece.lines().collect();
            let [first, "event: breaker", data] = lines[..] else {
                panic!("{piece}");
            };
            assert_eq!(first, format!("id: {id}"));
            let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            assert!(data["at"].is_string());
            let told = [
                &data["provider"],
                &data["from"],
                &data["to"],
                &data["reason"],
            ];
            assert_eq!(told, ["stripe", from, to, "operator"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_stream_beats() {
    let world = World::start(Backend::Sqlite).await;
    let mut events = Events::open(&world).await;
    assert_eq!(events.piece().await.unwrap(), ": still here");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_bounded_and_one_that_ends_makes_room() {
    let world = World::start(Backend::Sqlite).await;
    let mut streams = Vec::new();
    for _ in 0..32 {
        streams.push(Events::open(&world).await);
    }
    let one_more = || send(as_admin(&world, Method::GET, "/admin/events"));
    let refused = one_more().await;
    assert!(refused.header("retry-after").is_some());
    drop(refused.expect_problem(503, "overloaded"));

    streams.pop();
    crate::harness::eventually("there is room again", || async {
        let response = as_admin(&world, Method::GET, "/admin/events").send();
        (response.await.unwrap().status() == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_ends_its_streams() {
    let mut world = World::start(Backend::Sqlite).await;
    let mut events = Events::open(&world).await;
    world.server.signal("TERM");
    assert_eq!(events.piece().await, None, "it ended in good order");
    let status = world.server.ended(std::time::Duration::from_secs(20)).await;
    assert!(status.success(), "{status}\n{}", world.server.output());
}
