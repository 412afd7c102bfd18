//! The payment's state machine: one function knows which events are legal.

use std::{fmt, str::FromStr};

use super::PaymentEvent;

/// What a client sees of a payment's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PaymentStatus {
    /// Recorded; it may be, or may have been, sent; being settled.
    Processing,
    /// Certainly not sent; waits for the client.
    Pending,
    /// The money is held.
    Authorized,
    /// The money has moved.
    Succeeded,
    /// No money moved, and none will.
    Failed,
    /// Given up before money moved.
    Canceled,
}

/// An event that cannot happen to a payment in that state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a payment that is {from} cannot have been {event}")]
pub struct IllegalEvent {
    pub from: PaymentStatus,
    pub event: &'static str,
}

impl PaymentStatus {
    pub const ALL: [Self; 6] = [
        Self::Processing,
        Self::Pending,
        Self::Authorized,
        Self::Succeeded,
        Self::Failed,
        Self::Canceled,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Processing => "processing",
            Self::Pending => "pending",
            Self::Authorized => "authorized",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }

    /// The status after `event`.
    ///
    /// A definite answer is legal while the payment is `pending`, too: should a provider ever claim
    /// a charge for what was certainly not sent, its word about money stands above our evidence.
    ///
    /// # Errors
    /// [`IllegalEvent`] for every pair that the table test does not list.
    pub fn apply(self, event: &PaymentEvent) -> Result<Self, IllegalEvent> {
        use {PaymentEvent as E, PaymentStatus as S};
        match (self, event) {
            (S::Processing, E::BecameInDoubt { .. }) => Ok(S::Processing),
            (S::Processing, E::Released { .. }) => Ok(S::Pending),
            (S::Pending, E::Resumed {}) => Ok(S::Processing),
            (S::Processing | S::Pending, E::Restored { .. }) => Ok(S::Processing),
            (S::Authorized | S::Succeeded | S::Canceled, E::Restored { .. }) => Ok(self),
            (S::Processing | S::Pending, E::Authorized { .. }) => Ok(S::Authorized),
            (S::Processing | S::Pending | S::Authorized, E::Captured { .. }) => Ok(S::Succeeded),
            (S::Processing | S::Pending, E::Declined { .. }) => Ok(S::Failed),
            (S::Pending, E::Expired {}) => Ok(S::Failed),
            (S::Pending, E::Canceled {}) => Ok(S::Canceled),
            (S::Authorized, E::Voided {}) => Ok(S::Canceled),
            (S::Processing, E::FailedOver { .. }) => Ok(self),
            (
                S::Authorized | S::Succeeded | S::Failed | S::Canceled,
                E::StrayCharge { .. } | E::StrayChargeReversed { .. },
            ) => Ok(self),
            (S::Pending | S::Authorized | S::Succeeded, E::OperationBegun { .. }) => Ok(self),
            (S::Succeeded, E::Refunded { .. }) => Ok(self),
            (
                S::Authorized | S::Succeeded | S::Canceled,
                E::OperationInDoubt { .. }
                | E::OperationReleased { .. }
                | E::OperationResumed { .. }
                | E::OperationFailed { .. }
                | E::StrayOperation { .. },
            ) => Ok(self),
            (_, E::Resolved { .. }) => Ok(self),
            (from, event) => Err(IllegalEvent {
                from,
                event: event.name(),
            }),
        }
    }
}

impl fmt::Display for PaymentStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for PaymentStatus {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or(())
    }
}

impl serde::Serialize for PaymentStatus {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_event() -> Vec<PaymentEvent> {
        use PaymentEvent as E;
        let text = || "x".to_owned();
        vec![
            E::Created {
                amount: 1,
                currency: "EUR".into(),
                provider: text(),
            },
            E::BecameInDoubt { reason: text() },
            E::Released { reason: text() },
            E::Resumed {},
            E::Authorized {
                amount: 1,
                provider_reference: text(),
            },
            E::Captured {
                amount: 1,
                provider_reference: text(),
            },
            E::Declined {
                code: text(),
                message: text(),
            },
            E::Expired {},
            E::Canceled {},
            E::Voided {},
            E::FailedOver {
                from: text(),
                to: text(),
                reason: text(),
            },
            E::StrayCharge {
                provider_reference: text(),
            },
            E::StrayChargeReversed {
                provider_reference: text(),
                reversed_as: text(),
            },
            E::OperationBegun {
                operation: text(),
                kind: text(),
                amount: 1,
            },
            E::OperationInDoubt {
                operation: text(),
                reason: text(),
            },
            E::OperationReleased {
                operation: text(),
                reason: text(),
            },
            E::OperationResumed { operation: text() },
            E::OperationFailed {
                operation: text(),
                code: text(),
                message: text(),
            },
            E::Refunded {
                refund: text(),
                amount: 1,
                provider_reference: text(),
            },
            E::StrayOperation {
                operation: text(),
                provider_reference: text(),
            },
            E::Restored { operation: text() },
            E::Resolved {
                operation: text(),
                by: text(),
                why: text(),
            },
        ]
    }

    /// Every status by every event; a dash is refused. A new event shows up as a new row.
    #[test]
    fn the_table_of_every_status_and_every_event() {
        let mut table = String::new();
        for event in every_event() {
            table += &format!("{:<22}", event.name());
            for status in PaymentStatus::ALL {
                let after = status.apply(&event).map_or("-", PaymentStatus::as_str);
                table += &format!("{after:<12}");
            }
            table = table.trim_end().to_owned() + "\n";
        }
        let expected = "\
created               -           -           -           -           -           -
became_in_doubt       processing  -           -           -           -           -
released              pending     -           -           -           -           -
resumed               -           processing  -           -           -           -
authorized            authorized  authorized  -           -           -           -
captured              succeeded   succeeded   succeeded   -           -           -
declined              failed      failed      -           -           -           -
expired               -           failed      -           -           -           -
canceled              -           canceled    -           -           -           -
voided                -           -           canceled    -           -           -
failed_over           processing  -           -           -           -           -
stray_charge          -           -           authorized  succeeded   failed      canceled
stray_charge_reversed -           -           authorized  succeeded   failed      canceled
operation_begun       -           pending     authorized  succeeded   -           -
operation_in_doubt    -           -           authorized  succeeded   -           canceled
operation_released    -           -           authorized  succeeded   -           canceled
operation_resumed     -           -           authorized  succeeded   -           canceled
operation_failed      -           -           authorized  succeeded   -           canceled
refunded              -           -           -           succeeded   -           -
stray_operation       -           -           authorized  succeeded   -           canceled
restored              processing  processing  authorized  succeeded   -           canceled
resolved              processing  pending     authorized  succeeded   failed      canceled
";
        assert_eq!(table, expected);
    }

    /// One stored example of every event ever written must stay readable.
    #[test]
    fn stored_events_are_read_back() {
        for event in every_event() {
            let stored = serde_json::to_string(&event).unwrap();
            assert!(
                stored.starts_with(&format!(r#"{{"type":"{}""#, event.name())),
                "{stored}"
            );
            assert_eq!(
                serde_json::from_str::<PaymentEvent>(&stored).unwrap(),
                event
            );
        }
        let oldest = r#"{"type":"captured","data":{"amount":4200,"provider_reference":"pi_1"}}"#;
        assert!(serde_json::from_str::<PaymentEvent>(oldest).is_ok());
    }
}
