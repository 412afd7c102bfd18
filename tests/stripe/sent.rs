//! What goes out.

use tokio::join;

use super::server::Server;
use super::*;

#[tokio::test]
async fn rule_6_the_stored_body_goes_out_byte_for_byte_under_the_stored_key() {
    let server = Server::start().await;
    let provider = provider(&server.url, PATIENCE);
    let call = call(&provider);

    let (outcome, request) = join!(provider.send(&call), async {
        let mut peer = server.accept().await;
        let request = peer.request().await;
        peer.answer("200 OK", &intent("succeeded")).await;
        request
    });

    assert_eq!(line(&outcome), "approved pi_1");
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert_eq!(body.as_bytes(), call.request);
    let mut lines = head.lines();
    assert_eq!(lines.next(), Some("POST /v1/payment_intents HTTP/1.1"));
    let mut headers: Vec<_> = lines.map(str::to_owned).collect();
    headers.sort();
    let host = server.url.trim_start_matches("http://");
    assert_eq!(
        headers,
        [
            "accept: */*".to_owned(),
            "authorization: Bearer sk_sandbox_1".to_owned(),
            format!("content-length: {}", body.len()),
            "content-type: application/x-www-form-urlencoded".to_owned(),
            format!("host: {host}"),
            "idempotency-key: oncepay_1".to_owned(),
            "stripe-version: 2024-06-20".to_owned(),
            format!("user-agent: oncepay/{}", env!("CARGO_PKG_VERSION")),
            "x-request-id: req_00000000000000000000000009".to_owned(),
        ]
    );
}

#[tokio::test]
async fn rule_6_the_same_call_sends_the_same_bytes_again() {
    let server = Server::start().await;
    let provider = provider(&server.url, PATIENCE);
    let call = call(&provider);

    let (_, _, (one, two)) = join!(provider.send(&call), provider.send(&call), async {
        let mut peers = [server.accept().await, server.accept().await];
        let [one, two] = &mut peers;
        let requests = join!(one.request(), two.request());
        one.answer("200 OK", &intent("succeeded")).await;
        two.answer("200 OK", &intent("succeeded")).await;
        requests
    });

    assert_eq!(one, two);
}

#[tokio::test]
async fn rule_6_the_stored_version_of_the_protocol_goes_out_whatever_is_configured_now() {
    let server = Server::start().await;
    let provider = provider(&server.url, PATIENCE);
    let call = Call {
        api_version: "2023-10-16".into(),
        ..call(&provider)
    };

    let (_, request) = join!(provider.send(&call), async {
        let mut peer = server.accept().await;
        let request = peer.request().await;
        peer.answer("200 OK", &intent("succeeded")).await;
        request
    });

    assert!(
        request.contains("\r\nstripe-version: 2023-10-16\r\n"),
        "{request}"
    );
}

#[tokio::test]
async fn the_headers_of_an_answer_are_read() {
    let server = Server::start().await;
    let provider = provider(&server.url, PATIENCE);
    let call = call(&provider);
    let error = r#"{"error":{"type":"api_error"}}"#;

    let (limited, _) = join!(provider.send(&call), async {
        let mut peer = server.accept().await;
        peer.request().await;
        let head = "429 Too Many Requests\r\nRetry-After: 7\r\nConnection: close";
        peer.answer(head, error).await;
    });
    let (stored, _) = join!(provider.send(&call), async {
        let mut peer = server.accept().await;
        peer.request().await;
        let head = "500 Internal Server Error\r\nIdempotent-Replayed: true";
        peer.answer(head, error).await;
    });

    let Outcome::NotSent(limited) = limited else {
        panic!("a 429 of the provider is no attempt");
    };
    assert_eq!(limited.retry_after, Some(Duration::from_secs(7)));
    assert_eq!(line(&stored), in_doubt(InDoubtReason::StoredServerError));
}

#[test]
fn neither_the_secret_nor_the_means_of_payment_is_shown() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let provider = provider_on(runtime.handle().clone(), "http://127.0.0.1:1", PATIENCE);
    let text = format!("{provider:?} {:?}", call(&provider));
    assert!(
        !text.contains("sk_sandbox") && !text.contains("pm_card"),
        "{text}"
    );
}
