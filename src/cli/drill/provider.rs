//! The sandbox's own side: faults are ordered, and the truth is counted.

use reqwest::{Client, Method, Url};
use serde::{Deserialize, de::DeserializeOwned};

use super::{api::http_client, error::DrillError, scenario::Faults};
use crate::sandbox::FaultKind;

/// The way to the sandbox's control port, which no fault ever closes.
#[derive(Clone, Debug)]
pub(super) struct Provider {
    http: Client,
    base: Url,
}

#[derive(Deserialize)]
struct Charges {
    count: u64,
    charges: Vec<Charge>,
}

#[derive(Deserialize)]
struct Charge {
    amount: i64,
}

#[derive(Deserialize)]
struct InForce {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    kind: String,
    fired: u64,
}

#[derive(Deserialize)]
struct Stats {
    requests: std::collections::BTreeMap<String, u64>,
}

impl Provider {
    pub(super) fn new(base: Url) -> Result<Self, DrillError> {
        let http = http_client(&base)?;
        Ok(Self { http, base })
    }

    pub(super) fn url(&self) -> &Url {
        &self.base
    }

    pub(super) async fn set_faults(
        &self,
        faults: &Faults,
        spared: Option<FaultKind>,
    ) -> Result<(), DrillError> {
        let plan = faults.json(spared).to_string();
        let _in_force: InForce = self.ask(Method::PUT, "faults", None, Some(plan)).await?;
        Ok(())
    }

    /// Ends all faults, and gives how often they have struck.
    pub(super) async fn clear_faults(&self) -> Result<u64, DrillError> {
        let in_force: InForce = self.ask(Method::GET, "faults", None, None).await?;
        let _none: InForce = self.ask(Method::DELETE, "faults", None, None).await?;
        let strikes = in_force.rules.iter().filter(|rule| {
            // It slows one way of looking down, and is in nobody's way otherwise.
            rule.kind != FaultKind::LookupLag.name()
        });
        Ok(strikes.map(|rule| rule.fired).sum())
    }

    /// How many charges there are in all.
    pub(super) async fn charges_in_all(&self) -> Result<u64, DrillError> {
        let charges: Charges = self.ask(Method::GET, "charges", None, None).await?;
        Ok(charges.count)
    }

    /// The amounts of the charges that were made for this reference.
    pub(super) async fn charges_of(&self, reference: &str) -> Result<Vec<i64>, DrillError> {
        let filter = Some(("metadata[reference]", reference));
        let charges: Charges = self.ask(Method::GET, "charges", filter, None).await?;
        Ok(charges.charges.iter().map(|charge| charge.amount).collect())
    }

    /// How many payments the provider was asked for so far, whatever became of them.
    pub(super) async fn payments_asked(&self) -> Result<u64, DrillError> {
        let stats: Stats = self.ask(Method::GET, "stats", None, None).await?;
        Ok(stats.requests.get("create").copied().unwrap_or(0))
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        what: &str,
        query: Option<(&str, &str)>,
        body: Option<String>,
    ) -> Result<T, DrillError> {
        let silent = |source: reqwest::Error| DrillError::SandboxSilent {
            url: self.base.to_string(),
            source: source.without_url(),
        };
        let mut url = self.base.clone();
        url.set_path(&format!("/sandbox/{what}"));
        if let Some((name, value)) = query {
            url.query_pairs_mut().append_pair(name, value);
        }
        let request = format!("{method} /sandbox/{what}");
        let asked = self.http.request(method, url);
        let asked = asked.body(body.unwrap_or_default());
        let answer = asked.send().await.map_err(silent)?;
        let status = answer.status().as_u16();
        let answered = || DrillError::SandboxAnswer {
            url: self.base.to_string(),
            request,
            status,
        };
        if status != 200 {
            return Err(answered());
        }
        let body = answer.bytes().await.map_err(silent)?;
        #[expect(
            clippy::map_err_ignore,
            reason = "it is not a sandbox, whatever it said"
        )]
        serde_json::from_slice(&body).map_err(|_| answered())
    }
}
