//! The sandbox's own side: faults are ordered, and the truth is counted.

use std::collections::BTreeMap;

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

/// A payment that moved or holds money; amounts in minor units.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Charge {
    pub(super) amount: i64,
    /// What is held, and could be captured.
    pub(super) amount_capturable: i64,
    pub(super) amount_captured: i64,
    pub(super) amount_refunded: i64,
    /// ISO 4217 code in small letters.
    pub(super) currency: String,
}

/// What moved in all, in minor units by currency.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) count: u64,
    pub(super) captured: BTreeMap<String, i64>,
    pub(super) refunded: BTreeMap<String, i64>,
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
    requests: BTreeMap<String, u64>,
    charges: u64,
    captured: BTreeMap<String, i64>,
    refunded: BTreeMap<String, i64>,
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
        self.order(plan).await
    }

    /// Puts a plan in force, as the sandbox reads it, in place of the one before.
    pub(super) async fn order(&self, plan: String) -> Result<(), DrillError> {
        let _in_force: InForce = self.ask(Method::PUT, "faults", None, Some(plan)).await?;
        Ok(())
    }

    /// How often each kind of the plan in force has struck.
    pub(super) async fn fired(&self) -> Result<Vec<(String, u64)>, DrillError> {
        let in_force: InForce = self.ask(Method::GET, "faults", None, None).await?;
        let rules = in_force.rules.into_iter();
        Ok(rules.map(|rule| (rule.kind, rule.fired)).collect())
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
        let charges = self.charges_in_full(reference).await?;
        Ok(charges.iter().map(|charge| charge.amount).collect())
    }

    pub(super) async fn charges_in_full(&self, reference: &str) -> Result<Vec<Charge>, DrillError> {
        let filter = Some(("metadata[reference]", reference));
        let charges: Charges = self.ask(Method::GET, "charges", filter, None).await?;
        Ok(charges.charges)
    }

    pub(super) async fn totals(&self) -> Result<Totals, DrillError> {
        let stats: Stats = self.ask(Method::GET, "stats", None, None).await?;
        Ok(Totals {
            count: stats.charges,
            captured: stats.captured,
            refunded: stats.refunded,
        })
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
