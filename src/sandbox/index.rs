//! Where in the ledger to look for something, by a hash of its name.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};
use std::slice;

/// Positions by name, oldest first. Names are not kept, only their hashes, so that an entry costs
/// some 40 bytes; whoever looks something up compares what it finds.
#[derive(Debug, Default)]
pub(super) struct Index {
    positions: HashMap<u64, Positions>,
}

#[derive(Debug)]
enum Positions {
    One(usize),
    #[expect(
        clippy::box_collection,
        reason = "most names have one position; keep that one small"
    )]
    Many(Box<Vec<usize>>),
}

impl Index {
    pub(super) fn insert<T: Hash + ?Sized>(&mut self, name: &T, at: usize) {
        let positions = self
            .positions
            .entry(hash(name))
            .or_insert(Positions::One(at));
        match positions {
            Positions::One(only) if *only == at => {}
            Positions::One(only) => {
                let pair = if *only < at {
                    vec![*only, at]
                } else {
                    vec![at, *only]
                };
                *positions = Positions::Many(Box::new(pair));
            }
            Positions::Many(many) => {
                if let Err(place) = many.binary_search(&at) {
                    many.insert(place, at);
                }
            }
        }
    }

    /// Everything of this name, and rarely something else of the same hash.
    pub(super) fn candidates<T: Hash + ?Sized>(&self, name: &T) -> &[usize] {
        match self.positions.get(&hash(name)) {
            None => &[],
            Some(Positions::One(only)) => slice::from_ref(only),
            Some(Positions::Many(many)) => many,
        }
    }
}

fn hash<T: Hash + ?Sized>(name: &T) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_kept_in_order_and_once() {
        let mut index = Index::default();
        for at in [5, 3, 9, 5, 3] {
            index.insert("name", at);
        }
        index.insert("other", 1);

        assert_eq!(index.candidates("name"), [3, 5, 9]);
        assert_eq!(index.candidates("other"), [1]);
        assert_eq!(index.candidates("none"), [0; 0]);
    }
}
