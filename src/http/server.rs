//! The HTTP server: its settings, its state, its start and its end.

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use actix_web::{App, HttpServer, dev::ServerHandle, middleware::from_fn, web::Data};
use tokio::{sync::Semaphore, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{ApiKeys, admin::events::STREAMS_MAX, request_context::with_context, routes};
use crate::{actors::Payments, environment::Environment, store::Store, telemetry::Metrics};

/// The bounds of the HTTP side.
#[derive(Clone, Copy, Debug)]
pub struct HttpSettings {
    /// The largest body of a request, in bytes.
    pub body_bytes_max: usize,
    /// Threads that serve connections.
    pub workers: usize,
    /// How long requests that run may take to end once the server stops, in seconds.
    pub shutdown_timeout_s: u64,
}

/// What the HTTP side works with.
pub struct HttpDependencies {
    pub payments: Payments,
    pub store: Arc<dyn Store>,
    pub environment: Environment,
    pub metrics: Arc<Metrics>,
    pub settings: HttpSettings,
}

impl fmt::Debug for HttpDependencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpDependencies")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// What every handler sees.
pub(super) struct HttpState {
    pub(super) payments: Payments,
    pub(super) store: Arc<dyn Store>,
    pub(super) api_keys: ApiKeys,
    pub(super) environment: Environment,
    pub(super) metrics: Arc<Metrics>,
    pub(super) settings: HttpSettings,
    /// One permit for each stream of events.
    pub(super) event_streams: Arc<Semaphore>,
    /// Cancelled when the server stops.
    pub(super) stopping: CancellationToken,
}

/// A server that runs.
pub struct HttpServerHandle {
    address: SocketAddr,
    handle: ServerHandle,
    running: JoinHandle<io::Result<()>>,
    stopping: CancellationToken,
}

impl fmt::Debug for HttpServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpServerHandle")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl HttpServerHandle {
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops taking connections, and waits for the requests that run.
    ///
    /// # Errors
    /// What the server ended with.
    pub async fn stop(self) -> io::Result<()> {
        self.stopping.cancel();
        self.handle.stop(true).await;
        self.running
            .await
            .unwrap_or_else(|lost| Err(io::Error::other(lost)))
    }
}

/// Serves on `listener`. Must run inside an actix system.
///
/// # Errors
/// When the listener cannot be used.
pub fn start(listener: TcpListener, with: HttpDependencies) -> io::Result<HttpServerHandle> {
    let address = listener.local_addr()?;
    let stopping = CancellationToken::new();
    let settings = with.settings;
    let state = Data::new(HttpState {
        payments: with.payments,
        api_keys: ApiKeys::new(Arc::clone(&with.store)),
        store: with.store,
        environment: with.environment,
        metrics: with.metrics,
        settings,
        event_streams: Arc::new(Semaphore::new(STREAMS_MAX)),
        stopping: stopping.clone(),
    });
    let server = HttpServer::new(move || {
        App::new()
            .app_data(Data::clone(&state))
            .wrap(from_fn(with_context))
            .configure(routes::configure)
    })
    .workers(settings.workers)
    .shutdown_timeout(settings.shutdown_timeout_s)
    .disable_signals()
    .listen(listener)?
    .run();
    let handle = server.handle();
    let running = actix_web::rt::spawn(server);
    Ok(HttpServerHandle {
        address,
        handle,
        running,
        stopping,
    })
}
