//! Everything that clients asked and were told, in the order of the answers.

use std::{io, io::Write, path::Path, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

/// An operation of a client: what it asks for under one key, however often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Asked {
    pub(super) key: String,
    pub(super) kind: Kind,
    /// In minor units; a cancel has none.
    pub(super) amount: i64,
    /// Of the payment: ISO 4217 code in capitals.
    pub(super) currency: &'static str,
    /// The key under which the payment was created; for a creation its own.
    pub(super) payment_key: String,
    /// The payment that it is about; a creation knows none yet.
    pub(super) payment: Option<String>,
    /// Of a creation: whether it is held only, and not captured.
    pub(super) manual: bool,
    pub(super) payment_method: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Create,
    Capture,
    Cancel,
    Refund,
}

/// By which way a request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Via {
    Balancer,
    Node(usize),
}

/// One request, and what came of it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Entry {
    #[serde(flatten, serialize_with = "shared")]
    pub(super) asked: Arc<Asked>,
    pub(super) via: Via,
    /// Both since the campaign began.
    pub(super) from: Duration,
    pub(super) until: Duration,
    pub(super) came: Came,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Came {
    Answer(Answer),
    /// Refused, reset, or too late: the request may have arrived or not.
    Cut,
    /// The client left before the answer.
    Left,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) replayed: bool,
    /// As text; answers of ours are.
    pub(super) body: String,
}

impl Answer {
    /// Whether it claims to be the last word.
    pub(super) fn is_definite(&self) -> bool {
        matches!(self.status, 200 | 201 | 402)
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// The code of a problem.
    pub(super) fn code(&self) -> Option<String> {
        Some(self.json().get("code")?.as_str()?.to_owned())
    }

    /// The payment that the answer shows, itself or in a problem.
    pub(super) fn payment(&self) -> Option<Value> {
        let json = self.json();
        let is_payment =
            |value: &&Value| value.get("object").and_then(Value::as_str) == Some("payment");
        json.get("payment")
            .filter(is_payment)
            .or(Some(&json).filter(is_payment))
            .cloned()
    }

    pub(super) fn refund(&self) -> Option<Value> {
        let json = self.json();
        (json.get("object")?.as_str()? == "refund").then_some(json)
    }
}

impl Entry {
    pub(super) fn answer(&self) -> Option<&Answer> {
        match &self.came {
            Came::Answer(answer) => Some(answer),
            Came::Cut | Came::Left => None,
        }
    }

    pub(super) fn definite(&self) -> Option<&Answer> {
        self.answer().filter(|answer| answer.is_definite())
    }
}

fn shared<S: Serializer>(asked: &Arc<Asked>, to: S) -> Result<S::Ok, S::Error> {
    asked.as_ref().serialize(to)
}

/// Writes a line of JSON for each request.
pub(super) fn write(history: &[Entry], path: &Path) -> io::Result<()> {
    let mut file = io::BufWriter::new(std::fs::File::create(path)?);
    for entry in history {
        serde_json::to_writer(&mut file, entry)?;
        file.write_all(b"\n")?;
    }
    file.flush()
}
