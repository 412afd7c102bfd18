//! A supervisor that survives panics, as actix's own does not.
//!
//! It makes the actor anew from a factory: what must outlive a crash is what the factory captured.
//! It waits longer after every crash, and gives up when they come too thick, since a program that
//! cannot keep its actors alive serves nobody by pretending.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use actix::{Actor, ActorFutureExt, Addr, ArbiterHandle, AsyncContext, Context, WrapFuture};
use tokio::{sync::oneshot, time::Instant};
use tracing::{error, warn};

use crate::resilience::Backoff;

/// More than this many crashes within [`INTENSITY_WINDOW`], and the supervisor gives up.
const CRASHES_MAX: usize = 10;
const INTENSITY_WINDOW: Duration = Duration::from_secs(60);
const RESTART: Backoff = Backoff {
    base: Duration::from_millis(10),
    cap: Duration::from_secs(5),
};

/// Told of an actor before its first start, when it was restarted, and when its supervisor gave up.
pub trait GiveUp: Send + Sync + 'static {
    fn supervised(&self, _actor: &'static str) {}
    fn restarted(&self, actor: &'static str);
    fn gave_up(&self, actor: &'static str);
}

/// The address of a supervised actor, whichever incarnation of it lives now.
pub struct Supervised<A: Actor>(Arc<RwLock<Addr<A>>>);

impl<A: Actor> Clone for Supervised<A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<A: Actor> fmt::Debug for Supervised<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervised").finish_non_exhaustive()
    }
}

impl<A: Actor> Supervised<A> {
    pub fn addr(&self) -> Addr<A> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Starts the actor that `factory` makes on `arbiter`, and starts it again whenever it ends.
///
/// # Errors
/// When the arbiter is gone.
pub async fn supervise<A>(
    name: &'static str,
    arbiter: ArbiterHandle,
    watcher: Arc<dyn GiveUp>,
    factory: impl Fn() -> A + Send + 'static,
) -> Result<Supervised<A>, ArbiterGone>
where
    A: Actor<Context = Context<A>> + Send,
{
    watcher.supervised(name);
    let (started, first) = oneshot::channel();
    arbiter.spawn(async move {
        let (addr, mut ended) = start(factory());
        let supervised = Supervised(Arc::new(RwLock::new(addr)));
        if started.send(supervised.clone()).is_err() {
            return;
        }
        let mut crashes = VecDeque::new();
        loop {
            // Both ways of ending, a panic and a stop, drop what the actor's context holds.
            drop((&mut ended).await);
            let now = Instant::now();
            crashes.retain(|at| now.duration_since(*at) < INTENSITY_WINDOW);
            crashes.push_back(now);
            if crashes.len() > CRASHES_MAX {
                error!(
                    actor = name,
                    crashes = crashes.len(),
                    "an actor crashes again and again"
                );
                watcher.gave_up(name);
                return;
            }
            warn!(actor = name, "an actor ended and is started again");
            let attempts = u32::try_from(crashes.len()).unwrap_or(u32::MAX);
            tokio::time::sleep(RESTART.wait(attempts, 1.0)).await;
            let (addr, next_ended) = start(factory());
            *supervised.0.write().unwrap_or_else(PoisonError::into_inner) = addr;
            ended = next_ended;
            watcher.restarted(name);
        }
    });
    first.await.map_err(|_lost| ArbiterGone(name))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the arbiter of actor {0} is gone")]
pub struct ArbiterGone(&'static str);

fn start<A: Actor<Context = Context<A>>>(actor: A) -> (Addr<A>, oneshot::Receiver<()>) {
    let (alive, ended) = oneshot::channel::<()>();
    let addr = A::create(|context| {
        let lifeline = async move {
            let _alive = alive;
            std::future::pending::<()>().await;
        };
        context.spawn(lifeline.into_actor(&actor).map(|(), _, _| ()));
        actor
    });
    (addr, ended)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use actix::{Handler, Message, System};

    use super::*;

    #[derive(Default)]
    struct Counts {
        restarts: AtomicUsize,
        surrenders: AtomicUsize,
    }

    impl GiveUp for Counts {
        fn restarted(&self, _: &'static str) {
            self.restarts.fetch_add(1, Ordering::SeqCst);
        }
        fn gave_up(&self, _: &'static str) {
            self.surrenders.fetch_add(1, Ordering::SeqCst);
        }
    }

    struct Fragile {
        served: Arc<AtomicUsize>,
    }

    impl Actor for Fragile {
        type Context = Context<Self>;
    }

    #[derive(Message)]
    #[rtype(result = "usize")]
    struct Serve;

    #[derive(Message)]
    #[rtype(result = "()")]
    struct Crash;

    impl Handler<Serve> for Fragile {
        type Result = usize;
        fn handle(&mut self, _: Serve, _: &mut Context<Self>) -> usize {
            self.served.fetch_add(1, Ordering::SeqCst) + 1
        }
    }

    impl Handler<Crash> for Fragile {
        type Result = ();
        fn handle(&mut self, _: Crash, _: &mut Context<Self>) {
            panic!("a test's crash");
        }
    }

    fn paused(test: impl Future<Output = ()>) {
        System::with_tokio_rt(|| {
            tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .unwrap()
        })
        .block_on(test);
    }

    async fn fragile(counts: &Arc<Counts>) -> Supervised<Fragile> {
        let served = Arc::new(AtomicUsize::new(0));
        let arbiter = actix::Arbiter::current();
        let factory = move || Fragile {
            served: Arc::clone(&served),
        };
        supervise("fragile", arbiter, Arc::<Counts>::clone(counts), factory)
            .await
            .unwrap()
    }

    async fn serve(actor: &Supervised<Fragile>) -> usize {
        loop {
            match actor.addr().send(Serve).await {
                Ok(served) => return served,
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    }

    #[test]
    fn an_actor_that_panics_lives_again_with_what_its_factory_kept() {
        paused(async {
            let counts = Arc::new(Counts::default());
            let actor = fragile(&counts).await;
            assert_eq!(serve(&actor).await, 1);
            assert!(actor.addr().send(Crash).await.is_err());
            assert_eq!(serve(&actor).await, 2);
            assert_eq!(counts.restarts.load(Ordering::SeqCst), 1);
        });
    }

    #[test]
    fn crashes_that_come_too_thick_are_reported_and_end_it() {
        paused(async {
            let counts = Arc::new(Counts::default());
            let actor = fragile(&counts).await;
            while counts.surrenders.load(Ordering::SeqCst) == 0 {
                // Whether it is alive or between two lives, a crash is all it gets.
                let _crashed = actor.addr().send(Crash).await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(counts.restarts.load(Ordering::SeqCst), CRASHES_MAX);
        });
    }
}
