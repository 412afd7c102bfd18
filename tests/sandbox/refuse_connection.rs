//! The fault that closes the port: connects are really refused.

use std::io::ErrorKind;

use oncepay::sandbox::{FaultKind, FaultPlan, FaultRule, Latency};
use tokio::net::TcpStream;

use crate::harness::{Bed, eventually, io_kind, send};

impl Bed {
    /// Why the main port takes no connection, if it takes none.
    async fn connect_error(&self) -> Option<ErrorKind> {
        TcpStream::connect(self.sandbox.address())
            .await
            .err()
            .map(|error| error.kind())
    }
}

#[tokio::test]
async fn connects_are_refused_until_the_fault_is_taken_back() {
    let bed = Bed::new().await;
    bed.charge("before").await.expect(200);

    bed.sandbox
        .set_faults(FaultRule::new(FaultKind::RefuseConnection))
        .await;

    assert_eq!(
        bed.connect_error().await,
        Some(ErrorKind::ConnectionRefused)
    );
    eventually(async || {
        bed.try_charge("k")
            .await
            .is_err_and(|error| error.is_connect())
    })
    .await;
    let error = bed.try_charge("k").await.unwrap_err();
    assert_eq!(
        io_kind(&error),
        Some(ErrorKind::ConnectionRefused),
        "{error:?}"
    );
    assert_eq!(bed.charged("k"), 0);

    bed.sandbox.clear_faults().await;

    assert_eq!(bed.connect_error().await, None);
    bed.charge("k").await.expect(200);
}

#[tokio::test]
async fn the_control_port_answers_while_the_main_port_refuses() {
    let bed = Bed::new().await;
    let control = format!("http://{}", bed.sandbox.control_address());
    let body = r#"{"rules":[{"kind":"refuse_connection"}]}"#;

    send(bed.http.put(format!("{control}/sandbox/faults")).body(body))
        .await
        .unwrap()
        .expect(200);
    assert_eq!(
        bed.connect_error().await,
        Some(ErrorKind::ConnectionRefused)
    );
    let charges = bed.http.get(format!("{control}/sandbox/charges"));
    assert_eq!(send(charges).await.unwrap().expect(200).body["count"], 0);
    send(bed.http.delete(format!("{control}/sandbox/faults")))
        .await
        .unwrap()
        .expect(200);

    bed.charge("k").await.expect(200);
}

#[tokio::test]
async fn the_main_port_can_close_itself_and_still_answers_that_request() {
    let bed = Bed::new().await;
    let body = r#"{"rules":[{"kind":"refuse_connection"}]}"#;

    bed.own_side(reqwest::Method::PUT, "/sandbox/faults", body)
        .await
        .expect(200);

    assert_eq!(
        bed.connect_error().await,
        Some(ErrorKind::ConnectionRefused)
    );
}

#[tokio::test]
async fn a_number_of_slots_passes_by_itself() {
    let bed = Bed::new().await;

    bed.sandbox
        .set_faults(FaultRule::new(FaultKind::RefuseConnection).times(2))
        .await;

    assert_eq!(
        bed.connect_error().await,
        Some(ErrorKind::ConnectionRefused)
    );
    eventually(async || bed.connect_error().await.is_none()).await;
    bed.charge("k").await.expect(200);
    assert_eq!(bed.sandbox.faults_fired(), [2]);
}

#[tokio::test]
async fn a_rate_below_one_opens_and_closes_the_port() {
    let bed = Bed::new().await;

    bed.sandbox
        .set_faults(FaultRule::new(FaultKind::RefuseConnection).rate(0.5))
        .await;

    for _ in 0..2 {
        eventually(async || bed.connect_error().await.is_some()).await;
        eventually(async || bed.connect_error().await.is_none()).await;
    }
}

#[tokio::test]
async fn what_is_under_way_when_the_port_closes_is_still_answered() {
    let bed = Bed::new().await;
    bed.sandbox
        .set_faults(FaultPlan::latency(Latency::constant(300.0).unwrap()))
        .await;
    let running = bed.spawn_charge("k");
    eventually(async || bed.sandbox.stats().requests["create"] == 1).await;

    bed.sandbox
        .set_faults(FaultRule::new(FaultKind::RefuseConnection))
        .await;

    assert_eq!(
        bed.connect_error().await,
        Some(ErrorKind::ConnectionRefused)
    );
    running.await.unwrap().unwrap().expect(200);
}
