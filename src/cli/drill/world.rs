//! What is drilled: a throw-away world, or a server that somebody else runs.

use std::{sync::Arc, time::Duration};

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, timeout};

use super::{
    api::{Api, Wish},
    error::DrillError,
    provider::Provider,
    scenario::{Disturbance, Scenario},
    throw_away::{Reach, ThrowAway},
    visit::{Came, Manner, visit},
};
use crate::{api_key::KeyKind, environment::Environment, payment::Mode, sandbox::FaultKind};

#[derive(Debug)]
pub(super) struct World {
    pub(super) api: Arc<Api>,
    pub(super) provider: Provider,
    pub(super) own: Option<ThrowAway>,
    pub(super) environment: Environment,
    /// What every key of this drill begins with, so that no other drill has used it.
    pub(super) run: String,
    /// Charges at the provider before the drill.
    charges_before: u64,
    probes: Vec<Wish>,
}

/// A server that somebody else runs.
pub(super) struct Given {
    pub(super) url: Url,
    pub(super) sandbox_url: Url,
    pub(super) key: SecretString,
}

/// How long a server has to become well again: longer than a breaker stays open.
const WELL_WITHIN: Duration = Duration::from_secs(60);
const TAKE_DOWN_WITHIN: Duration = Duration::from_secs(3);
const RUN_LETTERS: usize = 8;

impl World {
    pub(super) async fn throw_away(
        database_url: Option<&SecretString>,
        clients: u32,
        environment: &Environment,
    ) -> Result<Self, DrillError> {
        let (own, reach) = ThrowAway::start(database_url, clients, environment).await?;
        Self::reached(reach, Some(own), environment).await
    }

    pub(super) async fn given(given: Given, environment: &Environment) -> Result<Self, DrillError> {
        if KeyKind::of(given.key.expose_secret()) != Some(KeyKind::Merchant(Mode::Test)) {
            return Err(DrillError::NotATestKey);
        }
        let reach = Reach {
            server: base_url(given.url)?,
            sandbox: base_url(given.sandbox_url)?,
            key: given.key,
        };
        Self::reached(reach, None, environment).await
    }

    async fn reached(
        reach: Reach,
        own: Option<ThrowAway>,
        environment: &Environment,
    ) -> Result<Self, DrillError> {
        let provider = Provider::new(reach.sandbox)?;
        let mut this = Self {
            api: Arc::new(Api::new(reach.server, reach.key)?),
            charges_before: provider.charges_in_all().await?,
            provider,
            own,
            environment: environment.clone(),
            run: run_name(environment),
            probes: Vec::new(),
        };
        this.provider.clear_faults().await?;
        let server = this.api.base().to_string();
        if let Err(why) = this.well().await {
            return Err(DrillError::NoPayment { url: server, why });
        }
        if this.probe_charges().await? == 0 {
            let sandbox = this.provider.url().to_string();
            return Err(DrillError::AnotherProvider { server, sandbox });
        }
        Ok(this)
    }

    /// Waits until the server takes a payment, with nothing in its way; or says what it does instead.
    pub(super) async fn well(&mut self) -> Result<(), String> {
        let wish = Wish {
            key: format!("{}-well-{}", self.run, self.probes.len()),
            amount: 1,
            payment_method: "pm_card_visa",
        };
        self.probes.push(wish.clone());
        let until = Instant::now() + WELL_WITHIN;
        let visit = visit(&self.api, &self.environment, wish, Manner::Steady, until).await;
        if visit.came.contains_key(&Came::Status(201)) {
            return Ok(());
        }
        let came: Vec<_> = visit.came.keys().map(ToString::to_string).collect();
        Err(format!("it answers {}", came.join(", ")))
    }

    /// Why a row cannot be run in this world, if it cannot.
    pub(super) fn lacks(&self, scenario: &Scenario) -> Option<&'static str> {
        let own = self.own.as_ref();
        let is_spared = |kind| scenario.faults.are_only(kind);
        match scenario.disturbance {
            Disturbance::None if self.spared().is_some_and(is_spared) => Some(
                "it settles after key_retention_s, a day by default; without --url that is short",
            ),
            Disturbance::None => None,
            Disturbance::KillServer { .. } if own.is_some() => None,
            Disturbance::KillServer { .. } => {
                Some("the server is not ours to kill; without --url it is")
            }
            Disturbance::Database { .. } if own.is_some_and(|own| own.gate().is_some()) => None,
            Disturbance::Database { .. } if own.is_some() => {
                Some("it needs --database-url postgres://host/..; SQLite is a part of the server")
            }
            Disturbance::Database { .. } => Some("the database is not ours to take away"),
            Disturbance::Redis { .. } if own.is_some_and(|own| own.redis().is_some()) => None,
            Disturbance::Redis { .. } if own.is_some() => Some("redis-server is not installed"),
            Disturbance::Redis { .. } => Some("its Redis is not ours to take away"),
        }
    }

    /// The fault that nobody orders here. What the provider refuses for good is known never to have
    /// been carried out only after it has forgotten the key: of our own server that is soon.
    pub(super) fn spared(&self) -> Option<FaultKind> {
        self.own.is_none().then_some(FaultKind::ErrorStored)
    }

    /// Charges since the drill began, where nobody else can have made any, those of the probes
    /// left out.
    pub(super) async fn charges_of_the_drill(&self) -> Result<Option<u64>, DrillError> {
        if self.own.is_none() {
            return Ok(None);
        }
        let all = self.provider.charges_in_all().await? - self.charges_before;
        Ok(Some(all.saturating_sub(self.probe_charges().await?)))
    }

    async fn probe_charges(&self) -> Result<u64, DrillError> {
        let mut charges = 0;
        for probe in &self.probes {
            charges += self.provider.charges_of(&probe.key).await?.len() as u64;
        }
        Ok(charges)
    }

    /// Leaves nothing behind: no fault, and of a throw-away world no process and no file.
    pub(super) async fn take_down(self) {
        if self.own.is_none() {
            // A sandbox that does not answer any more has no faults either.
            drop(timeout(TAKE_DOWN_WITHIN, self.provider.clear_faults()).await);
        }
    }
}

fn base_url(url: Url) -> Result<Url, DrillError> {
    if matches!(url.scheme(), "http" | "https") && url.has_host() {
        return Ok(url);
    }
    Err(DrillError::BaseUrl {
        url: url.to_string(),
    })
}

/// Letters only: digits could look like a card number.
pub(super) fn run_name(environment: &Environment) -> String {
    let letters = environment.random_bytes::<RUN_LETTERS>();
    let letters = letters.map(|byte| char::from(b'a' + byte % 26));
    format!("drill-{}", letters.iter().collect::<String>())
}
