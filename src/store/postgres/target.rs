//! Which servers a URL names, and how a connection to one of them is made.
//!
//! Of several hosts, the one that takes writes is connected to. Each has its own time limit, and one
//! that is silent does not hold up the others: the next is asked soon after it.

use std::{
    fmt::{self, Display},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use diesel::ConnectionError;
use diesel_async::AsyncPgConnection;
use futures_util::stream::{FuturesUnordered, StreamExt};
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{sleep, timeout};
use tokio_postgres::{
    Config, NoTls,
    config::{Host, SslMode as Wanted, TargetSessionAttrs},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    super::StoreStartError,
    tls::{SslMode, TlsSettings},
};

/// How long one host may take, from its name to a session.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// How long a host may be silent before the next is asked beside it; RFC 8305 has this number.
const NEXT_AFTER: Duration = Duration::from_millis(250);

/// The servers of a URL.
#[derive(Clone)]
pub(super) struct Target {
    hosts: Vec<Endpoint>,
    tls: Option<MakeRustlsConnect>,
    tls_settings: TlsSettings,
    /// Whether a server that takes no writes is refused.
    must_take_writes: bool,
    /// The host of the last connection, which is asked first.
    last: Arc<AtomicUsize>,
}

#[derive(Clone)]
struct Endpoint {
    config: Config,
    name: String,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.hosts.iter().map(|host| &host.name);
        f.debug_list().entries(names).finish()
    }
}

/// The parameters of a URL that are read here and not by the driver.
#[derive(Debug, Default)]
struct Parameters {
    tls: TlsSettings,
    must_take_writes: Option<bool>,
}

impl Target {
    /// Reads a URL, which is not repeated in an error since it may hold a password. Each session is
    /// begun with the options `session`.
    pub(super) fn parse(url: &SecretString, session: &str) -> Result<Self, StoreStartError> {
        let (url, parameters) = Parameters::taken_from(url.expose_secret())?;
        let mut config: Config = (url.expose_secret().parse())
            .map_err(|error| StoreStartError::Url(Causes(&error).to_string()))?;
        let options = format!("{} {session}", config.get_options().unwrap_or_default());
        config.options(options.trim());
        let hosts = endpoints(&config, &parameters)?;
        Ok(Self {
            must_take_writes: hosts.len() > 1 || parameters.must_take_writes == Some(true),
            tls: parameters.tls.connector()?,
            tls_settings: parameters.tls,
            hosts,
            last: Arc::default(),
        })
    }

    /// Whether a server that takes no writes is refused: there may be another one that does.
    pub(super) fn must_take_writes(&self) -> bool {
        self.must_take_writes
    }

    /// Connects to the first host that lets us, beginning with the one that did last.
    pub(super) async fn connect(&self) -> Result<AsyncPgConnection, ConnectionError> {
        let first = self.last.load(Ordering::Relaxed);
        let count = self.hosts.len();
        let mut waiting = (first..first + count).map(|place| place % count);
        let mut trying = FuturesUnordered::new();
        let mut errors = Vec::new();
        loop {
            if let Some(place) = waiting.next() {
                trying.push(async move { (place, self.connect_to(place).await) });
            }
            let next = tokio::select! {
                ended = trying.next() => ended,
                () = sleep(NEXT_AFTER), if waiting.len() > 0 => continue,
            };
            match next {
                Some((place, Ok(connection))) => {
                    self.last.store(place, Ordering::Relaxed);
                    return Ok(connection);
                }
                Some((_, Err(error))) => errors.push(error),
                None => return Err(ConnectionError::BadConnection(errors.join("; "))),
            }
        }
    }

    async fn connect_to(&self, place: usize) -> Result<AsyncPgConnection, String> {
        let Some(Endpoint { config, name }) = self.hosts.get(place) else {
            return Err("there is no such host".to_owned());
        };
        // Boxed, since a handshake has a large state.
        let connecting = Box::pin(async {
            match &self.tls {
                Some(tls) => {
                    let (client, connection) = config.connect(tls.clone()).await?;
                    let made =
                        AsyncPgConnection::try_from_client_and_connection(client, connection);
                    Ok(made.await)
                }
                None => {
                    let (client, connection) = config.connect(NoTls).await?;
                    let made =
                        AsyncPgConnection::try_from_client_and_connection(client, connection);
                    Ok(made.await)
                }
            }
        });
        match timeout(CONNECT_MAX, connecting).await {
            Ok(Ok(Ok(connection))) => Ok(connection),
            Ok(Ok(Err(error))) => Err(format!("{name}: {error}")),
            Ok(Err(error)) => Err(format!("{name}: {}", self.told(&error))),
            Err(_) => Err(format!("{name}: no answer within two seconds")),
        }
    }

    fn told(&self, error: &tokio_postgres::Error) -> String {
        let told = Causes(error).to_string();
        match told.contains("TLS") {
            true => format!("{told} ({})", self.tls_settings),
            false => told,
        }
    }
}

