//! Holds, captures, cancellations and refunds.

use oncepay::sandbox::{ChargeFilter, IntentStatus};
use serde_json::json;

use crate::harness::{Bed, Form, Reply, charge_with};

impl Bed {
    async fn act(&self, intent: &Reply, action: &str, form: Form<'_>) -> Reply {
        self.post(
            &format!("/v1/payment_intents/{}/{action}", intent.id()),
            form,
            None,
        )
        .await
    }

    async fn refund(&self, intent: &Reply, amount: &str) -> Reply {
        let form = [("payment_intent", intent.id()), ("amount", amount)];
        self.post("/v1/refunds", &form, None).await
    }
}

#[tokio::test]
async fn a_hold_is_captured_in_part_and_only_once() {
    let bed = Bed::new().await;
    let held = bed.hold().await;
    assert_eq!(held.body["status"], "requires_capture");
    assert_eq!(held.body["amount_capturable"], 4200);
    assert_eq!(held.body["amount_received"], 0);

    let too_much = bed
        .act(&held, "capture", &[("amount_to_capture", "4201")])
        .await;
    let too_much = too_much.expect_error(400, "amount_too_large");
    let form = [
        ("amount_to_capture", "4000"),
        ("metadata[captured_by]", "me"),
    ];
    let captured = bed.act(&held, "capture", &form).await.expect(200);
    let again = bed
        .act(&held, "capture", &[])
        .await
        .expect_error(400, "charge_already_captured");

    assert_eq!(too_much.body["error"]["param"], "amount_to_capture");
    assert_eq!(captured.body["status"], "succeeded");
    assert_eq!(captured.body["amount"], 4200);
    assert_eq!(captured.body["amount_received"], 4000);
    assert_eq!(captured.body["amount_capturable"], 0);
    assert_eq!(again.body["error"]["payment_intent"], captured.body);
    assert_eq!(
        bed.sandbox
            .charges(&ChargeFilter::metadata("captured_by", "me"))
            .count,
        1
    );
    assert_eq!(bed.sandbox.stats().captured["eur"], 4000);
}

#[tokio::test]
async fn a_canceled_hold_holds_nothing_and_cannot_be_captured() {
    let bed = Bed::new().await;
    let held = bed.hold().await;
    let wrong = bed
        .act(&held, "cancel", &[("cancellation_reason", "whim")])
        .await
        .expect(400);

    let form = [("cancellation_reason", "abandoned")];
    let canceled = bed.act(&held, "cancel", &form).await.expect(200);

    assert_eq!(wrong.body["error"]["param"], "cancellation_reason");
    assert_eq!(canceled.body["status"], "canceled");
    assert_eq!(canceled.body["cancellation_reason"], "abandoned");
    assert_eq!(bed.sandbox.charges(&ChargeFilter::all()).count, 0);
    for action in ["capture", "cancel"] {
        let refused = bed.act(&held, action, &[]).await;
        let refused = refused.expect_error(400, "payment_intent_unexpected_state");
        assert_eq!(
            refused.body["error"]["payment_intent"]["status"],
            "canceled"
        );
    }
}

#[tokio::test]
async fn what_has_succeeded_cannot_be_canceled() {
    let bed = Bed::new().await;
    let paid = bed.charge("k").await;

    let refused = bed.act(&paid, "cancel", &[]).await;

    refused.expect_error(400, "payment_intent_unexpected_state");
    assert_eq!(bed.charged("k"), 1);
}

#[tokio::test]
async fn refunds_add_up_to_the_capture_and_never_beyond() {
    let bed = Bed::new().await;
    let paid = bed.charge("k").await;

    let first = bed.refund(&paid, "1000").await.expect(200);
    let beyond = bed
        .refund(&paid, "3201")
        .await
        .expect_error(400, "amount_too_large");
    let rest = bed
        .post("/v1/refunds", &[("payment_intent", paid.id())], None)
        .await
        .expect(200);
    let none_left = bed.refund(&paid, "1").await;

    assert!(first.id().starts_with("re_"));
    assert_eq!(first.body["object"], "refund");
    assert_eq!(first.body["status"], "succeeded");
    assert_eq!(first.body["amount"], 1000);
    assert_eq!(first.body["payment_intent"], *paid.id());
    assert_eq!(first.body["charge"], paid.body["latest_charge"]);
    assert_eq!(beyond.body["error"]["param"], "amount");
    assert_eq!(rest.body["amount"], 3200);
    none_left.expect_error(400, "charge_already_refunded");
    assert_eq!(bed.sandbox.stats().refunded["eur"], 4200);
    let charges = bed.sandbox.charges(&ChargeFilter::idempotency_key("k"));
    assert_eq!(
        (charges.count, charges.charges[0].amount_refunded),
        (1, 4200)
    );
    assert_eq!(charges.charges[0].status, IntentStatus::Succeeded);

    let read = bed
        .get(&format!("/v1/refunds/{}", first.id()))
        .await
        .expect(200);
    assert_eq!(read.body, first.body);
    let list = bed
        .get(&format!("/v1/refunds?payment_intent={}", paid.id()))
        .await
        .expect(200);
    assert_eq!(list.body["data"], json!([rest.body, first.body]));
    let page = bed
        .get(&format!("/v1/refunds?limit=1&starting_after={}", rest.id()))
        .await;
    assert_eq!(page.body["data"], json!([first.body]));
}

#[tokio::test]
async fn what_is_only_held_cannot_be_refunded() {
    let bed = Bed::new().await;
    let held = bed.hold().await;

    let refused = bed.refund(&held, "1").await;

    refused.expect_error(400, "payment_intent_unexpected_state");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refunds_at_the_same_time_never_exceed_the_capture() {
    let bed = Bed::new().await;
    let paid = bed.charge("k").await;

    let racing = (0..40).map(|_| bed.refund(&paid, "1000"));
    let replies = futures_util::future::join_all(racing).await;

    let refunded = replies.iter().filter(|reply| reply.status == 200).count();
    assert_eq!(refunded, 4);
    assert!(
        replies
            .iter()
            .all(|r| r.status == 200 || r.body["error"]["code"] == "amount_too_large")
    );
    assert_eq!(bed.sandbox.stats().refunded["eur"], 4000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn captures_at_the_same_time_capture_once() {
    let bed = Bed::new().await;
    let held = bed.hold().await;

    let racing = (0..20).map(|_| bed.act(&held, "capture", &[("amount_to_capture", "4000")]));
    let replies = futures_util::future::join_all(racing).await;

    assert_eq!(
        replies.iter().filter(|reply| reply.status == 200).count(),
        1
    );
    assert_eq!(bed.sandbox.stats().captured["eur"], 4000);
}

#[tokio::test]
async fn amounts_are_summed_by_currency() {
    let bed = Bed::new().await;
    bed.charge("k").await.expect(200);
    let yen = charge_with(&[("currency", "JPY"), ("amount", "500")]);
    let reply = bed
        .post("/v1/payment_intents", &yen, None)
        .await
        .expect(200);

    let stats = bed.sandbox.stats();

    assert_eq!(reply.body["currency"], "jpy");
    assert_eq!((stats.captured["eur"], stats.captured["jpy"]), (4200, 500));
    assert_eq!((stats.executed, stats.charges), (2, 2));
}
