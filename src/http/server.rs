//! The HTTP server: its settings, its state, its start and its end.

use std::{
    fmt,
    future::ready,
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use actix_http::{HttpService, Protocol, error::DispatchError};
use actix_server::{GracefulShutdownSignal, Server, ServerHandle};
use actix_service::{
    IntoServiceFactory, ServiceFactory, ServiceFactoryExt, fn_service, map_config,
};
use actix_web::{App, dev::AppConfig, middleware::from_fn, web::Data};
use tokio::{net::TcpStream, sync::Semaphore, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{
    ApiKeys,
    admin::events::STREAMS_MAX,
    connection::{Connection, Patience},
    problem::ComesAgain,
    request_context::with_context,
    routes,
};
use crate::{
    actors::Payments, environment::Environment, resilience::spread_s, store::Store,
    telemetry::Metrics,
};

/// The bounds of the HTTP side.
#[derive(Clone, Copy, Debug)]
pub struct HttpSettings {
    /// The largest body of a request, in bytes.
    pub body_bytes_max: usize,
    /// How long a client may take to send a body.
    pub body_timeout: Duration,
    /// How long a client may take to send the head of a request.
    pub head_timeout: Duration,
    /// How long a connection may rest between two requests.
    pub keep_alive: Duration,
    /// How long a client may take to accept more of an answer, or the end of the connection.
    pub send_timeout: Duration,
    /// Connections at once; more wait until one ends.
    pub connections_max: usize,
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

impl HttpState {
    /// The seconds after which this client, other than its neighbours, may come again.
    pub(super) fn retry_after_s(&self, comes_again: ComesAgain) -> u32 {
        let chance = self.environment.random_fraction();
        match comes_again {
            ComesAgain::ByTheLoad => spread_s(self.payments.retry_span_s(), chance),
            // On purpose up to twice as long, also for an open breaker: who comes at its end finds a few
            // probes' room, and who comes later finds it closed. As many come in each second.
            ComesAgain::After(seconds) => {
                let longer = spread_s(seconds.saturating_add(1), chance);
                seconds.saturating_add(longer).saturating_sub(1)
            }
        }
    }
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

/// What serves the connections of one worker. It is what `actix_web::HttpServer` makes, but for the
/// [`Connection`] around each stream.
fn serving(
    state: Data<HttpState>,
    draining: GracefulShutdownSignal,
) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = DispatchError, InitError = ()>
{
    let (settings, metrics) = (state.settings, state.metrics.http.clone());
    let patience = Patience {
        head: settings.head_timeout,
        send: settings.send_timeout,
        // Beyond the keep-alive, which is the framework's to end in good order.
        quiet: settings.keep_alive + settings.head_timeout,
    };
    let app = App::new()
        .app_data(state)
        .wrap(from_fn(with_context))
        .configure(routes::configure)
        .into_factory()
        .map_err(|error: actix_web::Error| error.error_response());
    let http = HttpService::build()
        .graceful_shutdown_signal(move || {
            let draining = draining.clone();
            async move { draining.notified().await }
        })
        .client_request_timeout(settings.head_timeout)
        .client_disconnect_timeout(settings.send_timeout)
        .keep_alive(settings.keep_alive)
        .on_connect_ext(|connection: &Connection, data| {
            data.insert(connection.requests());
        })
        .finish(map_config(app, |()| AppConfig::default()));
    fn_service(move |stream: TcpStream| {
        let peer = stream.peer_addr().ok();
        // Answers are written whole: waiting for more to send with them helps nobody.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps its delay");
        }
        let connection = Connection::new(stream, patience, metrics.clone());
        ready(Ok((connection, Protocol::Http1, peer)))
    })
    .and_then(http)
}

/// Serves on `listener`. Must run inside an actix system.
///
/// # Errors
/// When the listener cannot be used.
pub fn start(listener: TcpListener, with: HttpDependencies) -> io::Result<HttpServerHandle> {
    let address = listener.local_addr()?;
    let stopping = CancellationToken::new();
    let settings = with.settings;
    for (route, method) in routes::served() {
        with.metrics.http.serves(route, method);
    }
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
    let builder = Server::build()
        .workers(settings.workers)
        .max_concurrent_connections(settings.connections_max.div_ceil(settings.workers))
        .shutdown_timeout(settings.shutdown_timeout_s)
        .disable_signals();
    let draining = builder.graceful_shutdown_signal();
    let server = builder
        .listen("http", listener, move || {
            serving(Data::clone(&state), draining.clone())
        })?
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
