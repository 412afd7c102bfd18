//! `GET /admin/events`: what becomes of the breakers, as server-sent events.
//!
//! A task for each client takes events from the feed and puts them into a queue that the connection
//! empties. Whoever does not keep up with the queue, or with the feed, is dropped: it comes back and
//! reads the state from `/admin/providers`. A stream ends with its client, or with the server.

use std::{convert::Infallible, sync::Arc, time::Duration};

use actix_web::{
    HttpResponse,
    http::header::CACHE_CONTROL,
    rt,
    web::{self, Bytes},
};
use futures_util::{StreamExt, stream};
use tokio::{
    sync::{OwnedSemaphorePermit, broadcast, mpsc},
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::{
    super::{auth::Admin, problem::Refused, server::HttpState},
    view::TransitionView,
};
use crate::{actors::BreakerEvent, payment::ProblemCode};

/// Streams at once.
pub(in crate::http) const STREAMS_MAX: usize = 32;
/// Pieces that wait for a client to take them.
const QUEUE_MAX: usize = 64;
/// Tells a client and whatever is between that the stream lives.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// When to come back after a stream has ended, for a browser's `EventSource`.
const GREETING: &str = "retry: 2000\n: the breakers of this server from now on\n\n";

pub(in crate::http) async fn stream_events(
    _: Admin,
    state: web::Data<HttpState>,
) -> Result<HttpResponse, Refused> {
    let streams = Arc::clone(&state.event_streams);
    let slot = streams.try_acquire_owned().map_err(|_none_left| {
        let detail = format!("This server holds {STREAMS_MAX} event streams already.");
        Refused::new(ProblemCode::Overloaded, detail).retry_after(10)
    })?;
    let (queue, mut pieces) = mpsc::channel(QUEUE_MAX);
    let stream = Stream {
        events: state.payments.providers().subscribe(),
        queue,
        // A connection that rests for too long is cut.
        beat: HEARTBEAT.min(state.settings.keep_alive / 2),
        stopping: state.stopping.clone(),
        _slot: slot,
    };
    rt::spawn(stream.run());
    let body = stream::poll_fn(move |context| pieces.poll_recv(context)).map(Ok::<_, Infallible>);
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((CACHE_CONTROL, "no-store"))
        // A proxy that gathers the answer would keep every event to itself.
        .insert_header(("x-accel-buffering", "no"))
        .streaming(body))
}

/// One client's stream.
struct Stream {
    events: broadcast::Receiver<BreakerEvent>,
    queue: mpsc::Sender<Bytes>,
    beat: Duration,
    stopping: CancellationToken,
    _slot: OwnedSemaphorePermit,
}

impl Stream {
    async fn run(mut self) {
        let mut heartbeat = interval(self.beat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        heartbeat.reset();
        let mut piece = Bytes::from_static(GREETING.as_bytes());
        // Ends when the client is gone, or has left a whole queue untaken.
        while self.queue.try_send(piece).is_ok() {
            piece = tokio::select! {
                event = self.events.recv() => match event {
                    Ok(event) => written(&event),
                    // Behind the feed, or the server's end.
                    Err(_lost) => return,
                },
                _ = heartbeat.tick() => Bytes::from_static(b": still here\n\n"),
                () = self.queue.closed() => return,
                () = self.stopping.cancelled() => return,
            };
        }
    }
}

fn written(event: &BreakerEvent) -> Bytes {
    // It consists of texts, which can always be written as JSON, without a line break.
    let data = serde_json::to_string(&TransitionView::of(event)).unwrap_or_default();
    Bytes::from(format!(
        "id: {}\nevent: breaker\ndata: {data}\n\n",
        event.number
    ))
}
