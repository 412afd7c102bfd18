//! A call of the provider's API: which endpoint, on what, by whom, under which idempotency key.

use hyper::Method;

use super::faults::CallClass;
use super::form::Form;

/// One endpoint of the protocol; what it is about is the id in its path.
#[derive(Debug)]
pub(super) enum Endpoint {
    Create,
    Capture(Box<str>),
    Cancel(Box<str>),
    Refund,
    Retrieve(Box<str>),
    List,
    Search,
    RetrieveRefund(Box<str>),
    ListRefunds,
}

impl Endpoint {
    /// How many endpoints there are.
    pub(super) const COUNT: usize = 9;
    /// Names in the order of [`Endpoint::number`].
    pub(super) const NAMES: [&'static str; Self::COUNT] = [
        "create",
        "capture",
        "cancel",
        "refund",
        "retrieve",
        "list",
        "search",
        "retrieve_refund",
        "list_refunds",
    ];

    pub(super) fn find(method: &Method, path: &str) -> Option<Self> {
        let rest = path.strip_prefix("/v1/")?;
        let mut parts = rest.split('/');
        let parts = (parts.next()?, parts.next(), parts.next(), parts.next());
        match (method, parts) {
            (&Method::POST, ("payment_intents", None, ..)) => Some(Self::Create),
            (&Method::POST, ("payment_intents", Some(id), Some("capture"), None)) => {
                Some(Self::Capture(id.into()))
            }
            (&Method::POST, ("payment_intents", Some(id), Some("cancel"), None)) => {
                Some(Self::Cancel(id.into()))
            }
            (&Method::POST, ("refunds", None, ..)) => Some(Self::Refund),
            (&Method::GET, ("payment_intents", None, ..)) => Some(Self::List),
            (&Method::GET, ("payment_intents", Some("search"), None, _)) => Some(Self::Search),
            (&Method::GET, ("payment_intents", Some(id), None, _)) => {
                Some(Self::Retrieve(id.into()))
            }
            (&Method::GET, ("refunds", None, ..)) => Some(Self::ListRefunds),
            (&Method::GET, ("refunds", Some(id), None, _)) => Some(Self::RetrieveRefund(id.into())),
            _ => None,
        }
    }

    pub(super) fn class(&self) -> CallClass {
        match self {
            Self::Create => CallClass::Create,
            Self::Capture(_) => CallClass::Capture,
            Self::Cancel(_) => CallClass::Cancel,
            Self::Refund => CallClass::Refund,
            Self::Retrieve(_)
            | Self::List
            | Self::Search
            | Self::RetrieveRefund(_)
            | Self::ListRefunds => CallClass::Lookup,
        }
    }

    pub(super) fn moves_money(&self) -> bool {
        self.class() != CallClass::Lookup
    }

    pub(super) fn number(&self) -> usize {
        match self {
            Self::Create => 0,
            Self::Capture(_) => 1,
            Self::Cancel(_) => 2,
            Self::Refund => 3,
            Self::Retrieve(_) => 4,
            Self::List => 5,
            Self::Search => 6,
            Self::RetrieveRefund(_) => 7,
            Self::ListRefunds => 8,
        }
    }
}

/// One request, read as far as possible without knowing any state.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) endpoint: Endpoint,
    pub(super) path: Box<str>,
    /// The parameters: of the body of a `POST`, of the query of a `GET`.
    pub(super) form: Form,
    /// The secret of `Authorization: Bearer`.
    pub(super) secret: Option<Box<str>>,
    /// `Idempotency-Key` of a `POST`; ignored on a `GET`, as Stripe does.
    pub(super) key: Option<Box<str>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_is_found_and_nothing_else() {
        let found = |method: Method, path: &str| {
            Endpoint::find(&method, path).map(|endpoint| Endpoint::NAMES[endpoint.number()])
        };

        assert_eq!(found(Method::POST, "/v1/payment_intents"), Some("create"));
        assert_eq!(
            found(Method::POST, "/v1/payment_intents/pi_1/capture"),
            Some("capture")
        );
        assert_eq!(
            found(Method::POST, "/v1/payment_intents/pi_1/cancel"),
            Some("cancel")
        );
        assert_eq!(found(Method::POST, "/v1/refunds"), Some("refund"));
        assert_eq!(
            found(Method::GET, "/v1/payment_intents/pi_1"),
            Some("retrieve")
        );
        assert_eq!(found(Method::GET, "/v1/payment_intents"), Some("list"));
        assert_eq!(
            found(Method::GET, "/v1/payment_intents/search"),
            Some("search")
        );
        assert_eq!(
            found(Method::GET, "/v1/refunds/re_1"),
            Some("retrieve_refund")
        );
        assert_eq!(found(Method::GET, "/v1/refunds"), Some("list_refunds"));
        assert_eq!(found(Method::GET, "/v1/charges"), None);
        assert_eq!(found(Method::PUT, "/v1/refunds"), None);
        assert_eq!(
            found(Method::POST, "/v1/payment_intents/pi_1/capture/x"),
            None
        );
    }
}
