//! The pairs that a caller attaches to an object.

use serde::{Serialize, Serializer};

/// Keys and values, sorted by key. A plain list: a tree would cost more memory than the strings in
/// it, and a long run keeps millions of these.
#[derive(Debug, Default)]
pub(super) struct Metadata {
    pairs: Vec<(Box<str>, Box<str>)>,
}

impl Metadata {
    pub(super) fn len(&self) -> usize {
        self.pairs.len()
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        let (_, value) = self.pairs.iter().find(|(known, _)| **known == *key)?;
        Some(value)
    }

    /// Adds a pair; a key that is there already takes the new value.
    pub(super) fn insert(&mut self, key: &str, value: &str) {
        match self.pairs.binary_search_by(|(known, _)| (**known).cmp(key)) {
            Ok(at) => {
                if let Some((_, old)) = self.pairs.get_mut(at) {
                    *old = value.into();
                }
            }
            Err(at) => {
                self.pairs.reserve_exact(1);
                self.pairs.insert(at, (key.into(), value.into()));
            }
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(key, value)| (&**key, &**value))
    }
}

impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_sorted_and_the_last_value_of_a_key_stands() {
        let mut metadata = Metadata::default();
        for (key, value) in [("b", "1"), ("a", "2"), ("b", "3")] {
            metadata.insert(key, value);
        }

        assert_eq!(
            metadata.iter().collect::<Vec<_>>(),
            [("a", "2"), ("b", "3")]
        );
        assert_eq!(metadata.get("b"), Some("3"));
        assert_eq!(
            serde_json::to_string(&metadata).unwrap(),
            r#"{"a":"2","b":"3"}"#
        );
    }
}
