//! `oncepay sandbox`

use std::net::SocketAddr;

use clap::Args;
use secrecy::SecretString;

use super::{error::CliError, printer::Printer, runtime, settings, signals, wiring};
use crate::{
    config::{LogConfig, SandboxConfig},
    environment::Environment,
    telemetry::init_logs,
};

#[derive(Debug, Args)]
pub(super) struct SandboxArgs {
    /// Where the provider's protocol and the sandbox's own side answer
    #[arg(long, value_name = "ADDR", default_value_t = SandboxConfig::default().listen)]
    listen: SocketAddr,
    /// Where its own side answers even while it refuses connections [default: the next port]
    #[arg(long, value_name = "ADDR")]
    control_listen: Option<SocketAddr>,
    /// The secret that callers must show [default: any will do]
    #[arg(long, value_name = "SECRET")]
    secret: Option<SecretString>,
}

pub(super) fn run(args: &SandboxArgs, printer: &mut Printer) -> Result<(), CliError> {
    begin_logs()?;
    let io = runtime::io()?;
    let stop = signals::stop_on_signal(io.handle())?;
    let environment = Environment::of_the_machine();
    io.block_on(async {
        let started = wiring::start_sandbox(
            args.listen,
            args.control_listen,
            args.secret.clone(),
            &environment,
        );
        let sandbox = started.await?;
        let (address, control) = (sandbox.address(), sandbox.control_address());
        printer.result(&format!(
            "the sandbox listens on http://{address}, and with its own side also on http://{control}"
        ))?;
        printer.result(&format!(
            "to use it: oncepay serve --provider-url http://{address}"
        ))?;
        printer.result(&format!(
            "what it has charged: curl http://{control}/sandbox/charges"
        ))?;
        stop.cancelled().await;
        sandbox.stop().await;
        Ok(())
    })
}

/// The sandbox has no settings but its flags; only the log's filter is taken from the environment.
fn begin_logs() -> Result<(), CliError> {
    let mut config = LogConfig::default();
    let variables = settings::environment_variables()?;
    let filter = variables
        .into_iter()
        .find(|(name, _)| name == "ONCEPAY_LOG");
    if let Some((_, filter)) = filter.filter(|(_, filter)| !filter.is_empty()) {
        config.filter = filter;
    }
    Ok(init_logs(&config)?)
}
