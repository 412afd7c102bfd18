//! The gate in front of all work: how much is in the house, and who may bring more. Start reading at
//! [`Admission::admit`].
//!
//! What is counted is an operation, named by its key: it takes one *place*, however many requests
//! wait for it, and each of those takes a *seat* at that place. So a storm of duplicates takes room
//! from nobody, and is bounded by the seats of its place.
//!
//! A tenant may only grow while it holds less than [`ALPHA`] times the room that is free: the dynamic
//! threshold of Choudhury and Hahne ("Dynamic queue length thresholds for shared-memory packet
//! switches", 1998), which needs neither weights nor a list of tenants. A greedy tenant that is alone
//! gets four fifths of the house, two get four ninths each, and the last free place is kept for one
//! that has nothing in it yet.
//!
//! **Invariant:** never more places than `places_max`, and no tenant alone has all of several.
//! **Invariant:** what nobody holds is not remembered: memory is bounded by the places.

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// How much more than the free room a tenant may hold.
const ALPHA: usize = 4;

/// The gate.
pub struct Admission<T, K> {
    bounds: AdmissionBounds,
    house: Arc<Mutex<House<T, K>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdmissionBounds {
    /// Operations in the house at once.
    pub places_max: usize,
    /// Requests that may hold one operation's place together, the one that runs it included.
    pub seats_max: usize,
}

/// Why a request was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    #[error("the house is full")]
    Full,
    #[error("the tenant has its share")]
    Share,
    #[error("too many requests wait for the operation")]
    Seats,
    #[error("the house is closed")]
    Closed,
}

struct House<T, K> {
    places: HashMap<K, usize>,
    /// Places of each tenant that has any.
    tenants: HashMap<T, usize>,
    closed: bool,
}

impl<T: Clone + Eq + Hash, K: Clone + Eq + Hash> Admission<T, K> {
    pub fn new(bounds: AdmissionBounds) -> Self {
        Self {
            bounds,
            house: Arc::new(Mutex::new(House {
                places: HashMap::new(),
                tenants: HashMap::new(),
                closed: false,
            })),
        }
    }

    /// Lets a request for the operation `key` of `tenant` in until its permit is dropped.
    ///
    /// # Errors
    /// [`NotAdmitted`], at once: nobody waits at the gate.
    pub fn admit(&self, tenant: T, key: K) -> Result<AdmissionPermit<T, K>, NotAdmitted> {
        let mut house = held(&self.house);
        if house.closed {
            return Err(NotAdmitted::Closed);
        }
        if let Some(seats) = house.places.get_mut(&key) {
            if *seats >= self.bounds.seats_max {
                return Err(NotAdmitted::Seats);
            }
            *seats += 1;
        } else {
            let own = house.tenants.get(&tenant).copied().unwrap_or(0);
            may_grow(own, house.places.len(), self.bounds.places_max)?;
            house.places.insert(key.clone(), 1);
            house.tenants.insert(tenant.clone(), own + 1);
        }
        drop(house);
        Ok(AdmissionPermit {
            house: Arc::clone(&self.house),
            tenant,
            key,
        })
    }

    /// Lets nobody in any more; permits that were given stay good.
    pub fn close(&self) {
        held(&self.house).closed = true;
    }

    /// Operations in the house.
    pub fn in_flight(&self) -> usize {
        held(&self.house).places.len()
    }
}

/// Whether a tenant with `own` of the `taken` places may take one more.
fn may_grow(own: usize, taken: usize, places_max: usize) -> Result<(), NotAdmitted> {
    let free = places_max.saturating_sub(taken);
    match free.checked_sub(1) {
        None => Err(NotAdmitted::Full),
        Some(_) if own == 0 => Ok(()),
        Some(left) if own < left.saturating_mul(ALPHA) => Ok(()),
        Some(_) => Err(NotAdmitted::Share),
    }
}

impl<T, K> fmt::Debug for Admission<T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission")
            .field("bounds", &self.bounds)
            .finish_non_exhaustive()
    }
}

/// A seat in the house, given back when it is dropped.
pub struct AdmissionPermit<T: Eq + Hash, K: Eq + Hash> {
    house: Arc<Mutex<House<T, K>>>,
    tenant: T,
    key: K,
}

impl<T: Eq + Hash, K: Eq + Hash> fmt::Debug for AdmissionPermit<T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdmissionPermit")
    }
}

impl<T: Eq + Hash, K: Eq + Hash> Drop for AdmissionPermit<T, K> {
    fn drop(&mut self) {
        let mut house = held(&self.house);
        if take_one(&mut house.places, &self.key) == 0 {
            take_one(&mut house.tenants, &self.tenant);
        }
    }
}

/// What is left of the count under `name`, which is forgotten at zero.
fn take_one<N: Eq + Hash>(counts: &mut HashMap<N, usize>, name: &N) -> usize {
    let Some(count) = counts.get_mut(name) else {
        return 0;
    };
    *count = count.saturating_sub(1);
    let left = *count;
    if left == 0 {
        counts.remove(name);
    }
    left
}

/// Counts are whole after every line, so that a panic elsewhere spoils none.
fn held<H>(house: &Mutex<H>) -> MutexGuard<'_, H> {
    house.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
