//! Where the command line meets the floors below: each function builds one of them.

use std::{any::Any, net::SocketAddr, sync::Arc};

use secrecy::SecretString;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::{
    config::Config, environment::Environment, provider::Provider, store::Store, telemetry::Metrics,
};

/// Why a part could not be built, in that part's own words.
pub(super) type WiringError = Box<dyn std::error::Error + Send + Sync>;

/// Opens the store, its schema brought up to date. On the I/O runtime: the connections stay there.
pub(super) async fn open_store(_config: &Config) -> Result<Arc<dyn Store>, WiringError> {
    Err("this build has no store".into())
}

/// Brings the schema up to date and says, a line each, what was done.
pub(super) async fn migrate(_config: &Config) -> Result<Vec<String>, WiringError> {
    Err("this build has no store".into())
}

/// A sandbox that runs until this is dropped.
pub(super) struct RunningSandbox {
    pub(super) address: SocketAddr,
    pub(super) control_address: SocketAddr,
    _running: Box<dyn Any + Send>,
}

/// Starts a sandbox on the I/O runtime. Without `secret` it takes any.
pub(super) async fn start_sandbox(
    _listen: SocketAddr,
    _control_listen: Option<SocketAddr>,
    _secret: Option<SecretString>,
    _environment: &Environment,
) -> Result<RunningSandbox, WiringError> {
    Err("this build has no sandbox".into())
}

/// Builds every configured provider, retired ones too. The built-in sandbox's address is that at
/// which it listens, whatever its setting says.
pub(super) fn build_providers(
    _config: &Config,
    _sandbox: Option<&RunningSandbox>,
) -> Result<Vec<Arc<dyn Provider>>, WiringError> {
    Err("this build has no provider".into())
}

/// All that serving takes.
#[expect(dead_code, reason = "read by the actors and the HTTP server")]
pub(super) struct Parts {
    pub(super) config: Config,
    pub(super) environment: Environment,
    pub(super) metrics: Metrics,
    pub(super) store: Arc<dyn Store>,
    pub(super) providers: Vec<Arc<dyn Provider>>,
    /// Where store and providers live.
    pub(super) io: Handle,
    /// Cancelled when the process is asked to stop.
    pub(super) stop: CancellationToken,
}

/// Runs actors and HTTP in the actix system that it is called in, until `stop` is cancelled and what
/// was under way has ended or `limits.shutdown_timeout_s` have passed. Calls `listening` once the
/// port is open.
pub(super) async fn serve(
    _parts: Parts,
    _listening: impl FnOnce(SocketAddr),
) -> Result<(), WiringError> {
    Err("this build has no HTTP server".into())
}
