//! The world of one test, and what may be done in it.

use std::{sync::Once, time::Duration};

use oncepay::sandbox::{ChargeFilter, FaultPlan, Latency, Sandbox};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use super::{
    answer::Answer,
    database::{Backend, Database},
    process::ServerProcess,
    providers::{self, ProviderKnobs},
    proxy::Proxy,
};

/// Long enough for the slowest machine; a condition that holds ends the wait at once.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const API_KEY: &str = "op_test_0123456789abcdefghijklmnopqrstuvwxyz";
pub(crate) const ADMIN_KEY: &str = "op_admin_0123456789abcdefghijklmnopqrstuvwxyz";

/// Settings of a server beside those that every test has: names and values of its environment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Knobs(pub(crate) Vec<(&'static str, String)>);

/// A server, and all that it works with.
pub(crate) struct World {
    pub(crate) server: ServerProcess,
    http: Client,
    around: Surroundings,
}

/// What outlives a server.
pub(crate) struct Surroundings {
    /// The one provider, or the first of several.
    pub(crate) sandbox: Sandbox,
    /// Those of the further providers.
    pub(crate) others: Vec<Sandbox>,
    pub(crate) database: Database,
    knobs: Knobs,
    /// As the next server that starts will know them.
    pub(crate) providers: Vec<ProviderKnobs>,
    folder: tempfile::TempDir,
}

impl std::ops::Deref for World {
    type Target = Surroundings;

    fn deref(&self) -> &Surroundings {
        &self.around
    }
}

impl std::ops::DerefMut for World {
    fn deref_mut(&mut self) -> &mut Surroundings {
        &mut self.around
    }
}

impl Surroundings {
    async fn start_server(&self, more: Knobs) -> ServerProcess {
        ServerProcess::start(self.settings().chain(more.0), PATIENCE).await
    }

    /// The environment of the next server.
    fn settings(&self) -> impl Iterator<Item = (&'static str, String)> {
        let mut settings = vec![
            ("ONCEPAY_DATABASE_URL", self.database.url().to_owned()),
            ("ONCEPAY_BOOTSTRAP_API_KEY", API_KEY.to_owned()),
            ("ONCEPAY_BOOTSTRAP_ADMIN_KEY", ADMIN_KEY.to_owned()),
        ];
        if self.providers.is_empty() {
            let url = format!("http://{}", self.sandbox.address());
            settings.push(("ONCEPAY_PROVIDER_URL", url));
            settings.push(("ONCEPAY_PROVIDER_SECRET", "sandbox_secret".to_owned()));
        } else {
            settings.push(("ONCEPAY_CONFIG", self.configuration()));
        }
        settings.into_iter().chain(self.knobs.0.iter().cloned())
    }

    /// Runs a command that is to end by itself with the settings of the next server; its exit code, and
    /// all that it says.
    pub(crate) async fn command(&self, name: &str) -> (Option<i32>, String) {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_oncepay"));
        command.arg(name).env_clear().envs(self.settings());
        command.env("ONCEPAY_LISTEN", "127.0.0.1:0");
        let output = tokio::task::spawn_blocking(move || command.output().unwrap());
        let output = output.await.unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    }

    /// Runs a command with the settings of the next server to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> std::process::Output {
        self.program(arguments).output().unwrap()
    }

    /// A command with the settings of the next server, not yet started.
    pub(crate) fn program(&self, arguments: &[&str]) -> std::process::Command {
        let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_oncepay"));
        program.args(arguments).env_clear().envs(self.settings());
        program
    }

    /// Writes the file that names the providers, and gives back where it is.
    fn configuration(&self) -> String {
        // Who has no sandbox of its own says where it is.
        let sandboxes = std::iter::once(&self.sandbox).chain(&self.others);
        let sandboxes = sandboxes.chain(std::iter::repeat(&self.sandbox));
        let tables = self.providers.iter().zip(sandboxes);
        let tables = tables.map(|(provider, sandbox)| provider.table(sandbox.address()));
        let path = self.folder.path().join("oncepay.toml");
        std::fs::write(&path, tables.collect::<String>()).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl World {
    pub(crate) async fn start(backend: Backend) -> Self {
        Self::start_with(backend, Knobs::default()).await
    }

    pub(crate) async fn start_with(backend: Backend, knobs: Knobs) -> Self {
        Self::start_at(backend, knobs, Vec::new()).await
    }

    /// A world whose server knows each of `providers`, the preferred first; the world's own sandbox is
    /// the first, and each further one has a sandbox in `others`.
    pub(crate) async fn start_at(
        backend: Backend,
        knobs: Knobs,
        providers: Vec<ProviderKnobs>,
    ) -> Self {
        Self::start_over(Database::create(backend).await, knobs, providers).await
    }

    /// As [`Self::start_at`], over a database that there is already.
    pub(crate) async fn start_over(
        database: Database,
        knobs: Knobs,
        providers: Vec<ProviderKnobs>,
    ) -> Self {
        let mut others = Vec::new();
        for _ in providers.iter().skip(1) {
            others.push(providers::sandbox().await);
        }
        let around = Surroundings {
            sandbox: providers::sandbox().await,
            others,
            database,
            knobs,
            providers,
            folder: tempfile::tempdir().unwrap(),
        };
        Self {
            server: around.start_server(Knobs::default()).await,
            http: client(),
            around,
        }
    }

    /// Kills the server, as a power cut would.
    pub(crate) fn kill_server(&mut self) {
        self.server.kill();
    }

    /// Starts a server over the same database and sandbox.
    pub(crate) async fn restart_server(&mut self) {
        self.server.kill();
        self.server = self.around.start_server(Knobs::default()).await;
    }

    /// Puts a proxy between the first provider and the server, which is started again for it, and every
    /// server that starts later. Whatever was paid before is of another account.
    pub(crate) async fn proxy_to_provider(&mut self) -> Proxy {
        let proxy = Proxy::start(self.sandbox.address()).await;
        self.providers[0].address = Some(proxy.address());
        self.restart_server().await;
        proxy
    }

    /// Starts one more server over the same database and sandboxes, which knows the world's knobs and
    /// then `knobs`.
    pub(crate) async fn another_node(&self, knobs: Knobs) -> ServerProcess {
        self.around.start_server(knobs).await
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.request_at(&self.server, method, path)
    }

    pub(crate) fn request_at(
        &self,
        node: &ServerProcess,
        method: Method,
        path: &str,
    ) -> RequestBuilder {
        self.http
            .request(method, format!("http://{}{path}", node.address()))
    }

    /// Asks `node` for a payment under `key`.
    pub(crate) fn paying_at(
        &self,
        node: &ServerProcess,
        key: &str,
        body: &Value,
    ) -> RequestBuilder {
        self.request_at(node, Method::POST, "/payments")
            .bearer_auth(API_KEY)
            .header("idempotency-key", key)
            .header("content-type", "application/json")
            .body(body.to_string())
    }

    pub(crate) async fn pay_at(&self, node: &ServerProcess, key: &str, body: &Value) -> Answer {
        send(self.paying_at(node, key, body)).await
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

/// The sum of a counter or gauge over all its labels that contain `label`.
pub(crate) async fn metric(world: &World, name: &str, label: &str) -> u64 {
    let text = send(world.request(Method::GET, "/metrics"))
        .await
        .expect(200)
        .body;
    let text = String::from_utf8(text).unwrap();
    let lines = text
        .lines()
        .filter(|line| line.starts_with(&format!("{name}{{")) && line.contains(label));
    lines
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64)
        .sum()
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
