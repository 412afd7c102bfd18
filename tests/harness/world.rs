//! The world of one test, and what may be done in it.

use std::{net::SocketAddr, sync::Once, time::Duration};

use oncepay::{
    environment::Environment,
    sandbox::{ChargeFilter, FaultPlan, Latency, Sandbox, SandboxConfig},
};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use super::{
    answer::Answer,
    database::{Backend, Database},
    process::ServerProcess,
};

/// Long enough for the slowest machine; a condition that holds ends the wait at once.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const API_KEY: &str = "op_test_0123456789abcdefghijklmnopqrstuvwxyz";
pub(crate) const ADMIN_KEY: &str = "op_admin_0123456789abcdefghijklmnopqrstuvwxyz";

/// Settings of a server beside those that every test has: names and values of its environment, and
/// of its provider where the name begins with `provider.`, as in `provider.attempt_timeout_ms`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Knobs(pub(crate) Vec<(&'static str, String)>);

pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    pub(crate) server: ServerProcess,
    pub(crate) database: Database,
    http: Client,
    knobs: Knobs,
}

impl World {
    pub(crate) async fn start(backend: Backend) -> Self {
        Self::start_with(backend, Knobs::default()).await
    }

    pub(crate) async fn start_with(backend: Backend, knobs: Knobs) -> Self {
        let environment = Environment::of_the_machine();
        let (now, any_port) = (environment.clone(), SocketAddr::from(([127, 0, 0, 1], 0)));
        let now = move || now.now().as_micros();
        let seed = u64::from_le_bytes(environment.random_bytes());
        let config = SandboxConfig::new(any_port, seed, std::sync::Arc::new(now));
        let sandbox = Sandbox::start(config).await.unwrap();
        let database = Database::create(backend).await;
        let server = Self::spawn(&sandbox, &database, &knobs).await;
        Self {
            sandbox,
            server,
            database,
            http: client(),
            knobs,
        }
    }

    async fn spawn(sandbox: &Sandbox, database: &Database, knobs: &Knobs) -> ServerProcess {
        let (of_provider, others): (Vec<_>, Vec<_>) =
            (knobs.0.iter().cloned()).partition(|(name, _)| name.starts_with("provider."));
        let url = format!("http://{}", sandbox.address());
        let mut settings = vec![
            ("ONCEPAY_DATABASE_URL", database.url().to_owned()),
            ("ONCEPAY_BOOTSTRAP_API_KEY", API_KEY.to_owned()),
            ("ONCEPAY_BOOTSTRAP_ADMIN_KEY", ADMIN_KEY.to_owned()),
        ];
        let file = tempfile::NamedTempFile::new().unwrap(); // Read once, at the start.
        if of_provider.is_empty() {
            settings.push(("ONCEPAY_PROVIDER_URL", url));
            settings.push(("ONCEPAY_PROVIDER_SECRET", "sandbox_secret".to_owned()));
        } else {
            let mut toml = format!(
                "[[providers]]\nname = \"stripe\"\nurl = \"{url}\"\nsecret = \"sandbox_secret\"\n"
            );
            for (name, value) in of_provider {
                toml.push_str(&format!("{} = {value}\n", &name["provider.".len()..]));
            }
            std::fs::write(file.path(), toml).unwrap();
            settings.push(("ONCEPAY_CONFIG", file.path().display().to_string()));
        }
        let settings = settings.into_iter().chain(others);
        ServerProcess::start(settings, PATIENCE).await
    }

    /// Kills the server, as a power cut would.
    pub(crate) fn kill_server(&mut self) {
        self.server.kill();
    }

    /// Starts a server over the same database and sandbox.
    pub(crate) async fn restart_server(&mut self) {
        self.server.kill();
        self.server = Self::spawn(&self.sandbox, &self.database, &self.knobs).await;
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("http://{}{path}", self.server.address()))
    }

    /// Asks for a payment under `key`.
    pub(crate) fn paying(&self, key: &str, body: &Value) -> RequestBuilder {
        self.paying_as(API_KEY, key, body)
    }

    pub(crate) fn paying_as(&self, api_key: &str, key: &str, body: &Value) -> RequestBuilder {
        self.request(Method::POST, "/payments")
            .bearer_auth(api_key)
            .header("idempotency-key", key)
            .header("content-type", "application/json")
            .body(body.to_string())
    }

    pub(crate) async fn pay(&self, key: &str, body: &Value) -> Answer {
        send(self.paying(key, body)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path).bearer_auth(API_KEY)).await
    }

    /// Makes a merchant with the command line, and gives back a test key of it.
    pub(crate) fn new_merchant(&self, name: &str) -> String {
        self.oncepay(&["merchants", "create", name]);
        self.oncepay(&["keys", "create", "--test", "--merchant", name])
    }

    /// Runs a command over this world's database, and gives back its standard output.
    pub(crate) fn oncepay(&self, arguments: &[&str]) -> String {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_oncepay"))
            .args(arguments)
            .env_clear()
            .env("ONCEPAY_DATABASE_URL", self.database.url())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Every provider call takes so long.
    pub(crate) async fn latency_ms(&self, ms: f64) {
        self.inject(FaultPlan::latency(Latency::constant(ms).unwrap()))
            .await;
    }

    pub(crate) fn inject(&self, faults: impl Into<FaultPlan>) -> impl Future<Output = ()> {
        self.sandbox.set_faults(faults)
    }

    /// What moved or holds money at the provider: the only judge.
    pub(crate) fn charges(&self) -> usize {
        self.charges_that(&ChargeFilter::all())
    }

    pub(crate) fn charges_that(&self, filter: &ChargeFilter) -> usize {
        usize::try_from(self.sandbox.charges(filter).count).unwrap()
    }
}

pub(crate) async fn send(request: RequestBuilder) -> Answer {
    Answer::of(request.send().await.unwrap()).await
}

pub(crate) fn eur(amount: i64) -> Value {
    json!({"amount": amount, "currency": "EUR", "payment_method": "pm_card_visa"})
}

/// Waits until `holds` gives a value.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut holds: impl FnMut() -> F,
) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(value) = holds().await {
            return value;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "waited in vain until {what}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) fn client() -> Client {
    static CRYPTO: Once = Once::new();
    // Another suite may have installed the same provider before.
    CRYPTO.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    Client::builder()
        .no_proxy()
        .timeout(PATIENCE)
        .build()
        .unwrap()
}
