//! `oncepay check`: configuration and connections, a line for each finding.

use std::{process::ExitCode, sync::Arc};

use tokio::{net::TcpStream, runtime::Handle, time::timeout};
use url::Url;

use super::{
    error::{CliError, in_one_line},
    printer::Printer,
    routes::{self, unreachable_routes},
    runtime,
    serve::ServeArgs,
    wiring::{self, StoreFinding},
};
use crate::{
    config::{Config, ProviderConfig, describe_database, describe_redis},
    environment::Environment,
    lookups::{self, LookupError},
    provider::Provider,
    store::{Store, StoreStartError},
};

/// 0 when `serve` would work, 1 when not.
pub(super) fn run(args: &ServeArgs, printer: &mut Printer) -> Result<ExitCode, CliError> {
    let mut findings = Findings {
        printer,
        is_well: true,
    };
    match args.load() {
        Ok(config) => {
            let routing = config.routing.join(", ");
            findings.good("configuration", &format!("payments go to: {routing}"))?;
            runtime::io()?.block_on(check(&config, &mut findings))?;
        }
        Err(error) => {
            findings.bad("configuration", &in_one_line(&error))?;
        }
    }
    let code = if findings.is_well { 0 } else { 1 };
    Ok(ExitCode::from(code))
}

struct Findings<'a> {
    printer: &'a mut Printer,
    is_well: bool,
}

impl Findings<'_> {
    fn good(&mut self, what: &str, found: &str) -> Result<(), CliError> {
        self.printer.result(&format!("ok      {what}: {found}"))
    }

    /// What `serve` can do with, or without.
    fn warn(&mut self, what: &str, found: &str) -> Result<(), CliError> {
        self.printer.result(&format!("warning {what}: {found}"))
    }

    fn bad(&mut self, what: &str, found: &str) -> Result<(), CliError> {
        self.is_well = false;
        self.printer.result(&format!("FAILED  {what}: {found}"))
    }
}

async fn check(config: &Config, findings: &mut Findings<'_>) -> Result<(), CliError> {
    let store = check_store(config, findings).await?;
    check_redis(config, findings).await?;
    let providers = match wiring::build_providers(config, None, None, &Handle::current()) {
        Ok(providers) => providers,
        Err(error) => return findings.bad("providers", &in_one_line(&*error)),
    };
    for provider in &config.providers {
        if config.uses_built_in_sandbox() {
            findings.good("provider sandbox", "built in; `oncepay serve` starts it")?;
        } else {
            check_provider(provider, findings).await?;
        }
    }
    match store {
        Some(store) => check_routes(&providers, &*store, findings).await,
        None => Ok(()),
    }
}

/// Redis is never needed: without it, `serve` works as well.
async fn check_redis(config: &Config, findings: &mut Findings<'_>) -> Result<(), CliError> {
    let Some(url) = &config.redis_url else {
        return Ok(());
    };
    let named = describe_redis(url);
    let settings = match wiring::redis_settings(config) {
        Ok(Some(settings)) => settings,
        Ok(None) => return Ok(()),
        Err(error) => return findings.bad("redis", &in_one_line(&*error)),
    };
    match lookups::reach(&settings).await {
        Ok(()) => findings.good("redis", &format!("{named} answers")),
        Err(error @ LookupError::Settings(_)) => {
            findings.bad("redis", &format!("{named}: {}", in_one_line(&error)))
        }
        Err(error) => {
            let found = format!("{named}: {}; payments do not need it", in_one_line(&error));
            findings.warn("redis", &found)
        }
    }
}

async fn check_store(
    config: &Config,
    findings: &mut Findings<'_>,
) -> Result<Option<Arc<dyn Store>>, CliError> {
    let database = describe_database(&config.database_url);
    let environment = Environment::of_the_machine();
    let found = match wiring::inspect_store(config, &environment).await {
        Ok(StoreFinding::UpToDate { store, remarks }) => match store.ping().await {
            Ok(()) => {
                findings.good("store", &format!("{database} answers"))?;
                for remark in remarks {
                    findings.warn("store", &remark)?;
                }
                return Ok(Some(store));
            }
            Err(error) => {
                findings.bad("store", &format!("{database}: {}", in_one_line(&error)))?;
                return Ok(None);
            }
        },
        Ok(StoreFinding::Pending(migrations) | StoreFinding::Blank(migrations))
            if !config.database_migrate =>
        {
            let lacks = StoreStartError::MigrationsPending(migrations);
            findings.bad("store", &format!("{database}: {lacks}"))?;
            return Ok(None);
        }
        Ok(StoreFinding::Pending(migrations) | StoreFinding::Blank(migrations)) => format!(
            "{database} answers; `oncepay serve` and `oncepay migrate` will run {}",
            migrations.join(", ")
        ),
        Ok(StoreFinding::ToBeMade) => {
            format!("{database} does not exist yet; `oncepay serve` makes it")
        }
        Err(error) => {
            findings.bad("store", &format!("{database}: {}", in_one_line(&error)))?;
            return Ok(None);
        }
    };
    findings.good("store", &found)?;
    Ok(None)
}

/// Opens a connection and closes it: a call could cost something, or be refused for its content.
async fn check_provider(
    provider: &ProviderConfig,
    findings: &mut Findings<'_>,
) -> Result<(), CliError> {
    let what = format!("provider {}", provider.name);
    let connected = match Url::parse(&provider.url)
        .ok()
        .and_then(|url| Some((url.host_str()?.to_owned(), url.port_or_known_default()?)))
    {
        Some((host, port)) => {
            let host = host.trim_matches(['[', ']']).to_owned();
            let connecting = TcpStream::connect((host, port));
            match timeout(provider.connect_timeout(), connecting).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err("no connection in time".to_owned()),
            }
        }
        None => Err("its URL names no host".to_owned()),
    };
    let (url, retired) = (
        &provider.url,
        if provider.retired { ", retired" } else { "" },
    );
    match connected {
        Ok(()) => findings.good(&what, &format!("{url} takes connections{retired}")),
        Err(error) => findings.bad(&what, &format!("{url}: {error}{retired}")),
    }
}

/// Whether every unsettled operation still finds the provider that it went to.
async fn check_routes(
    providers: &[Arc<dyn Provider>],
    store: &dyn Store,
    findings: &mut Findings<'_>,
) -> Result<(), CliError> {
    let what = "unsettled operations";
    let unsettled = match store.unsettled_routes().await {
        Ok(unsettled) => unsettled,
        Err(error) => return findings.bad(what, &in_one_line(&error)),
    };
    let profiles = providers.iter().map(|provider| provider.profile());
    let unreachable = unreachable_routes(&unsettled, profiles);
    for line in &unreachable {
        findings.bad(what, &format!("{line}: {}", routes::ADVICE))?;
    }
    if unreachable.is_empty() {
        let count: i64 = unsettled.iter().map(|route| route.count).sum();
        findings.good(what, &format!("{count}, each with its provider"))?;
    }
    Ok(())
}
