//! A provider that remembers keys for a while, and the requests on their way to it.

use super::row::{Charge, Verdict};

/// What became of a request that arrived under a key that the provider does not remember.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fate {
    Approves,
    Declines,
    /// Refused as invalid: not stored under the key.
    AtTheDoor,
    /// Charged, and a 5xx stored under the key.
    ErrorAfter,
    /// Not charged, and a 5xx stored under the key.
    ErrorStored,
}

/// What the sender hears if it still listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Reply {
    Definite(Verdict),
    ServerError,
    StoredServerError,
}

/// What is stored under the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stored {
    Approved(Charge),
    Declined,
    ServerError,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Provider {
    /// What is stored under the key, and until when.
    memory: Option<(Stored, u8)>,
    /// Charges that were made, and which of them were given back.
    made: u8,
    given_back: u8,
    /// Whether it lists a payment that it declined.
    declined: bool,
}

impl Provider {
    pub(super) fn remembers(&self) -> bool {
        self.memory.is_some()
    }

    /// Whether a 5xx is stored although it charged.
    pub(super) fn hides_a_charge(&self) -> bool {
        self.made > 0 && matches!(self.memory, Some((Stored::ServerError, _)))
    }

    /// A request with the key arrives: a known one is replayed, whatever `fate` says.
    pub(super) fn receive(&mut self, place: u8, fate: Fate, forgets_at: u8) -> Reply {
        if let Some((stored, _)) = self.memory {
            return match stored {
                Stored::Approved(charge) => Reply::Definite(Verdict::Approved(charge)),
                Stored::Declined => Reply::Definite(Verdict::Declined),
                Stored::ServerError => Reply::StoredServerError,
            };
        }
        let (stored, reply) = match fate {
            Fate::AtTheDoor => return Reply::Definite(Verdict::AtTheDoor),
            Fate::Approves => {
                let charge = self.charge(place);
                let reply = Reply::Definite(Verdict::Approved(charge));
                (Stored::Approved(charge), reply)
            }
            Fate::Declines => {
                self.declined = true;
                (Stored::Declined, Reply::Definite(Verdict::Declined))
            }
            Fate::ErrorAfter => {
                self.charge(place);
                (Stored::ServerError, Reply::ServerError)
            }
            Fate::ErrorStored => (Stored::ServerError, Reply::ServerError),
        };
        self.memory = Some((stored, forgets_at));
        reply
    }

    fn charge(&mut self, place: u8) -> Charge {
        self.made += 1;
        8 * place + self.made - 1
    }

    pub(super) fn forget(&mut self, now: u8) {
        self.memory = self.memory.filter(|(_, until)| now < *until);
    }

    /// What a list of its payments shows of the operation.
    pub(super) fn shows(&self, place: u8) -> Option<Verdict> {
        match (self.standing(place).next(), self.declined) {
            (Some(charge), _) => Some(Verdict::Approved(charge)),
            (None, true) => Some(Verdict::Declined),
            (None, false) => None,
        }
    }

    /// The charges that were not given back.
    pub(super) fn standing(&self, place: u8) -> impl Iterator<Item = Charge> + use<> {
        let (made, given_back) = (self.made, self.given_back);
        let stands = move |number: &u8| given_back & (1 << number) == 0;
        (0..made)
            .filter(stands)
            .map(move |number| 8 * place + number)
    }

    pub(super) fn give_back(&mut self, charge: Charge) {
        self.given_back |= 1 << (charge % 8);
    }
}

/// A request on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Flight {
    pub(super) provider: u8,
    pub(super) sent_at: u8,
    /// The driver that waits for the answer.
    pub(super) awaited_by: Option<u8>,
}
