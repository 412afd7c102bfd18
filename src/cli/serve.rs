//! `oncepay serve`: builds the house from the ground up and serves until it is told to stop.

use std::{net::SocketAddr, sync::Arc};

use clap::Args;
use secrecy::SecretString;
use tokio::runtime::{Handle, Runtime};
use tokio_util::sync::CancellationToken;

use super::{
    error::CliError,
    first_start::{self, Welcome},
    port::Port,
    printer::Printer,
    routes::unreachable_routes,
    runtime,
    settings::StoreArgs,
    signals, wiring,
    wiring::Parts,
};
use crate::{
    config::{Config, Flags, SandboxConfig, describe_database},
    environment::Environment,
    provider::Provider,
    sandbox::Sandbox,
    store::{Installation, Store},
    telemetry::{Metrics, init_logs},
};

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// Where the HTTP API answers [default: 127.0.0.1:8080] [env: ONCEPAY_LISTEN]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// The Redis through which servers share finished answers: redis://.. or rediss://.. [default:
    /// none] [env: REDIS_URL]
    #[arg(long, value_name = "URL")]
    redis_url: Option<SecretString>,
    /// The one payment provider; its secret is ONCEPAY_PROVIDER_SECRET [default: the built-in
    /// sandbox] [env: ONCEPAY_PROVIDER_URL]
    #[arg(long, value_name = "URL")]
    provider_url: Option<String>,
}

impl ServeArgs {
    pub(super) fn load(&self) -> Result<Config, CliError> {
        self.store.load_with(Flags {
            listen: self.listen,
            redis_url: self.redis_url.clone(),
            provider_url: self.provider_url.clone(),
            ..Flags::default()
        })
    }
}

/// What is built on the I/O runtime before a request is taken.
struct Foundation {
    store: Arc<dyn Store>,
    installation: Installation,
    providers: Vec<Arc<dyn Provider>>,
    sandbox: Option<Sandbox>,
    welcome: Welcome,
}

pub(super) fn run(args: &ServeArgs, printer: &mut Printer) -> Result<(), CliError> {
    let config = args.load()?;
    init_logs(&config.log)?;
    let io = runtime::io()?;
    let served = serve(config.clone(), &io, printer);
    // Whatever still runs there had its time: what it leaves open, another process takes over.
    io.shutdown_timeout(config.limits.shutdown_timeout());
    served
}

fn serve(config: Config, io: &Runtime, printer: &mut Printer) -> Result<(), CliError> {
    let stop = signals::stop_on_signal(io.handle())?;
    let port = Port::take(config.listen)?;
    let environment = Environment::of_the_machine();
    let Some(foundation) = io.block_on(found_unless(&stop, &config, &environment))? else {
        return Ok(());
    };
    let Foundation {
        store,
        installation,
        providers,
        sandbox,
        welcome,
    } = foundation;
    let sandbox_address = sandbox.as_ref().map(Sandbox::address);
    let parts = Parts {
        config,
        environment,
        metrics: Metrics::default(),
        store,
        installation,
        providers,
        io: io.handle().clone(),
        stop,
    };
    let listener = port.open(io.handle())?;
    let listening = |listen| {
        for line in welcome.lines(listen, sandbox_address) {
            if let Err(error) = printer.result(&line) {
                tracing::warn!(%error, "the first lines were not printed");
                return;
            }
        }
    };
    let served = actix::System::new().block_on(wiring::serve(parts, listener, listening));
    drop(sandbox); // After the last call to it.
    served.map_err(CliError::Serve)
}

/// Lays the foundation; `None` when the process is told to stop before it stands.
async fn found_unless(
    stop: &CancellationToken,
    config: &Config,
    environment: &Environment,
) -> Result<Option<Foundation>, CliError> {
    tokio::select! {
        founded = found(config, environment) => founded.map(Some),
        () = stop.cancelled() => Ok(None),
    }
}

async fn found(config: &Config, environment: &Environment) -> Result<Foundation, CliError> {
    let store = wiring::open_store(config, environment)
        .await
        .map_err(|source| CliError::Store {
            database: describe_database(&config.database_url),
            source,
        })?;
    let installation = Installation::ensure(&*store, environment).await?;
    let sandbox = if config.uses_built_in_sandbox() {
        let SandboxConfig {
            listen,
            control_listen,
        } = config.sandbox;
        Some(wiring::start_sandbox(listen, control_listen, None, environment).await?)
    } else {
        None
    };
    let marked_as = Some(installation.id);
    let providers =
        wiring::build_providers(config, sandbox.as_ref(), marked_as, &Handle::current())
            .map_err(CliError::Providers)?;
    let unsettled = store.unsettled_routes().await?;
    let profiles = providers.iter().map(|provider| provider.profile());
    let unreachable = unreachable_routes(&unsettled, profiles);
    if !unreachable.is_empty() {
        return Err(CliError::Routes(unreachable));
    }
    let welcome = first_start::prepare(&*store, environment, config).await?;
    Ok(Foundation {
        store,
        installation,
        providers,
        sandbox,
        welcome,
    })
}
