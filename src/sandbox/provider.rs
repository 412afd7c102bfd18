//! The provider's side of a call. Start reading at [`respond`].
//!
//! Order of events: authentication, the idempotency store, the faults that come first, latency,
//! validation, execution, the faults that come after.
//!
//! **Invariant:** a call that will execute does so whether or not its caller waits: while there is
//! latency it runs in a task of its own, and without latency nothing can interrupt it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::sleep;

use super::answer::{Answer, Refusal};
use super::calls::Call;
use super::commands::Command;
use super::faults::{FaultKind, Prospect};
use super::idempotency::{ScopedKey, Standing};
use super::ticket::Ticket;
use super::world::{State, World};

const KEY_LENGTH_MAX: usize = 255;
const REQUEST_ID_LENGTH: usize = 14;

/// An answer on its way to the caller.
pub(super) struct Reply {
    pub(super) answer: Answer,
    pub(super) request_id: Box<str>,
}

/// No answer: what becomes of the connection instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Cut {
    #[error("the connection is closed without an answer")]
    Close,
    #[error("the connection is reset")]
    Reset,
}

/// What is to be done with a call, decided on its arrival.
struct Plan {
    request_id: Box<str>,
    latency: Duration,
    course: Course,
}

enum Course {
    /// Nothing executes.
    Answer(Answer),
    /// Nothing executes and nothing is answered.
    Reset,
    /// Nothing executes, and the key stays running until the caller has left.
    Hang(Option<Ticket>),
    Run(Job),
}

pub(super) async fn respond(world: &Arc<World>, call: Call) -> Result<Reply, Cut> {
    let Plan {
        request_id,
        latency,
        course,
    } = admit(world, call);
    match course {
        Course::Answer(answer) => {
            pause(latency).await;
            Ok(Reply { answer, request_id })
        }
        Course::Reset => {
            pause(latency).await;
            Err(Cut::Reset)
        }
        Course::Hang(ticket) => {
            sleep(world.hang_max).await;
            drop(ticket);
            Err(Cut::Close)
        }
        Course::Run(job) => {
            let Some(done) = run(world, job, latency).await else {
                return Err(Cut::Close);
            };
            match done.fault {
                Some(FaultKind::ResetAfter) => Err(Cut::Reset),
                Some(FaultKind::HangAfter) => {
                    sleep(world.hang_max).await;
                    drop(done.ticket);
                    Err(Cut::Close)
                }
                _ => Ok(Reply {
                    answer: done.answer,
                    request_id,
                }),
            }
        }
    }
}

/// Runs the job, after the latency if there is one; `None` if the sandbox stops meanwhile.
async fn run(world: &Arc<World>, job: Job, latency: Duration) -> Option<Done> {
    if latency.is_zero() {
        return Some(job.run(world));
    }
    let (sender, receiver) = oneshot::channel();
    let world = Arc::clone(world);
    tokio::spawn(async move {
        tokio::select! {
            () = sleep(latency) => {
                // A caller that has left gets nothing; dropping what was done ends its key.
                drop(sender.send(job.run(&world)));
            }
            () = world.stopping.cancelled() => {}
        }
    });
    receiver.await.ok()
}

async fn pause(latency: Duration) {
    if !latency.is_zero() {
        sleep(latency).await;
    }
}

/// A name for the request in logs, unique within a run.
pub(super) fn request_id(world: &World) -> Box<str> {
    world.enter().request_ids.id("req_", REQUEST_ID_LENGTH)
}

fn admit(world: &Arc<World>, call: Call) -> Plan {
    let mut state = world.enter();
    state.counters.count_request(&call.endpoint);
    Plan {
        request_id: state.request_ids.id("req_", REQUEST_ID_LENGTH),
        latency: state.faults.draw_latency(),
        course: chart(world, &mut state, call)
            .unwrap_or_else(|refusal| Course::Answer(refusal.answer())),
    }
}

