//! The actor crashes, and what decides outlives it.

use super::*;

#[derive(Message)]
#[rtype(result = "()")]
struct Crash;

impl Handler<Crash> for ProviderActor {
    type Result = ();

    fn handle(&mut self, _: Crash, _: &mut Context<Self>) {
        panic!("a test's crash");
    }
}

struct Unwatched;

impl GiveUp for Unwatched {
    fn restarted(&self, _: &'static str) {}
    fn gave_up(&self, actor: &'static str) {
        panic!("{actor} was given up");
    }
}

/// Runs `story` with a supervised actor, under paused time.
fn supervised<S: Future<Output = ()>>(story: impl FnOnce(Bench, ProviderHandle) -> S) {
    let paused = || {
        let mut builder = runtime::Builder::new_current_thread();
        builder.enable_time().start_paused(true).build().unwrap()
    };
    System::with_tokio_rt(paused).block_on(async {
        let bench = Bench::new(GateSettings::default(), []);
        let shared = Arc::clone(&bench.shared);
        let factory = move || ProviderActor::new(Arc::clone(&shared));
        let arbiter = actix::Arbiter::current();
        let actor = supervise("provider", arbiter, Arc::new(Unwatched), factory);
        let handle = ProviderHandle::new(actor.await.unwrap(), Arc::clone(&bench.shared));
        story(bench, handle).await;
    });
}

#[test]
fn a_crash_of_the_actor_loses_no_outcome_of_a_call_that_runs() {
    supervised(|bench, handle| async move {
        let (called, ()) = tokio::join!(handle.call(bench.job(false)), async {
            while bench.sent() == 0 {
                tokio::time::sleep(SECOND / 100).await;
            }
            assert!(handle.actor.addr().send(Crash).await.is_err());
        });
        assert_eq!(called, approved());
        assert_eq!(bench.in_flight(), 0);
    });
}

#[test]
fn a_call_that_waited_in_the_mailbox_of_a_crash_was_certainly_not_sent() {
    supervised(|bench, handle| async move {
        for (began_in_doubt, known) in [(false, "not_sent"), (true, "in_doubt")] {
            // In the mailbox from here on, ahead of the call.
            let crash = handle.actor.addr().send(Crash);
            let outcome = handle.call(bench.job(began_in_doubt)).await;
            assert_eq!(outcome.kind(), known);
            assert!(crash.await.is_err());
            tokio::time::sleep(SECOND).await;
        }
        assert_eq!(bench.sent(), 0);
        assert_eq!(handle.call(bench.job(false)).await, approved());
    });
}

#[test]
fn an_open_breaker_is_not_forgotten_in_a_crash() {
    supervised(|bench, handle| async move {
        bench.open().await;
        assert!(handle.actor.addr().send(Crash).await.is_err());
        tokio::time::sleep(SECOND).await;
        let refused = refusal(handle.call(bench.job(false)).await);
        assert_eq!(refused.reason, NotSentReason::BreakerOpen);
        let snapshot = handle.snapshot(Instant::now());
        assert_eq!(
            (snapshot.state, snapshot.available),
            (BreakerState::Open, false)
        );
    });
}
