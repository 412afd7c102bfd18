//! The two accept loops and what a connection lives through.

use std::error::Error;
use std::pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::task::TaskTracker;

use super::port::Port;
use super::provider::Cut;
use super::routes;
use super::world::World;

/// How long the main port stays as one draw of `refuse_connection` left it.
const REFUSAL_SLOT: Duration = Duration::from_millis(100);
/// How long a closing port waits for its idle connections to end, so that whoever asked for it does
/// not find one of them still open.
const CLOSED_WITHIN: Duration = Duration::from_millis(50);
/// Pause after a failed accept, which is mostly a lack of file descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(10);

/// Serves the main port, which `refuse_connection` may close.
pub(super) async fn serve_main(
    world: Arc<World>,
    port: Port,
    listener: TcpListener,
    connections: TaskTracker,
) {
    let mut changes = world.main_port.changes();
    let closings = watch::Sender::new(());
    let mut listener = Some(listener);
    loop {
        let version = *changes.borrow_and_update();
        let refuses = world.enter().faults.refuses_connections();
        let slot_end = Instant::now() + REFUSAL_SLOT;
        if refuses == Some(true) {
            let was_open = listener.take().is_some();
            closings.send_replace(());
            if was_open && timeout(CLOSED_WITHIN, closings.closed()).await.is_err() {
                tracing::debug!("the port is closed; some connections still carry a call");
            }
        } else if listener.is_none() {
            listener = port.listen(&world.stopping).await;
        }
        world.main_port.applied(version);
        loop {
            tokio::select! {
                () = world.stopping.cancelled() => return,
                changed = changes.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return,
                },
                () = sleep_until(slot_end), if refuses.is_some() => break,
                stream = accept(listener.as_ref()) => {
                    let service = Serve::Main(Arc::clone(&world));
                    connections.spawn(serve_connection(stream, service, closings.subscribe()));
                }
            }
        }
    }
}

/// Serves the control port, which nothing closes.
pub(super) async fn serve_control(
    world: Arc<World>,
    listener: TcpListener,
    connections: TaskTracker,
) {
    let closings = watch::Sender::new(());
    loop {
        tokio::select! {
            () = world.stopping.cancelled() => return,
            stream = accept(Some(&listener)) => {
                let service = Serve::Control(Arc::clone(&world));
                connections.spawn(serve_connection(stream, service, closings.subscribe()));
            }
        }
    }
}

/// The next connection; never, without a listener.
async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                tracing::debug!(%error, "the sandbox could not accept a connection");
                sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

/// Which side of the sandbox a connection talks to.
enum Serve {
    Main(Arc<World>),
    Control(Arc<World>),
}

impl Serve {
    fn world(&self) -> &Arc<World> {
        match self {
            Self::Main(world) | Self::Control(world) => world,
        }
    }

    async fn respond(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Cut> {
        match self {
            Self::Main(world) => routes::main(world, request).await,
            Self::Control(world) => Ok(routes::control(world, request).await),
        }
    }
}

/// Serves one connection until its caller leaves, the port closes, or a fault cuts it.
async fn serve_connection(stream: TcpStream, serve: Serve, mut closings: watch::Receiver<()>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "the connection is gone already");
    }
    let stopping = serve.world().stopping.clone();
    let serve = Arc::new(serve);
    let service = service_fn(move |request| {
        let serve = Arc::clone(&serve);
        async move { serve.respond(request).await }
    });
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let mut is_closing = false;
    let outcome = loop {
        tokio::select! {
            outcome = &mut connection => break outcome,
            _ = closings.changed(), if !is_closing => {
                is_closing = true;
                pin::Pin::new(&mut connection).graceful_shutdown();
            }
            () = stopping.cancelled() => return,
        }
    };
    if let Err(error) = outcome
        && cut_of(&error) == Some(Cut::Reset)
    {
        reset(connection.into_parts().io.into_inner());
    }
}

fn cut_of(error: &hyper::Error) -> Option<Cut> {
    error
        .source()
        .and_then(|source| source.downcast_ref::<Cut>())
        .copied()
}

/// Drops the connection so that its other end sees a reset and no orderly end.
fn reset(stream: TcpStream) {
    if let Err(error) = stream.set_zero_linger() {
        tracing::warn!(%error, "the sandbox could not reset a connection");
    }
}