/// Decides the course of a call; a refusal here is stored under no key.
fn chart(world: &Arc<World>, state: &mut State, call: Call) -> Result<Course, Refusal> {
    let secret = world.authenticate(call.secret.as_deref())?;
    let key = match call.key.as_deref() {
        Some(key) if key.len() > KEY_LENGTH_MAX => {
            let message = "Idempotency keys have at most 255 characters.";
            return Err(Refusal::invalid(None, "Idempotency-Key", message));
        }
        key => key.map(|key| ScopedKey::new(secret, key)),
    };
    let class = call.endpoint.class();
    if state.faults.forgets_keys(class) {
        state.keys.forget();
    }
    let key = key.map(|key| (key, call.form.fingerprint("POST", &call.path)));
    let standing = match &key {
        None => Standing::Fresh,
        Some((key, fingerprint)) => {
            state.counters.count_key(key);
            let now_us = state.ledger.now_us();
            state.keys.standing(key, fingerprint, now_us)
        }
    };
    let fault = state.faults.strike(class, prospect(&standing));
    match fault {
        Some(FaultKind::ErrorBefore) => return Err(Refusal::broken()),
        Some(FaultKind::Unavailable) => return Err(Refusal::unavailable()),
        Some(FaultKind::RateLimit) => return Err(Refusal::rate_limited()),
        Some(FaultKind::ResetBefore) => return Ok(Course::Reset),
        _ => {}
    }
    match standing {
        Standing::Mismatch => {
            state.counters.mismatches += 1;
            Err(Refusal::key_mismatch(
                call.key.as_deref().unwrap_or_default(),
            ))
        }
        Standing::Running => {
            state.counters.in_use += 1;
            Err(Refusal::key_in_use(call.key.as_deref().unwrap_or_default()))
        }
        Standing::Done(answer) => {
            state.counters.replays += 1;
            Ok(match fault {
                Some(FaultKind::HangBefore | FaultKind::HangAfter) => Course::Hang(None),
                Some(FaultKind::ResetAfter) => Course::Reset,
                _ => Course::Answer(answer),
            })
        }
        Standing::Fresh => {
            let ticket = key.map(|(key, fingerprint)| {
                state.keys.begin(key.clone(), fingerprint);
                Ticket::new(Arc::clone(world), state.epoch, key)
            });
            Ok(match fault {
                Some(FaultKind::HangBefore) => Course::Hang(ticket),
                _ => Course::Run(Job {
                    call,
                    ticket,
                    epoch: state.epoch,
                    fault,
                }),
            })
        }
    }
}

fn prospect(standing: &Standing) -> Prospect {
    match standing {
        Standing::Fresh => Prospect::Executes,
        Standing::Done(_) => Prospect::Replays,
        Standing::Running | Standing::Mismatch => Prospect::Refused,
    }
}

/// A call that will execute.
struct Job {
    call: Call,
    ticket: Option<Ticket>,
    epoch: u64,
    fault: Option<FaultKind>,
}

/// A call that has executed; the ticket is still there if its key has to go on running.
struct Done {
    answer: Answer,
    ticket: Option<Ticket>,
    fault: Option<FaultKind>,
}

impl Job {
    fn run(self, world: &World) -> Done {
        let Self {
            call,
            ticket,
            epoch,
            fault,
        } = self;
        let mut state = world.enter();
        let (answer, is_final) = if epoch == state.epoch {
            perform(&mut state, &call, fault)
        } else {
            (Refusal::broken().answer(), false) // The world that it was meant for is gone.
        };
        let stored = is_final.then(|| answer.clone());
        let ticket = match (ticket, fault) {
            (Some(ticket), Some(FaultKind::HangAfter)) => Some(ticket.withhold(stored)),
            (Some(ticket), _) => {
                ticket.settle(&mut state, stored);
                None
            }
            (None, _) => None,
        };
        drop(state);
        Done {
            answer,
            ticket,
            fault,
        }
    }
}

/// The answer, and whether execution began, so that the answer is final under its key.
fn perform(state: &mut State, call: &Call, fault: Option<FaultKind>) -> (Answer, bool) {
    let command = match Command::parse(call) {
        Ok(command) => command,
        Err(refusal) => return (refusal.answer(), refusal.began()),
    };
    if fault == Some(FaultKind::ErrorStored) {
        return (Refusal::broken().answer(), true);
    }
    let (answer, began) = match command.run(state) {
        Ok(answer) => (answer, true),
        Err(refusal) => (refusal.answer(), refusal.began()),
    };
    if began && call.endpoint.moves_money() {
        state.counters.executed += 1;
        let is_declined = answer.status == hyper::StatusCode::PAYMENT_REQUIRED;
        state.counters.declines += u64::from(is_declined);
    }
    if began && fault == Some(FaultKind::ErrorAfter) {
        return (Refusal::broken().answer(), true);
    }
    (answer, began)
}