impl Parameters {
    /// The URL without what was read from it.
    fn taken_from(url: &str) -> Result<(SecretString, Self), StoreStartError> {
        let mut read = Self::default();
        // A question mark in a password is none of ours.
        let after_password = url.find('@').unwrap_or(0);
        let Some(mark) = url[after_password..].find('?') else {
            return Ok((url.to_owned().into(), read));
        };
        let (rest, parameters) = url.split_at(after_password + mark);
        let mut left = Vec::new();
        for parameter in parameters[1..].split('&') {
            let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let decoded = |text| percent_decode_str(text).decode_utf8_lossy();
            let (key, value) = (decoded(key), decoded(value));
            if let Some(reason) = why_refused(&key, &value) {
                return Err(StoreStartError::Url(format!("leave out `{key}`: {reason}")));
            }
            match &*key {
                "sslmode" => read.tls.mode = value.parse()?,
                "sslrootcert" => read.tls.root_cert = Some(value.into_owned()),
                "target_session_attrs" => read.must_take_writes = Some(takes_writes(&value)?),
                _ => left.push(parameter),
            }
        }
        let url = match left.is_empty() {
            true => rest.to_owned(),
            false => format!("{rest}?{}", left.join("&")),
        };
        Ok((url.into(), read))
    }
}

/// Why a parameter of libpq is not taken: the program has a rule of its own in its place.
fn why_refused(key: &str, value: &str) -> Option<&'static str> {
    match key {
        "connect_timeout" => Some(
            "a host always has two seconds, and the next is asked beside it before they are over",
        ),
        "keepalives"
        | "keepalives_idle"
        | "keepalives_interval"
        | "keepalives_count"
        | "keepalives_retries"
        | "tcp_user_timeout" => {
            Some("a connection whose server falls silent is always given up within seconds")
        }
        "load_balance_hosts" if value != "disable" => {
            Some("of several hosts, always the one that takes writes is connected to")
        }
        _ => None,
    }
}

fn takes_writes(value: &str) -> Result<bool, StoreStartError> {
    match value {
        "read-write" | "primary" => Ok(true),
        "any" => Ok(false),
        other => Err(StoreStartError::Url(format!(
            "target_session_attrs={other} must be read-write, primary or any: payments are written"
        ))),
    }
}

/// One configuration for each host, so that each has its own time.
fn endpoints(config: &Config, parameters: &Parameters) -> Result<Vec<Endpoint>, StoreStartError> {
    let refused = |reason: &str| StoreStartError::Url(reason.to_owned());
    let (hosts, addresses, ports) = (
        config.get_hosts(),
        config.get_hostaddrs(),
        config.get_ports(),
    );
    let count = hosts.len().max(addresses.len());
    if count == 0 {
        return Err(refused("it names no host"));
    }
    if !hosts.is_empty() && !addresses.is_empty() && hosts.len() != addresses.len() {
        return Err(refused("it has as many `hostaddr` as hosts, or none"));
    }
    if ports.len() > 1 && ports.len() != count {
        return Err(refused("it has one port for each host, or one for all"));
    }
    if count > 1 && parameters.must_take_writes == Some(false) {
        return Err(refused(
            "of several hosts one must take writes: target_session_attrs=read-write, not any",
        ));
    }
    let endpoint = |place: usize| {
        let address = addresses.get(place);
        let address_as_host = || Host::Tcp(address.map(ToString::to_string).unwrap_or_default());
        let host = hosts.get(place).cloned().unwrap_or_else(address_as_host);
        let port = ports.get(place).or(ports.first()).copied().unwrap_or(5432);
        let mut one = Config::new();
        one.port(port)
            .options(config.get_options().unwrap_or_default())
            .application_name(config.get_application_name().unwrap_or("oncepay"))
            .ssl_mode(match parameters.tls.mode {
                SslMode::Disable => Wanted::Disable,
                SslMode::Prefer => Wanted::Prefer,
                SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => Wanted::Require,
            })
            .ssl_negotiation(config.get_ssl_negotiation())
            .channel_binding(config.get_channel_binding())
            .connect_timeout(CONNECT_MAX)
            .keepalives(true)
            .keepalives_idle(Duration::from_secs(10))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(3)
            .tcp_user_timeout(Duration::from_secs(10));
        if let Some(user) = config.get_user() {
            one.user(user);
        }
        if let Some(password) = config.get_password() {
            one.password(password);
        }
        if let Some(name) = config.get_dbname() {
            one.dbname(name);
        }
        if count > 1 || parameters.must_take_writes == Some(true) {
            one.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        if let Some(address) = address {
            one.hostaddr(*address);
        }
        let name = match &host {
            Host::Tcp(name) => {
                one.host(name);
                format!("{name}:{port}")
            }
            Host::Unix(folder) => {
                one.host_path(folder).ssl_mode(Wanted::Disable); // As libpq has it.
                format!("{}:{port}", folder.display())
            }
        };
        Endpoint { config: one, name }
    };
    Ok((0..count).map(endpoint).collect())
}

/// An error with its causes, since the driver's own text leaves out what happened.
struct Causes<'a>(&'a dyn std::error::Error);

impl Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
